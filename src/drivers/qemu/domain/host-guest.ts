// The guest as the host's end of its devices knows it.
import type { QemuContext } from '../context.ts'
import type { HostGuest } from '../device/family.ts'
import type { QemuDomain } from './domain.ts'

/** @param context that of a start, with its open files */
export function hostGuest(domain: QemuDomain, context: QemuContext = domain.context): HostGuest {
  const { def, root, run, log } = domain
  return { def, context, root, owner: run?.owner ?? {}, log }
}
