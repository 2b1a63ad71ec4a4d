// <iotune>: limits for reads and writes of a disk (virDomainBlockIoTuneInfo).
import { claim, type Field } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { ulonglong } from '../scalar.ts'
import { element, firstChild, textOf, type XmlElement } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const WHAT = [
  'total_bytes_sec',
  'read_bytes_sec',
  'write_bytes_sec',
  'total_iops_sec',
  'read_iops_sec',
  'write_iops_sec'
] as const
type What = (typeof WHAT)[number]

/** A limit, as its element and its typed parameter are called: bytes or operations a second, or seconds of a burst. */
export type IoTuneLimit = What | `${What}_max` | `${What}_max_length` | 'size_iops_sec'
/** Limits of a disk; disks of one group share them. */
export type IoTune = { [limit in IoTuneLimit]?: bigint } & { group_name?: string }

const BASIC: readonly IoTuneLimit[] = [...WHAT, ...WHAT.map(what => `${what}_max` as const), 'size_iops_sec']
const LENGTHS: readonly IoTuneLimit[] = WHAT.map(what => `${what}_max_length` as const)
/** Limits with a value QEMU caps: all but the lengths. */
export const IOTUNE_RATES = BASIC
export const IOTUNE_LIMITS: readonly IoTuneLimit[] = [...BASIC, ...LENGTHS]
/** In the order libvirt writes them. */
const WRITTEN = [...BASIC, 'group_name', ...LENGTHS] as const

/** True if anything but the name of a group is set (virDomainBlockIoTuneInfoHasAny). */
export function hasIoTuneLimits(iotune: IoTune | undefined): boolean {
  return iotune !== undefined && IOTUNE_LIMITS.some(limit => iotune[limit])
}

/** True for the same limits and group (virDomainBlockIoTuneInfoEqual). */
export function sameIoTune(a: IoTune = {}, b: IoTune = {}): boolean {
  return a.group_name === b.group_name && IOTUNE_LIMITS.every(limit => (a[limit] ?? 0n) === (b[limit] ?? 0n))
}

/**
 * Limits and group of an element that has each in a child.
 * @param what it is, for errors
 */
export function parseLimits(node: XmlElement, what: string): IoTune {
  const out: IoTune = {}
  const textIn = (name: string) => textOf(firstChild(node, name) ?? element(name))
  for (const limit of IOTUNE_LIMITS) {
    const text = textIn(limit)
    if (text === '') continue
    const value = ulonglong.parse(text)
    if (value === undefined) throw fail('VIR_ERR_XML_ERROR', `${what} field '${limit}' must be an integer`)
    if (value !== 0n) out[limit] = value
  }
  const name = textIn('group_name')
  return { ...out, ...(name !== '' && { group_name: name }) }
}

/** `<iotune>` (virDomainDiskDefIotuneParse). */
export const iotune: Field<IoTune | undefined> = {
  names: [['iotune', { limits: claim(...IOTUNE_LIMITS, 'group_name') }]],
  parse(node) {
    const found = firstChild(node, 'iotune')
    const limits = found && parseLimits(found, 'disk iotune')
    return limits && Object.keys(limits).length > 0 ? limits : undefined
  },
  format(value, into) {
    if (!value) return
    const node = element('iotune')
    for (const name of WRITTEN) {
      if (value[name] !== undefined) node.children.push(element(name, {}, [String(value[name])]))
    }
    into.children.push(node)
  }
}

/** Sums, and the parts they exclude. */
const SUMS = (['bytes_sec', 'iops_sec', 'bytes_sec_max', 'iops_sec_max'] as const).map(
  rate => [rate, `total_${rate}`, `read_${rate}`, `write_${rate}`] as const
)

/** Sums exclude their parts (virDomainDiskIoTuneValidate). @throws VIR_ERR_XML_ERROR */
export function checkIoTuneSums(iotune: IoTune): void {
  for (const [rate, total, read, write] of SUMS) {
    if (iotune[total] && (iotune[read] || iotune[write])) {
      throw fail('VIR_ERR_XML_ERROR', `total and read/write ${rate} cannot be set at the same time`)
    }
  }
}
