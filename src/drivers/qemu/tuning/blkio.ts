// A guest's share of the host's block I/O, and limits of single devices of the host.
import type { BlkioDevice } from '../../../conf/domain/blkiotune.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { uint, ulonglong } from '../../../conf/scalar.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { blkioWeight, type Group, groupWith, setDeviceLimit } from '../../../host/cgroup.ts'
import type { Meant } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { deviceNumbers } from '../process/tuning/limits.ts'
import { inSteps } from './steps.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

type Limit = Exclude<keyof BlkioDevice, 'path'>

/** Limits of devices by the API's names, each with how its values are read. */
const DEVICE_PARAMETERS: Readonly<Record<string, { limit: Limit; read(text: string): number | bigint | undefined }>> = {
  device_weight: { limit: 'weight', read: uint.parse },
  device_read_iops_sec: { limit: 'readIopsSec', read: uint.parse },
  device_write_iops_sec: { limit: 'writeIopsSec', read: uint.parse },
  device_read_bytes_sec: { limit: 'readBytesSec', read: ulonglong.parse },
  device_write_bytes_sec: { limit: 'writeBytesSec', read: ulonglong.parse }
}

export interface BlkioValues {
  weight?: number
  [device: `device_${string}`]: string | undefined
}

/** A limit of one device. */
interface DeviceValue {
  path: string
  limit: Limit
  value: number | bigint
}

/** @throws VIR_ERR_OPERATION_INVALID */
function blkioGroup({ running }: QemuDomain): Group {
  const group = groupWith(running.cgroups, 'blkio')
  if (!group) throw fail('VIR_ERR_OPERATION_INVALID', "blkio cgroup isn't mounted")
  return group
}

/** `PATH,VALUE,PATH,VALUE` (virDomainDriverParseBlkioDeviceStr). @throws VIR_ERR_INVALID_ARG */
function parseDevices(name: string, text: string): DeviceValue[] {
  if (text === '') return []
  const { limit, read } = DEVICE_PARAMETERS[name]!
  const bad = () => failDomain('VIR_ERR_INVALID_ARG', `unable to parse blkio device '${name}' '${text}'`)
  const fields = text.split(',')
  if (fields.length % 2 !== 0) throw bad()
  return Array.from({ length: fields.length / 2 }, (_, i) => {
    const [path, number] = fields.slice(2 * i, 2 * i + 2) as [string, string]
    const [, digits = '', rest] = /^(\s*\+?\d*)(.*)$/s.exec(number)!
    const value = read(digits)
    if (value === undefined) {
      const left = fields.slice(2 * i + 1).join(',')
      throw failDomain('VIR_ERR_INVALID_ARG', `invalid value '${left}' for parameter '${name}' of device '${path}'`)
    }
    if (rest !== '') throw bad()
    return { path, limit, value }
  })
}

/** The parameters of a definition; the weight of the running guest as the kernel has it (qemuDomainGetBlkioParameters). */
export async function blkioParameters(domain: QemuDomain, def: DomainDef, { live }: Meant): Promise<TypedParams> {
  const weight = live ? await blkioWeight.get(blkioGroup(domain)) : (def.blkiotune?.weight ?? 0)
  const out: TypedParams = { weight: typed.uint(weight) }
  for (const [name, { limit }] of Object.entries(DEVICE_PARAMETERS)) {
    const limited = (def.blkiotune?.devices ?? []).filter(device => Number(device[limit]) !== 0)
    out[name] = typed.string(limited.map(device => `${device.path},${device[limit]}`).join(','))
  }
  return out
}

/**
 * Sets parameters, all or none (qemuDomainSetBlkioParameters).
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_OPERATION_INVALID without the controller or weights, VIR_ERR_SYSTEM_ERROR
 */
export async function setBlkioParameters(domain: QemuDomain, given: BlkioValues, meant: Meant): Promise<void> {
  const { live } = meant
  const group = live && blkioGroup(domain)
  const { weight, ...lists } = given
  const values = Object.entries(lists).flatMap(([name, text]) => parseDevices(name, text ?? ''))
  await inSteps(async step => {
    let liveWeight = weight
    if (group && weight !== undefined) {
      const before = await blkioWeight.get(group)
      await step(
        () => blkioWeight.set(group, weight),
        () => blkioWeight.set(group, before)
      )
      liveWeight = await blkioWeight.get(group)
    }
    for (const { path, limit, value } of group ? values : []) {
      const numbers = deviceNumbers(path)
      const before = live?.blkiotune?.devices.find(device => device.path === path)?.[limit] ?? 0
      await step(
        () => setDeviceLimit(group!, numbers, limit, value),
        () => setDeviceLimit(group!, numbers, limit, before)
      )
    }
    domain.change(meant, def => {
      const devices = values.reduce(merged, def.blkiotune?.devices ?? [])
      const chosen = weight === undefined ? def.blkiotune?.weight : def === live ? liveWeight : weight
      return { ...def, blkiotune: { ...(chosen && { weight: chosen }), devices } }
    })
  })
}

/** Adds a limit to those of devices; none of a device that has no other is left out (virDomainDriverMergeBlkioDevice). */
function merged(devices: BlkioDevice[], { path, limit, value }: DeviceValue): BlkioDevice[] {
  if (devices.some(device => device.path === path)) {
    return devices.map(device => (device.path === path ? { ...device, [limit]: value } : device))
  }
  if (Number(value) === 0) return devices
  const none = { weight: 0, readIopsSec: 0, writeIopsSec: 0, readBytesSec: 0n, writeBytesSec: 0n }
  return [...devices, { path, ...none, [limit]: value }]
}
