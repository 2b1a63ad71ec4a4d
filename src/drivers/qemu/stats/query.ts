// Questions for statistics: a QEMU that is slow to answer them leaves their numbers out.
import type { QemuDomain } from '../domain/domain.ts'

/** Time statistics wait for QEMU. */
export const QUERY_MS = 2000

/** The answer to a QMP command; undefined when the guest does not run, or QEMU refuses or is late. */
export async function query<T>(domain: QemuDomain, command: string, args?: object): Promise<T | undefined> {
  if (!domain.isActive || !domain.monitor) return undefined
  return domain.qmp.execute<T>(command, args, { timeoutMs: QUERY_MS }).catch(() => undefined)
}
