// Bandwidth of jobs as callers give it: MiB/s, or with a flag bytes/s.
import { errorsFrom } from '../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const MIB = 1n << 20n
/** LLONG_MAX >> 20: MiB/s that are a number of bytes. */
const MAX_MIB = 2n ** 43n - 1n

/** Bytes/s. @throws VIR_ERR_OVERFLOW */
export function speedBytes(bandwidth: bigint, isBytes: boolean): bigint {
  if (isBytes) return bandwidth
  if (bandwidth > MAX_MIB) throw fail('VIR_ERR_OVERFLOW', `bandwidth must be less than ${MAX_MIB}`)
  return bandwidth * MIB
}

/** MiB/s of bytes/s, what is begun counts. */
export const speedMib = (bytes: bigint): bigint => (bytes + MIB - 1n) / MIB

/** QEMU's `speed`: it has none that is 0. */
export const speedOption = (bytes: bigint): { speed?: bigint } => (bytes === 0n ? {} : { speed: bytes })
