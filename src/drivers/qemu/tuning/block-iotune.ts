// Limits for reads and writes of a disk, and of the disks that share its group, on a running guest and in definitions.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { hasIoTuneLimits, IOTUNE_LIMITS, type IoTune } from '../../../conf/devices/disk-iotune.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isStorageEmpty } from '../../../conf/storage/source.ts'
import type { Meant } from '../../method.ts'
import { diskQomPath, qemuLimitName, throttleArguments } from '../block/throttle.ts'
import { diskNamed } from '../device/disk/lookup.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { checkBursts, checkIoLimits, tunableParams, withFormer } from './io-limits.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** @throws VIR_ERR_CONFIG_UNSUPPORTED for a disk whose limits are not its own (qemuDomainDiskBlockIoTuneIsSupported) */
function checkSupported({ source, target, throttlefilters }: DiskDef): void {
  const unsupported = (words: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `${words} for disk '${target?.dev}'`)
  if (source.type === 'vhostuser' || target?.bus === 'sd') throw unsupported('block I/O throttling is not supported')
  if (throttlefilters) throw unsupported("block 'iotune' can't be used together with 'throttlefilters'")
}

function findDisk(def: DomainDef, name: string, missing: string): DiskDef {
  const disk = diskNamed(def, name, { first: true })
  if (!disk) throw fail('VIR_ERR_INVALID_ARG', missing)
  checkSupported(disk)
  return disk
}

const liveDisk = (def: DomainDef, name: string) => findDisk(def, name, `disk '${name}' not found in domain`)

/** The limits that given ones change: of the group they name, where others have it (qemuDomainFindGroupBlockIoTune). */
function formerLimits({ devices }: DomainDef, disk: DiskDef, group: string | undefined): IoTune {
  const isOwn = group === undefined || group === disk.iotune?.group_name
  const shared = isOwn ? undefined : devices.disks.find(({ iotune }) => iotune?.group_name === group)
  return (shared ?? disk).iotune ?? {}
}

/** No limits mean no group either. @throws VIR_ERR_CONFIG_UNSUPPORTED for a new group without limits */
function checkReset(tune: IoTune, { iotune }: DiskDef): IoTune {
  if (hasIoTuneLimits(tune)) return tune
  if (tune.group_name === undefined || tune.group_name === iotune?.group_name) return {}
  const message = 'creating a new group/updating existing with all tune parameters zero is not supported'
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
}

/** The definition with other limits of a disk, and of all disks of its group. */
function withIoTune(def: DomainDef, name: string, tune: IoTune): DomainDef {
  const disk = diskNamed(def, name, { first: true })
  const isMeant = (one: DiskDef) =>
    one === disk || (tune.group_name !== undefined && one.iotune?.group_name === tune.group_name)
  const iotune = Object.keys(tune).length > 0 ? tune : undefined
  const disks = def.devices.disks.map(one => (isMeant(one) ? { ...one, iotune } : one))
  return { ...def, devices: { ...def.devices, disks } }
}

/**
 * Sets limits of a disk; of those not given, each keeps what it had (qemuDomainSetBlockIoTune).
 * @param name target or source of the disk
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR with
 *   QEMU's words; nothing has changed then
 */
export async function setBlockIoTune(
  domain: QemuDomain,
  name: string,
  given: IoTune,
  { live, config }: Meant
): Promise<void> {
  checkIoLimits(given)
  const disk = live && liveDisk(live, name)
  const tune = disk && checkReset(withFormer(given, formerLimits(live, disk, given.group_name)), disk)
  if (tune) checkBursts(tune)
  const kept = config && keptLimits(config, name, given, tune?.group_name)
  const isTold = disk && !isStorageEmpty(disk.source)
  if (isTold) await domain.qmp.execute('block_set_io_throttle', throttleArguments(disk, tune!))
  try {
    domain.change({ live, config }, def => withIoTune(def, name, (def === domain.def && tune) || kept!))
  } catch (error) {
    if (isTold) await domain.qmp.execute('block_set_io_throttle', throttleArguments(disk, disk.iotune ?? {}))
    throw error
  }
  if (live) domain.events.emit('VIR_DOMAIN_EVENT_ID_TUNABLE', { params: tunableParams('disk', name, given) })
}

/** @param group that of the running guest's disk, where it has one: libvirt looks for its former limits by that */
function keptLimits(config: DomainDef, name: string, given: IoTune, group = given.group_name): IoTune {
  const disk = findDisk(config, name, `missing persistent configuration for disk '${name}'`)
  return checkReset(withFormer(given, formerLimits(config, disk, group)), disk)
}

interface ThrottledBlock {
  qdev?: string
  device?: string
  inserted?: Record<string, unknown>
}

/**
 * Limits of a disk as QEMU has them, or as the persistent definition says (qemuDomainGetBlockIoTune).
 * @throws VIR_ERR_INVALID_ARG for no such disk, or one without a medium, VIR_ERR_CONFIG_UNSUPPORTED
 */
export async function getBlockIoTune(domain: QemuDomain, name: string, { live, config }: Meant): Promise<IoTune> {
  if (config) return findDisk(config, name, `disk '${name}' was not found in the domain config`).iotune ?? {}
  const disk = liveDisk(live!, name)
  if (isStorageEmpty(disk.source)) {
    throw fail('VIR_ERR_INVALID_ARG', `disk '${name}' does not currently have a source assigned`)
  }
  const path = diskQomPath(disk)
  const blocks = await domain.qmp.execute<(ThrottledBlock | null)[]>('query-block')
  const isMine = (one: ThrottledBlock | null) => one?.qdev === path || one?.device === path
  const block = Array.isArray(blocks) ? blocks.find(isMine) : undefined
  if (!block) throw fail('VIR_ERR_INTERNAL_ERROR', `cannot find throttling info for device '${path}'`)
  if (!block.inserted) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'block_io_throttle inserted entry was not in expected format')
  }
  return limitsOf(block.inserted)
}

function limitsOf(inserted: Record<string, unknown>): IoTune {
  const tune: IoTune = {}
  for (const limit of IOTUNE_LIMITS) {
    const value = inserted[qemuLimitName(limit)]
    if (typeof value === 'number' || typeof value === 'bigint') tune[limit] = BigInt(value)
    else if (/^(total|read|write)_(bytes|iops)_sec$/.test(limit)) {
      throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `block_io_throttle field '${limit}' missing in qemu's output`)
    }
  }
  if (typeof inserted.group === 'string') tune.group_name = inserted.group
  return tune
}
