// <disk>: block devices and their images.
import {
  attr,
  childAlways,
  childText,
  custom,
  type Def,
  type Field,
  type Fields,
  flag,
  formatFieldsInto,
  parseFields
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, string, uint, yesNo } from '../scalar.ts'
import { childElements, element, firstChild } from '../xml.ts'
import { deviceBoot, deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface NetworkHost {
  name?: string
  port?: string
  transport?: string
  socket?: string
}

/** Where the image lies; the kinds differ by the disk's `type`. */
export type DiskSource =
  | { type: 'file'; file: string; startupPolicy?: string }
  | { type: 'block'; path: string; startupPolicy?: string }
  | { type: 'dir'; path: string; startupPolicy?: string }
  | { type: 'network'; protocol: string; name?: string; query?: string; tls?: boolean; hosts: NetworkHost[] }

const diskTypes = ['file', 'block', 'dir', 'network', 'volume', 'nvme', 'vhostuser', 'vhostvdpa'] as const
const protocols = [
  'none',
  'nbd',
  'rbd',
  'sheepdog',
  'gluster',
  'iscsi',
  'http',
  'https',
  'ftp',
  'ftps',
  'tftp',
  'ssh',
  'vxhs',
  'nfs'
] as const

const PATH_ATTRIBUTE = { file: 'file', block: 'dev', dir: 'dir' } as const

export const diskSource: Field<DiskSource | undefined> = custom<DiskSource | undefined>({
  names: ['@type', ['source', null]],
  parse(node) {
    const type = node.attributes.type ?? 'file'
    if (!(diskTypes as readonly string[]).includes(type)) {
      throw fail('VIR_ERR_XML_ERROR', `Invalid value for attribute 'type' in element 'disk': '${type}'.`)
    }
    const found = firstChild(node, 'source')
    if (type === 'file' || type === 'block' || type === 'dir') {
      const path = found?.attributes[PATH_ATTRIBUTE[type]]
      const startupPolicy = found?.attributes.startupPolicy
      const policy = startupPolicy === undefined ? {} : { startupPolicy }
      if (!path) return undefined
      return type === 'file' ? { type, file: path, ...policy } : ({ type, path, ...policy } as DiskSource)
    }
    if (type !== 'network') throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `disk type '${type}' is not supported`)
    if (!found) return undefined
    const { protocol, name, query, tls } = found.attributes
    if (protocol === undefined)
      throw fail('VIR_ERR_XML_ERROR', "Missing required attribute 'protocol' in element 'source'")
    if (!(protocols as readonly string[]).includes(protocol)) {
      throw fail('VIR_ERR_XML_ERROR', `Invalid value for attribute 'protocol' in element 'source': '${protocol}'.`)
    }
    const hosts = childElements(found, 'host').map(({ attributes }) => ({ ...attributes }) as NetworkHost)
    return { type, protocol, ...(name && { name }), ...(query && { query }), ...(tls && { tls: tls === 'yes' }), hosts }
  },
  format(value, into) {
    if (value === undefined) return
    if (value.type === 'network') {
      const { protocol, name, query, tls, hosts } = value
      const host = hosts.map(({ name, port, transport, socket }) =>
        element('host', { name, port, transport: transport === 'tcp' && name ? undefined : transport, socket })
      )
      into.children.push(
        element('source', { protocol, name, query, tls: tls === undefined ? undefined : yesNo.format(tls) }, host)
      )
      return
    }
    const path = value.type === 'file' ? value.file : value.path
    into.children.push(element('source', { [PATH_ATTRIBUTE[value.type]]: path, startupPolicy: value.startupPolicy }))
  }
})

const driver = {
  name: attr('name', string),
  type: attr('type', string),
  cache: attr('cache', enumOf('default', 'none', 'writethrough', 'writeback', 'directsync', 'unsafe')),
  errorPolicy: attr('error_policy', enumOf('stop', 'report', 'ignore', 'enospace')),
  rerrorPolicy: attr('rerror_policy', enumOf('stop', 'report', 'ignore')),
  io: attr('io', enumOf('native', 'threads', 'io_uring')),
  ioeventfd: attr('ioeventfd', onOff),
  eventIdx: attr('event_idx', onOff),
  copyOnRead: attr('copy_on_read', onOff),
  discard: attr('discard', enumOf('unmap', 'ignore')),
  iothread: attr('iothread', uint),
  detectZeroes: attr('detect_zeroes', enumOf('off', 'on', 'unmap')),
  queues: attr('queues', uint),
  queueSize: attr('queue_size', uint),
  ...virtioDriver
} satisfies Fields

