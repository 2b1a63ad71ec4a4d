// <pm>: whether the guest may sleep.
import { child, childAttr, type Fields } from '../element.ts'
import { yesNo } from '../scalar.ts'

export const pmFields = {
  pm: child('pm', {
    suspendToMem: childAttr('suspend-to-mem', 'enabled', yesNo),
    suspendToDisk: childAttr('suspend-to-disk', 'enabled', yesNo)
  })
} satisfies Fields
