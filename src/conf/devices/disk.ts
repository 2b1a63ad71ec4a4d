// <disk>: block devices and their images.

import { assignDiskAddress } from '../drive-address.ts'
import {
  absentIf,
  attr,
  child,
  childAlways,
  childAttr,
  childText,
  custom,
  type Def,
  type Field,
  type Fields,
  flag,
  readFirst,
  withDefault
} from '../element.ts'
import { enumOf, onOff, string, uint, yesNo } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { deviceBoot, deviceInfo } from './device-info.ts'
import { diskDriver } from './disk-driver.ts'
import { hasIoTuneLimits, iotune } from './disk-iotune.ts'
import { diskMirror } from './disk-mirror.ts'
import { diskIndex } from './disk-name.ts'
import { authInDisk, diskSource, encryptionInDisk } from './disk-source.ts'
import { throttlefilters } from './disk-throttle.ts'
import { validateDisk } from './disk-validate.ts'
import { deviceFamily } from './family.ts'

const device = enumOf('disk', 'cdrom', 'floppy', 'lun')
const bus = enumOf('ide', 'fdc', 'scsi', 'virtio', 'xen', 'usb', 'uml', 'sata', 'sd')
const snapshot = enumOf('no', 'internal', 'external', 'manual')

/** A drive whose medium the guest's user can take out. */
const isRemovable = (def: object | undefined): boolean => {
  const { device } = def as { device: string }
  return device === 'floppy' || device === 'cdrom'
}

const startupPolicy = attr('startupPolicy', enumOf('mandatory', 'requisite', 'optional'))

const targetFields = {
  dev: attr('dev', string),
  bus: attr('bus', bus),
  tray: absentIf('closed', attr('tray', enumOf('closed', 'open'))),
  removable: attr('removable', onOff),
  rotationRate: absentIf(0, attr('rotation_rate', uint))
} satisfies Fields
const target = childAlways('target', targetFields)

const geometryFields = {
  cylinders: absentIf(0, attr('cyls', uint)),
  heads: absentIf(0, attr('heads', uint)),
  sectors: absentIf(0, attr('secs', uint)),
  translation: attr('trans', enumOf('none', 'auto', 'lba'))
} satisfies Fields
const geometry = childAlways('geometry', geometryFields)

/** Read for every disk; written only if all three numbers are known. */
const wholeGeometry: Field<Def<typeof geometryFields> | undefined> = {
  ...geometry,
  format(value, into, context) {
    if (value?.cylinders && value.heads && value.sectors) geometry.format(value, into, context)
  }
}

export const diskFields = {
  device: withDefault(attr('device', device), 'disk'),
  model: absentIf(
    'default',
    attr(
      'model',
      enumOf('default', 'virtio', 'virtio-transitional', 'virtio-non-transitional', 'usb-storage', 'usb-bot')
    )
  ),
  rawio: attr('rawio', yesNo),
  sgio: attr('sgio', enumOf('filtered', 'unfiltered')),
  /** its part in snapshots of the guest; 'no' goes without saying for what is read-only */
  snapshot: {
    ...attr('snapshot', snapshot),
    format(value, into, _context, def) {
      const { readonly } = def as { readonly?: true }
      if (value !== undefined && !(value === 'no' && readonly)) into.attributes.snapshot = value
    }
  } satisfies Field<(typeof snapshot.values)[number] | undefined>,
  driver: diskDriver,
  authInDisk,
  /** the image, an empty one if there is no medium; also `type`, layout and backing images */
  source: diskSource,
  /** the consequence of a missing medium when the guest starts; written into `<source>` */
  startupPolicy: custom<'mandatory' | 'requisite' | 'optional' | undefined>({
    names: [],
    parse(node, context) {
      const source = firstChild(node, 'source')
      return source && startupPolicy.parse(source, context)
    },
    format: () => undefined
  }),
  backendDomain: absentIf('', childAttr('backenddomain', 'name', string)),
  geometry: wholeGeometry,
  blockio: child('blockio', {
    logical: absentIf(0, attr('logical_block_size', uint)),
    physical: absentIf(0, attr('physical_block_size', uint)),
    discardGranularity: absentIf(0, attr('discard_granularity', uint))
  }),
  mirror: diskMirror,
  target: {
    ...target,
    format(value, into, context, def) {
      const shown = { ...value }
      if (!isRemovable(def)) delete shown.tray
      // libvirt forgets it of SCSI disks, where it takes it
      if (value?.bus !== 'usb') delete shown.removable
      target.format(shown, into, context)
    }
  } satisfies typeof target,
  iotune,
  throttlefilters,
  readonly: flag('readonly'),
  shareable: flag('shareable'),
  /** the guest's writes are forgotten when it stops; a shared backing image stays open for other guests */
  transient: custom<{ shareBacking?: boolean } | undefined>({
    ...childAlways('transient', { shareBacking: attr('shareBacking', yesNo) }),
    format(value, into) {
      if (value) into.children.push(element('transient', { shareBacking: value.shareBacking ? 'yes' : undefined }))
    }
  }),
  serial: childText('serial', string),
  wwn: childText('wwn', string),
  vendor: childText('vendor', string),
  product: childText('product', string),
  encryptionInDisk,
  ...deviceBoot,
  ...deviceInfo
} satisfies Fields
export type DiskDef = Def<typeof diskFields>
export type DiskBus = (typeof bus.values)[number]

