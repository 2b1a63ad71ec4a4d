// Questions for statistics: a QEMU that is slow to answer them leaves their numbers out.
import type { QemuDomain } from '../domain/domain.ts'

/** Time statistics wait for QEMU. */
export const QUERY_MS = 2000

/** The answer to a QMP command; undefined when the guest does not run, or QEMU refuses or is late. */
export async function query<T>(domain: QemuDomain, command: string, args?: object): Promise<T | undefined> {
  if (!domain.isActive || !domain.monitor) return undefined
  return domain.qmp.execute<T>(command, args, { timeoutMs: QUERY_MS }).catch(() => undefined)
}

/** A count as QEMU has told it, with all digits; undefined for anything that is none. */
export function countOf(value: unknown): bigint | undefined {
  const isWhole = typeof value === 'bigint' || Number.isInteger(value)
  return isWhole && (value as number | bigint) >= 0 ? BigInt(value as number | bigint) : undefined
}
