// <hostdev>: devices of the host given to the guest.
import { isDeepStrictEqual } from 'node:util'
import { assignScsiPlaces, isScsiDiskAt } from '../drive-address.ts'
import {
  attr,
  child,
  custom,
  type Def,
  type Field,
  type Fields,
  type FormatContext,
  flag,
  invalidAttribute,
  missingAttribute,
  type ParseContext,
  parseAttribute,
  readIf,
  readLast
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { ipInfo } from '../net/ip.ts'
import { enumOf, onOff, type Scalar, string, yesNo } from '../scalar.ts'
import { firstChild, type XmlElement } from '../xml.ts'
import { isUsbDisabled } from './controller.ts'
import { sameAddress } from './device-address.ts'
import { deviceBoot, deviceInfoWithRom } from './device-info.ts'
import { deviceFamily } from './family.ts'
import {
  type HostdevMode,
  type HostdevSource,
  type HostdevSourceOf,
  hostdevSource,
  hostdevSourceNames,
  hostdevSources,
  parseHostdevSource
} from './hostdev-source.ts'
import { teaming } from './interface-teaming.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const bad = (message: string) => fail('VIR_ERR_XML_ERROR', message)
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const vhostModel = enumOf('virtio', 'virtio-transitional', 'virtio-non-transitional')
const mdevModel = enumOf('vfio-pci', 'vfio-ccw', 'vfio-ap')
const backend = enumOf('kvm', 'vfio', 'xen')

/** Options of a host device, some of them for one type only. */
export interface HostdevOptions {
  /** the host's driver is taken off and given back by us; written on every device of mode subsystem */
  managed?: boolean
  /** SCSI commands of the guest; scsi only */
  sgio?: 'filtered' | 'unfiltered'
  /** the guest may send commands only root may send; scsi only */
  rawio?: boolean
  /** kind of virtio device, scsi_host; kind of mediated device, mdev */
  model?: (typeof vhostModel.values)[number] | (typeof mdevModel.values)[number]
  /** the device's picture goes to the guest's displays; mdev and pci only */
  display?: boolean
  /** a picture before the guest has a driver; mdev and pci only */
  ramfb?: boolean
  /** the host's driver that passes the device through; pci only */
  backend?: (typeof backend.values)[number]
  /** module of the host's kernel that passes it through, a variant of vfio-pci; pci only */
  driverModel?: string
}

const ATTRIBUTES = {
  managed: attr('managed', yesNo),
  sgio: attr('sgio', enumOf('filtered', 'unfiltered')),
  rawio: attr('rawio', yesNo),
  model: attr('model', enumOf(...vhostModel.values, ...mdevModel.values)),
  display: attr('display', onOff),
  ramfb: attr('ramfb', onOff)
} satisfies Fields

/** Devices of type scsi can be read-only and shared; on others the elements mean nothing. */
const scsiOnly = (field: Field<true | undefined>) => readIf(node => node.attributes.type === 'scsi', field)

/** Addresses of a network device handed to a container; QEMU has none, but what is wrong is refused as such. */
const netAddresses = ipInfo('Domain hostdev device')

/** `<driver>` of a PCI device (virDeviceHostdevPCIDriverInfo). */
export const hostdevDriver = { backend: attr('name', backend), driverModel: attr('model', string) } satisfies Fields
const driverChild = child('driver', hostdevDriver)

/** The driver of a PCI device of the host, as options of the device. */
export function parseHostdevDriver(node: XmlElement, context: ParseContext): Def<typeof hostdevDriver> | undefined {
  return driverChild.parse(node, context)
}

export function formatHostdevDriver(
  { backend, driverModel }: HostdevOptions,
  into: XmlElement,
  context: FormatContext
) {
  driverChild.format({ backend, driverModel }, into, context)
}

const table = {
  source: custom<HostdevSource & HostdevOptions>({
    names: [
      '@mode',
      '@type',
      ...Object.values(ATTRIBUTES).flatMap(field => field.names),
      ['driver', hostdevDriver],
      ['source', hostdevSourceNames]
    ],
    parse(node, context) {
      const { mode = 'subsystem', type } = node.attributes
      if (!Object.hasOwn(hostdevSources, mode)) throw invalidAttribute(node, 'mode', mode)
      if (type === undefined) throw missingAttribute(node, 'type')
      const known = mode as HostdevMode
      if (!Object.hasOwn(hostdevSources[known], type)) throw invalidAttribute(node, 'type', type)
      const source = firstChild(node, 'source')
      if (!source) throw bad('Missing <source> element in hostdev device')
      if (known === 'capabilities' && type === 'net') netAddresses.parse(node, context)
      const options = known === 'subsystem' ? parseHostdevOptions(node, source, type) : {}
      const parsed = parseHostdevSource(source, known, type, context)
      return { ...parsed, ...options, ...(type === 'pci' && parseHostdevDriver(node, context)) }
    },
    format(value, into, context) {
      into.attributes.mode = value.mode
      into.attributes.type = value.type
      if (value.mode === 'subsystem') {
        const shown = { ...value, managed: value.managed ?? false }
        for (const key of Object.keys(ATTRIBUTES) as (keyof typeof ATTRIBUTES)[]) {
          if (shown[key] !== undefined) (ATTRIBUTES[key] as Field<unknown>).format(shown[key], into, context)
        }
      }
      formatHostdevDriver(value, into, context)
      hostdevSource.format(value, into, context)
    }
  }),
  teaming,
  readonly: scsiOnly(flag('readonly')),
  shareable: scsiOnly(flag('shareable')),
  ...deviceBoot,
  ...deviceInfoWithRom,
  /** number in the name of a SCSI unit's block node, once the guest is started */
  backendIndex: custom<number | undefined>({ names: [], parse: () => undefined, format: () => undefined })
} satisfies Fields
export type HostdevDef = Def<typeof table>

/** The attributes of `<hostdev>`, or of an `<interface>` that is one, in libvirt's order of reading. */
export function parseHostdevOptions(node: XmlElement, source: XmlElement, type: string): HostdevOptions {
  if (type !== 'usb' && source.attributes.startupPolicy) {
    throw unsupported('Setting startupPolicy is only allowed for USB devices')
  }
  const options: HostdevOptions = {}
  const read = <K extends keyof HostdevOptions>(key: K, scalar: Scalar<NonNullable<HostdevOptions[K]>>) => {
    const value = parseAttribute(node, key, scalar)
    if (value !== undefined) options[key] = value
    return value !== undefined
  }
  // a value libvirt cannot read counts as no
  if (node.attributes.managed === 'yes') options.managed = true
  for (const [key, scalar] of [
    ['sgio', enumOf('filtered', 'unfiltered')],
    ['rawio', yesNo]
  ] as const) {
    if (read(key, scalar as Scalar<never>) && type !== 'scsi') {
      throw bad(`${key} is only supported for scsi host device`)
    }
  }
  const { model } = node.attributes
  if (type === 'scsi_host') {
    // 'default' is one of libvirt's values
    if (model !== 'default') read('model', vhostModel)
  } else if (type === 'mdev') {
    if (!read('model', mdevModel)) throw missingAttribute(node, 'model')
    read('display', onOff)
    read('ramfb', onOff)
  } else if (type === 'pci' && model === undefined) {
    read('display', onOff)
    read('ramfb', onOff)
  } else if (model !== undefined) {
    throw bad(`'model' attribute in <hostdev> is only supported when type='${type}'`)
  }
  return options
}

export const hostdev = deviceFamily({
  element: 'hostdev',
  fields: table,
  asRead: readLast(table, 'teaming'),
  checkRead({ source: { type } }, { controllers }) {
    // to libvirt the number of USB is that of storage handed to containers, too
    if ((type === 'usb' || type === 'storage') && isUsbDisabled(controllers)) {
      throw unsupported("Can't add host USB device: USB is disabled in this host")
    }
  },
  postParse(dev, def) {
    const { source, address } = dev
    if (source.type === 'scsi') {
      if (source.from.protocol === 'iscsi' && !source.from.name.includes('/')) source.from.name += '/0'
      if (!dev.address) assignScsiPlaces(dev, def)
      if (dev.address?.type === 'drive' && isScsiDiskAt(def, dev.address)) {
        const { controller, bus, target, unit } = dev.address
        throw bad(
          `SCSI host address controller='${controller}' bus='${bus}' target='${target}' unit='${unit}' in use by a SCSI disk`
        )
      }
    }
    if (source.type === 'mdev' && address) {
      const wanted = MDEV_ADDRESSES[source.model ?? '']
      if (wanted && address.type !== wanted) {
        throw bad(`Unsupported address type '${address.type}' with mediated device model '${source.model}'`)
      }
    }
  },
  validate({ source, address, teaming }) {
    const [types, refuse] = ADDRESSES[source.type] ?? []
    if (address && types && !types.includes(address.type)) throw refuse!()
    if (source.type === 'scsi' && source.sgio === 'unfiltered') {
      throw unsupported('unfiltered sgio is no longer supported')
    }
    if (!teaming) return
    if (teaming.type !== 'transient') throw unsupported("teaming hostdev devices must have type='transient'")
    if (teaming.persistent === undefined) {
      throw unsupported('missing required persistent attribute in hostdev teaming element')
    }
    if (source.type !== 'pci') throw unsupported('teaming is only supported for pci hostdev devices')
  },
  same: (wanted, there) => sameHostdevSource(wanted.source, there.source),
  isUsb: ({ source }) => source.type === 'usb'
})

/** True if both name one device of the host (virDomainHostdevMatch). */
export function sameHostdevSource(a: HostdevSource, b: HostdevSource): boolean {
  switch (a.type) {
    case 'usb':
      // a place names one device; without, any of that make will do
      if (b.type !== 'usb') return false
      return a.place?.bus && a.place.device
        ? isDeepStrictEqual(a.place, b.place)
        : a.ids?.vendor === b.ids?.vendor && a.ids?.product === b.ids?.product
    case 'pci':
      return b.type === 'pci' && sameAddress(a.place, b.place)
    case 'scsi':
      return b.type === 'scsi' && isDeepStrictEqual(scsiKey(a.from), scsiKey(b.from))
    case 'scsi_host':
      return b.type === 'scsi_host' && a.from.wwpn === b.from.wwpn
    case 'mdev':
      return b.type === 'mdev' && a.uuid === b.uuid
    default:
      return isDeepStrictEqual(a, b)
  }
}

/** The part of a SCSI source that names its device: of an iSCSI target its first host counts. */
function scsiKey(from: HostdevSourceOf<'scsi'>['from']): object {
  if (from.protocol !== 'iscsi') return from
  const {
    name,
    hosts: [host]
  } = from
  return { name, host: host?.name, port: host?.port }
}

/** Kinds of mediated devices that sit on a bus. */
const MDEV_ADDRESSES: Record<string, string> = { 'vfio-pci': 'pci', 'vfio-ccw': 'ccw' }

/** Guest addresses a type can have (virDomainHostdevDefValidate). */
const ADDRESSES: Partial<Record<HostdevSource['type'], [string[], () => Error]>> = {
  pci: [
    ['pci', 'unassigned'],
    () => fail('VIR_ERR_INTERNAL_ERROR', "PCI host devices must use 'pci' or 'unassigned' address type")
  ],
  scsi: [['drive'], () => unsupported("SCSI host device must use 'drive' address type")],
  scsi_host: [['pci', 'ccw'], () => unsupported("SCSI_host host device must use 'pci' or 'ccw' address type")],
  usb: [['usb'], () => unsupported("USB host device must use 'usb' address type")]
}
