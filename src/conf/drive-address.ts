// Drive addresses, which disks and SCSI host devices share: the place a disk's name stands for, and conflicts.
import { type DriveAddress, sameDrive } from './devices/device-address.ts'
import type { DiskBus, DiskDef } from './devices/disk.ts'
import { diskIndex } from './devices/disk-name.ts'
import type { HostdevDef } from './devices/hostdev.ts'
import type { DomainDef } from './domain-def.ts'
import { errorsFrom } from './error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Units of a SCSI bus libvirt fills by itself for QEMU, and those of a controller with fewer. */
const SCSI_UNITS = 7
const FEW_UNITS: Partial<Record<string, number>> = { lsisas1068: 2 }

/** The place of the n-th disk of a bus; other buses have no drive addresses. */
const PLACES: Partial<Record<DiskBus, (index: number) => Omit<DriveAddress, 'type' | 'target'>>> = {
  scsi: index => ({ controller: Math.floor(index / SCSI_UNITS), bus: 0, unit: index % SCSI_UNITS }),
  ide: index => ({ controller: Math.floor(index / 4), bus: Math.floor((index % 4) / 2), unit: index % 2 }),
  sata: index => ({ controller: Math.floor(index / 6), bus: 0, unit: index % 6 }),
  fdc: index => ({ controller: Math.floor(index / 2), bus: 0, unit: index % 2 })
}

/** The drive address of a device that has one. */
export function driveOf({ address }: { address?: { type: string } }): DriveAddress | undefined {
  return address?.type === 'drive' ? (address as DriveAddress) : undefined
}

/** True if a SCSI disk is at that place (virDomainDriveAddressIsUsedByDisk). */
export function isScsiDiskAt({ devices }: DomainDef, place: DriveAddress): boolean {
  return devices.disks.some(disk => {
    const drive = disk.target?.bus === 'scsi' && driveOf(disk)
    return drive && sameDrive(drive, place)
  })
}

/** True if a SCSI host device is at that place (virDomainDriveAddressIsUsedByHostdev). */
function isHostdevAt({ devices }: DomainDef, place: DriveAddress): boolean {
  return devices.hostdevs.some(hostdev => {
    const drive = driveOf(hostdev)
    return drive && sameDrive(drive, place)
  })
}

/** Units a SCSI controller has no place for: those above the highest, and the one it has itself. */
const NO_UNITS: Partial<Record<string, { highest?: number; own?: number }>> = {
  'virtio-scsi': { highest: 16383 },
  'virtio-transitional': { highest: 16383 },
  'virtio-non-transitional': { highest: 16383 },
  ibmvscsi: { highest: 31, own: 7 },
  lsisas1068: { highest: 1 },
  lsisas1078: { highest: 255 },
  lsilogic: { own: 7 },
  vmpvscsi: { own: 7 },
  buslogic: { own: 7 },
  ncr53c90: { highest: 6 },
  dc390: { highest: 6 },
  am53c974: { highest: 6 }
}

/** True for a place that a SCSI device can not have, or that one has (virDomainSCSIDriveAddressIsUsed). */
export function isScsiPlaceTaken(def: DomainDef, place: DriveAddress | undefined): boolean {
  if (!place) return false
  const { controllers } = def.devices
  const model = controllers.find(({ type, index }) => type === 'scsi' && index === place.controller)?.model
  const { highest = place.unit, own } = NO_UNITS[model ?? ''] ?? {}
  return place.unit > highest || place.unit === own || isScsiDiskAt(def, place) || isHostdevAt(def, place)
}

const driveKey = (drive?: DriveAddress) => drive && `${drive.controller} ${drive.bus} ${drive.target} ${drive.unit}`