const bus = enumOf('ide', 'fdc', 'scsi', 'virtio', 'xen', 'usb', 'uml', 'sata', 'sd')

export const diskFields = {
  /** the kind of source even where there is no medium */
  type: custom<(typeof diskTypes)[number]>({
    names: ['@type'],
    parse: node => (node.attributes.type ?? 'file') as (typeof diskTypes)[number],
    format(value, into) {
      into.attributes.type = value
    }
  }),
  device: custom<'disk' | 'cdrom' | 'floppy' | 'lun'>({
    names: ['@device'],
    parse: (node, context) => attr('device', enumOf('disk', 'cdrom', 'floppy', 'lun')).parse(node, context) ?? 'disk',
    format(value, into) {
      into.attributes.device = value
    }
  }),
  model: attr('model', enumOf('virtio', 'virtio-transitional', 'virtio-non-transitional')),
  rawio: attr('rawio', yesNo),
  sgio: attr('sgio', enumOf('filtered', 'unfiltered')),
  snapshot: attr('snapshot', enumOf('no', 'internal', 'external', 'manual')),
  driver: custom<Def<typeof driver>>({
    names: [['driver', driver]],
    parse(node, context) {
      const found = firstChild(node, 'driver')
      return found ? parseFields(found, driver, context) : {}
    },
    format(value, into, context) {
      const node = element('driver')
      formatFieldsInto(node, value, driver, context)
      if (Object.keys(node.attributes).length > 0) into.children.push(node)
    }
  }),
  source: diskSource,
  target: childAlways('target', {
    dev: attr('dev', string),
    bus: attr('bus', bus),
    tray: attr('tray', enumOf('closed', 'open')),
    removable: attr('removable', onOff),
    rotationRate: attr('rotation_rate', uint)
  }),
  blockio: childAlways('blockio', {
    logical: attr('logical_block_size', uint),
    physical: attr('physical_block_size', uint)
  }),
  readonly: flag('readonly'),
  shareable: flag('shareable'),
  transient: flag('transient'),
  serial: childText('serial', string),
  wwn: childText('wwn', string),
  vendor: childText('vendor', string),
  product: childText('product', string),
  ...deviceBoot,
  ...deviceInfo
} satisfies Fields
export type DiskDef = Def<typeof diskFields>
export type DiskBus = (typeof bus.values)[number]

const PREFIX_BUS: [RegExp, DiskBus][] = [
  [/^hd/, 'ide'],
  [/^sd/, 'scsi'],
  [/^fd/, 'fdc'],
  [/^vd/, 'virtio'],
  [/^xvd/, 'xen'],
  [/^ubd/, 'uml']
]

/** The number in a disk name: vda is 0, vdz 25, vdaa 26; -1 for a name that is none. */
export function diskIndex(dev: string): number {
  const letters = /^(?:fd|hd|vd|sd|xvd|ubd)([a-z]+)\d*$/.exec(dev)?.[1]
  if (letters === undefined) return -1
  return [...letters].reduce((index, letter) => (index + 1) * 26 + letter.charCodeAt(0) - 97, -1)
}

export const disk = deviceFamily({
  element: 'disk',
  fields: diskFields,
  postParse(dev) {
    if (dev.device === 'cdrom') dev.readonly = true
    if (dev.source?.type === 'network') for (const host of dev.source.hosts) host.transport ??= 'tcp'
    if (dev.target?.dev === undefined)
      throw fail('VIR_ERR_NO_TARGET', dev.source?.type === 'file' ? dev.source.file : undefined)
    dev.target.bus ??= PREFIX_BUS.find(([prefix]) => prefix.test(dev.target!.dev!))?.[1] ?? 'ide'
    if (dev.target.bus !== 'virtio' && diskIndex(dev.target.dev) < 0) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `Unknown disk name '${dev.target.dev}' and no address specified`)
    }
  },
  validate(dev) {
    if (dev.device !== 'cdrom' && dev.device !== 'floppy' && !dev.source) {
      throw fail('VIR_ERR_XML_ERROR', `${dev.device} '${dev.target?.dev}' must have a source`)
    }
    if ((dev.vendor ?? dev.product) !== undefined && dev.target?.bus !== 'scsi') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Only scsi disk supports vendor and product')
    }
  }
})
