// <pm>: whether the guest may sleep.
import { childAttr, type Fields, gatheredChild } from '../element.ts'
import { yesNo } from '../scalar.ts'

export const pmFields = {
  pm: gatheredChild('pm', {
    suspendToMem: childAttr('suspend-to-mem', 'enabled', yesNo),
    suspendToDisk: childAttr('suspend-to-disk', 'enabled', yesNo)
  })
} satisfies Fields
