// Limits for reads and writes as clients give them: of one disk, or of a group (virDomainBlockIoTuneInfo).
import { IOTUNE_LIMITS, type IoTune, type IoTuneLimit } from '../../../conf/devices/disk-iotune.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type TypedParams, typed, typedInput } from '../../../conf/wire.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** QEMU's limit of a limit (QEMU_BLOCK_IOTUNE_MAX). */
const LIMIT_MAX = 10n ** 15n

/** Parameters by name (qemuDomainValidateBlockIoTune). */
export const ioLimits = typedInput({
  ...(Object.fromEntries(IOTUNE_LIMITS.map(limit => [limit, 'ullong'])) as Record<IoTuneLimit, 'ullong'>),
  group_name: 'string'
})

const RATES = ['bytes_sec', 'iops_sec'] as const
const PARTS = ['total', 'read', 'write'] as const
const partsOf = <const R extends 'bytes_sec' | 'iops_sec', const S extends '' | '_max' | '_max_length'>(
  rate: R,
  suffix: S
) => PARTS.map(part => `${part}_${rate}${suffix}` as const)

/** Limits that are told together: of which one is given, all are. */
const FAMILIES: readonly (readonly IoTuneLimit[])[] = [
  ...RATES.flatMap(rate => [partsOf(rate, ''), partsOf(rate, '_max')]),
  ['size_iops_sec']
]

/** In the order libvirt looks at them. */
const SUMS = (['', '_max'] as const).flatMap(suffix =>
  RATES.map(rate => [`${rate}${suffix}`, partsOf(rate, suffix)] as const)
)

/** @throws VIR_ERR_ARGUMENT_UNSUPPORTED for one too high, VIR_ERR_INVALID_ARG for sums beside their parts */
export function checkIoLimits(given: IoTune): void {
  for (const limit of IOTUNE_LIMITS) {
    if ((given[limit] ?? 0n) <= LIMIT_MAX) continue
    const message = `block I/O throttle limit value must be no more than ${LIMIT_MAX}`
    throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', message)
  }
  for (const [what, [total, read, write]] of SUMS) {
    if (!given[total!] || !(given[read!] || given[write!])) continue
    throw fail('VIR_ERR_INVALID_ARG', `total and read/write of ${what} cannot be set at the same time`)
  }
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED for a burst below the limit, or without one (qemuDomainCheckBlockIoTuneMax) */
export function checkBursts(tune: IoTune): void {
  for (const limit of RATES.flatMap(rate => partsOf(rate, ''))) {
    const burst = tune[`${limit}_max`]
    if (!burst) continue
    if (!tune[limit]) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `cannot reset '${limit}' when '${limit}_max' is set`)
    if (burst >= tune[limit]) continue
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `value '${limit}_max' cannot be smaller than '${limit}'`)
  }
}

/**
 * Limits with those that were not given as they were before (qemuDomainSetBlockIoTuneDefaults). The length of a burst is
 * never 0 for QEMU where there is a limit: that is its own default.
 */
export function withFormer(given: IoTune, before: IoTune): IoTune {
  const tune: IoTune = { ...given }
  const isTold = (family: readonly IoTuneLimit[]) => family.some(limit => given[limit] !== undefined)
  for (const family of FAMILIES) if (!isTold(family)) for (const limit of family) tune[limit] = before[limit]
  tune.group_name ??= before.group_name
  for (const rate of RATES) {
    const told = isTold(partsOf(rate, '_max_length'))
    for (const limit of partsOf(rate, '')) {
      const length = `${limit}_max_length` as const
      if (!told) tune[length] = before[length]
      else if (before[length] && !tune[length]) tune[length] = tune[limit] || tune[`${limit}_max`] ? 1n : 0n
    }
  }
  return setOnly(tune)
}

/** A definition has no limits that are 0. */
function setOnly({ group_name, ...limits }: IoTune): IoTune {
  const set = Object.fromEntries(Object.entries(limits).filter(([, value]) => value))
  return { ...set, ...(group_name !== undefined && { group_name }) }
}

/** The parameters of the event that tells of them; `what` says of what, a disk or a group. */
export function tunableParams(what: 'disk' | 'group_name', name: string, given: IoTune): TypedParams {
  const params: TypedParams = { [`blkdeviotune.${what}`]: typed.string(name) }
  for (const [limit, value] of Object.entries(given))
    params[`blkdeviotune.${limit}`] = typeof value === 'bigint' ? typed.ullong(value) : typed.string(value)
  return params
}