/** Every place libvirt fills by itself, controller by controller. */
function* scsiPlaces({ devices: { controllers } }: DomainDef): Generator<DriveAddress, never> {
  for (let controller = 0; ; controller++) {
    const model = controllers.find(one => one.type === 'scsi' && one.index === controller)?.model
    const units = FEW_UNITS[model ?? ''] ?? SCSI_UNITS
    for (let unit = 0; unit < units; unit++) yield { type: 'drive', controller, bus: 0, target: 0, unit }
  }
}

/**
 * Gives a SCSI host device the first free place on a controller (virDomainHostdevAssignAddress), and the next ones to
 * all others without one: in one pass, as each by itself would look at every device.
 */
export function assignScsiPlaces(dev: HostdevDef, def: DomainDef): void {
  const { disks, hostdevs } = def.devices
  const onScsi = [...disks.filter(({ target }) => target?.bus === 'scsi'), ...hostdevs]
  const used = new Set(onScsi.map(one => driveKey(driveOf(one))))
  const places = scsiPlaces(def)
  for (const waiting of [dev, ...hostdevs]) {
    if (waiting.source.type !== 'scsi' || waiting.address) continue
    let place = places.next().value
    while (used.has(driveKey(place))) place = places.next().value
    waiting.address = place
  }
}

/** Gives a disk without an address the place its name stands for (virDomainDiskDefAssignAddress). */
export function assignDiskAddress(disk: DiskDef, def: DomainDef): void {
  const { dev, bus } = disk.target ?? {}
  if (disk.address || dev === undefined || bus === undefined) return
  const index = diskIndex(dev)
  if (index < 0) throw fail('VIR_ERR_XML_ERROR', `Unknown disk name '${dev}' and no address specified`)
  const place = PLACES[bus]?.(index)
  if (!place) return
  const address: DriveAddress = { type: 'drive', target: 0, ...place }
  if (bus === 'scsi' && isHostdevAt(def, address)) {
    const { controller, unit } = address
    throw fail(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `using disk target name '${dev}' conflicts with SCSI host device address controller='${controller}' bus='0' target='0' unit='${unit}`
    )
  }
  disk.address = address
}

const describe = ({ controller, bus, target, unit }: DriveAddress) =>
  `controller='${controller}' bus='${bus}' target='${target}' unit='${unit}'`

/** The first of those, in order, whose key a later one has too. */
function firstTwin<T>(all: T[], keyOf: (one: T) => string | undefined): T | undefined {
  const first = new Map<string, number>()
  let found = all.length
  for (const [at, one] of all.entries()) {
    const key = keyOf(one)
    if (key === undefined) continue
    const before = first.get(key)
    if (before === undefined) first.set(key, at)
    else found = Math.min(found, before)
  }
  return all[found]
}

/** No two drives at one place (virDomainDefDuplicateDriveAddressesValidate). */
export function validateDriveAddresses(def: DomainDef): void {
  const { disks, hostdevs } = def.devices
  const twin = firstTwin(disks, disk => {
    const drive = driveOf(disk)
    return drive && `${disk.target?.bus} ${driveKey(drive)}`
  })
  if (twin) {
    throw fail(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `Found duplicate drive address for disk with target name '${twin.target?.dev}' ${describe(driveOf(twin)!)}`
    )
  }
  if (hostdevs.length === 0) return
  const hostdevTwin = firstTwin(hostdevs, hostdev => driveKey(driveOf(hostdev)))
  const places = new Set(disks.filter(({ target }) => target?.bus === 'scsi').map(disk => driveKey(driveOf(disk))))
  for (const hostdev of hostdevs) {
    const drive = driveOf(hostdev)
    if (!drive) continue
    // libvirt's message has bus and controller exchanged
    const place = describe({ ...drive, controller: drive.bus, bus: drive.controller })
    const used = (by: string) =>
      fail('VIR_ERR_CONFIG_UNSUPPORTED', `SCSI host address ${place} in use by another SCSI ${by}`)
    if (hostdev === hostdevTwin) throw used('host device')
    if (places.has(driveKey(drive))) throw used('disk')
  }
}
