// <pm>: the guest's leave to suspend to memory and to disk.
import { childAttr, type Fields, gatheredChild } from '../element.ts'
import { yesNo } from '../scalar.ts'

export const pmFields = {
  pm: gatheredChild('pm', {
    suspendToMem: childAttr('suspend-to-mem', 'enabled', yesNo),
    suspendToDisk: childAttr('suspend-to-disk', 'enabled', yesNo)
  })
} satisfies Fields
