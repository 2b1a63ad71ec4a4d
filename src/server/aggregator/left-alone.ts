// Holdings of a guest whose shim is gone, from the live definition the shim has left in status.json. Loaded for such
// guests only.
import { parseDomain } from '../../conf/domain-xml.ts'
import type { Status } from '../../drivers/qemu/domain/status.ts'
import { type Allocation, allocations } from '../../state/allocation.ts'

/** As its shim would report it. @throws VirError when the definition cannot be read */
export function allocationsOfStatus({ xml, id, cgroups }: Status): Allocation[] {
  return allocations(parseDomain(xml, { inactive: false, status: true }), { active: true, id, cgroups })
}