/** The bus a disk's name speaks of. */
const PREFIX_BUS: [string, DiskBus][] = [
  ['hd', 'ide'],
  ['sd', 'scsi'],
  ['vd', 'virtio'],
  ['xvd', 'xen'],
  ['ubd', 'uml']
]

function defaultBus({ device, target }: DiskDef): DiskBus {
  if (device === 'floppy') return 'fdc'
  return PREFIX_BUS.find(([prefix]) => target?.dev?.startsWith(prefix))?.[1] ?? 'ide'
}

/** A new disk that only names a group gets its limits from another of that group (virDomainDiskExpandGroupIoTune). */
function groupIoTune(disk: DiskDef, disks: DiskDef[]): DiskDef['iotune'] {
  const { iotune } = disk
  if (!iotune?.group_name || hasIoTuneLimits(iotune) || disks.includes(disk)) return iotune
  const told = disks.find(one => one.iotune?.group_name === iotune.group_name && hasIoTuneLimits(one.iotune))
  return told ? { ...told.iotune } : iotune
}

/** Expands the groups of all disks of a definition; in one pass, as each by itself would look at every other. */
export function expandIoTuneGroups(disks: DiskDef[]): void {
  const told = new Map<string, NonNullable<DiskDef['iotune']>>()
  for (const { iotune } of disks) {
    const group = iotune?.group_name
    if (group && !told.has(group) && hasIoTuneLimits(iotune)) told.set(group, iotune)
  }
  for (const disk of disks) {
    const limits = disk.iotune?.group_name && !hasIoTuneLimits(disk.iotune) && told.get(disk.iotune.group_name)
    if (limits) disk.iotune = { ...limits }
  }
}

/** The number a disk is sorted by; one without a name compares with none and stays. */
const targetIndex = ({ target }: DiskDef): number => (target?.dev === undefined ? Number.NaN : diskIndex(target.dev))

/**
 * Disks in the order libvirt keeps them: those of one bus together, by their names, the buses as they first occur
 * (virDomainDiskInsert).
 */
export function sortDisks(disks: DiskDef[]): DiskDef[] {
  const buses = new Map<DiskBus | undefined, DiskDef[]>()
  for (const disk of disks) {
    const bus = disk.target?.bus
    const block = buses.get(bus)
    if (block) block.push(disk)
    else buses.set(bus, [disk])
  }
  return [...buses.values()].flatMap(block =>
    block
      .map(disk => ({ disk, index: targetIndex(disk) }))
      .sort((a, b) => a.index - b.index || 0)
      .map(({ disk }) => disk)
  )
}

export const disk = deviceFamily({
  element: 'disk',
  fields: diskFields,
  asRead: readFirst(
    diskFields,
    'source',
    'device',
    'model',
    'snapshot',
    'rawio',
    'sgio',
    'startupPolicy',
    'target',
    'geometry',
    'blockio',
    'driver',
    'mirror',
    'transient',
    'iotune',
    'throttlefilters'
  ),
  parsed: sortDisks,
  // virDomainDiskDefPostParse
  postParse(dev, def) {
    const { source } = dev
    dev.target ??= {}
    if (dev.target.dev?.startsWith('ioemu:')) dev.target.dev = dev.target.dev.slice('ioemu:'.length)
    if (dev.device === 'cdrom') dev.readonly = true
    dev.target.bus ??= defaultBus(dev)
    if (dev.readonly || source.type === 'vhostuser') dev.snapshot ??= 'no'
    if (source.type === 'network' && source.protocol === 'iscsi' && source.name && !source.name.includes('/'))
      source.name += '/0'
    if (source.type === 'nvme') source.managed ??= true
    assignDiskAddress(dev, def)
    dev.iotune = groupIoTune(dev, def.devices.disks)
  },
  validate: validateDisk,
  isUsb: ({ target }) => target?.bus === 'usb'
})
