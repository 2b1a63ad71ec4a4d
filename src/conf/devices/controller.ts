// <controller>: PCI, USB, SCSI, SATA, IDE, virtio-serial and other buses.

import { CONTROLLERS_MAX, insertController, PCI_INDEX_MAX, tooManyBuses } from '../controllers.ts'
import {
  attr,
  childAlways,
  custom,
  type Def,
  type Field,
  type Fields,
  nonZero,
  parseFields,
  readFirst,
  readIf
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import {
  enumOf,
  int,
  nonNegativeHex,
  nonNegativeInt,
  nonNegativeIntAnyBase,
  onOff,
  string,
  uint,
  ulonglongAnyBase
} from '../scalar.ts'
import { childAmount, memoryKiB } from '../scaled.ts'
import { childElements, element, firstChild, textOf, type XmlElement } from '../xml.ts'
import {
  COMPANION_START_PORTS,
  type ControllerModel,
  controllerModels,
  isVirtioScsi,
  type PciModelName,
  pciModelNames
} from './controller-models.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'
import { iothreadMapping } from './iothread-mapping.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const type = enumOf('ide', 'fdc', 'scsi', 'sata', 'virtio-serial', 'ccid', 'usb', 'pci', 'xenbus', 'isa')
export type ControllerType = (typeof type.values)[number]

const typeOf = (node: XmlElement) => node.attributes.type ?? 'ide'

/** The field exists on controllers of this type only; others ignore it. */
const onlyOn = <T>(type: ControllerType, field: Field<T | undefined>) => readIf(node => typeOf(node) === type, field)

/** USB controllers of model none are no device: they have no place. */
const unlessUsbNone = <T>(field: Field<T | undefined>) =>
  readIf(node => typeOf(node) !== 'usb' || node.attributes.model !== 'none', field)

/** Read of every controller, kept where it means something. */
const ports: Field<number | undefined> = {
  ...attr('ports', nonNegativeInt),
  parse(node, context) {
    const count = attr('ports', nonNegativeInt).parse(node, context)
    return typeOf(node) === 'virtio-serial' || typeOf(node) === 'usb' ? count : undefined
  }
}

/** libvirt takes zero for not given. */
const notZero = (field: Field<number | undefined>): Field<number | undefined> => ({
  ...field,
  parse: (node, context) => field.parse(node, context) || undefined
})

function atMostOne(node: XmlElement, name: string): XmlElement | undefined {
  if (childElements(node, name).length > 1) {
    throw fail('VIR_ERR_XML_ERROR', `Multiple <${name}> elements in controller definition not allowed`)
  }
  return firstChild(node, name)
}

const model = custom<ControllerModel | undefined>({
  names: ['@model'],
  parse(node) {
    const text = node.attributes.model
    if (text === undefined) return undefined
    const known = (controllerModels as Record<string, readonly ControllerModel[]>)[typeOf(node)]
    const found = known?.find(one => one === text)
    if (found === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Unknown model type '${text}'`)
    return found
  },
  format(value, into) {
    if (value !== undefined) into.attributes.model = value
  }
})

const pciModelNameField = { name: attr('name', enumOf(...pciModelNames)) } satisfies Fields

/** `<model name=…/>`: which QEMU device a PCI controller is. */
const pciModelName = custom<PciModelName | undefined>({
  names: [['model', pciModelNameField]],
  parse(node, context) {
    const found = atMostOne(node, 'model')
    if (!found || typeOf(node) !== 'pci') return undefined
    const { name } = parseFields(found, pciModelNameField, context)
    return name === 'none' ? undefined : name
  },
  format(value, into, context) {
    // older libvirt knew the pSeries host bridge without its name
    if (value === undefined || (context.migratable && value === 'spapr-pci-host-bridge')) return
    into.children.push(element('model', { name: value }))
  }
})

const targetAttributes = {
  chassisNr: attr('chassisNr', nonNegativeIntAnyBase),
  chassis: attr('chassis', nonNegativeIntAnyBase),
  port: attr('port', nonNegativeHex),
  busNr: attr('busNr', nonNegativeIntAnyBase),
  index: attr('index', nonNegativeIntAnyBase),
  hotplug: attr('hotplug', onOff),
  /** KiB of memory space set aside for what is plugged in behind it */
  memReserve: nonZero(attr('memReserve', ulonglongAnyBase))
} satisfies Fields

/** `<node>`, the guest NUMA node of an expander bus or host bridge. */
const targetNode = custom<number | undefined>({
  names: [['node', {}]],
  parse(node) {
    const found = firstChild(node, 'node')
    const text = found && textOf(found)
    if (!text) return undefined
    const value = int.parse(text)
    if (value === undefined || value < 0) throw fail('VIR_ERR_XML_ERROR', 'invalid NUMA node in target')
    return value
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('node', {}, [String(value)]))
  }
})

const targetFields = { ...targetAttributes, node: targetNode } satisfies Fields
export type ControllerTarget = Def<typeof targetFields>
/** virDomainControllerDefParseXML */
const targetAsRead = readFirst(targetFields, 'chassisNr', 'chassis', 'port', 'busNr', 'hotplug', 'index', 'memReserve')
const targetElement = childAlways('target', targetFields)

/** `<target>`: the options of a PCI controller. */
const target = custom<ControllerTarget | undefined>({
  names: targetElement.names,
  parse(node, context) {
    const found = atMostOne(node, 'target')
    if (!found) return undefined
    if (typeOf(node) === 'pci') return parseFields(found, targetAsRead, context)
    targetNode.parse(found, context)
    return undefined
  },
  format(value, into, context) {
    if (value !== undefined && Object.values(value).some(one => one !== undefined)) {
      targetElement.format(value, into, context)
    }
  }
})

const driver = {
  queues: notZero(attr('queues', uint)),
  cmdPerLun: notZero(attr('cmd_per_lun', uint)),
  maxSectors: notZero(attr('max_sectors', uint)),
  ioeventfd: attr('ioeventfd', onOff),
  iothread: notZero(attr('iothread', uint)),
  ...virtioDriver,
  iothreads: iothreadMapping
} satisfies Fields
const driverElement = childAlways('driver', driver)

/** `<pcihole64>`: the size in KiB of the window for 64-bit addresses, on root buses. */
const pcihole64KiB = custom<number | undefined>({
  names: [['pcihole64', { unit: attr('unit', string) }]],
  parse(node) {
    const { model: root } = node.attributes
    if (typeOf(node) !== 'pci' || (root !== 'pci-root' && root !== 'pcie-root')) return undefined
    const found = firstChild(node, 'pcihole64')
    return found && textOf(found) !== '' ? memoryKiB(childAmount(node, 'pcihole64')) : undefined
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('pcihole64', { unit: 'KiB' }, [String(value)]))
  }
})

export const controllerFields = {
  type: custom<ControllerType>({
    names: ['@type'],
    parse: (node, context) => attr('type', type).parse(node, context) ?? 'ide',
    format(value, into) {
      into.attributes.type = value
    }
  }),
  /** absent until the controllers are numbered */
  index: attr('index', nonNegativeInt),
  model,
  ports,
  vectors: onlyOn('virtio-serial', attr('vectors', nonNegativeInt)),
  maxGrantFrames: onlyOn('xenbus', attr('maxGrantFrames', nonNegativeInt)),
  maxEventChannels: onlyOn('xenbus', attr('maxEventChannels', nonNegativeInt)),
  pciModelName,
  target,
  driver: custom<Def<typeof driver> | undefined>({
    ...driverElement,
    format(value, into, context) {
      if (value && Object.values(value).some(one => one !== undefined)) driverElement.format(value, into, context)
    }
  }),
  alias: unlessUsbNone(deviceInfo.alias),
  masterStartPort: {
    ...deviceInfo.masterStartPort,
    parse(node, context) {
      const given = unlessUsbNone(deviceInfo.masterStartPort).parse(node, context)
      return given ?? (typeOf(node) === 'usb' ? COMPANION_START_PORTS[node.attributes.model ?? ''] : undefined)
    }
  } satisfies Field<number | undefined>,
  acpiIndex: unlessUsbNone(deviceInfo.acpiIndex),
  address: unlessUsbNone(deviceInfo.address),
  pcihole64KiB
} satisfies Fields
export type ControllerDef = Def<typeof controllerFields>

/** Bounds of a PCI controller's options: libvirt's name for each, lowest and highest value. */
const PCI_RANGES = [
  ['index', 'target index', 0, 30],
  ['chassisNr', 'chassisNr', 1, 255],
  ['chassis', 'chassis', 0, 255],
  ['port', 'port', 0, 255],
  ['busNr', 'busNr', 1, 254]
] as const satisfies [keyof ControllerTarget, string, number, number][]

/** PCI controllers: index and options in range (virDomainControllerDefValidate). */
function validatePci(dev: ControllerDef): void {
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  const { index = -1, target = {} } = dev
  if ((dev.model === 'pci-root' || dev.model === 'pcie-root') && dev.address) {
    throw unsupported('pci-root and pcie-root controllers should not have an address')
  }
  if (index > PCI_INDEX_MAX) throw tooManyBuses(index)
  for (const [key, name, min, max] of PCI_RANGES) {
    const value = target[key]
    if (value === undefined) continue
    if (value < min || value > max) {
      throw unsupported(`PCI controller ${name} '${value}' out of range - must be ${min}-${max}`)
    }
    if (key === 'index' && (index === 0) !== (value === 0)) {
      throw unsupported('Only the PCI controller with index 0 can have target index 0, and vice versa')
    }
  }
  if (target.node !== undefined && index === 0) {
    throw unsupported("The PCI controller with index=0 can't be associated with a NUMA node")
  }
}

/** I/O threads are virtio-scsi's, and told in one way (virDomainControllerDefValidate). */
function validateIothreads({ type, model, driver: { iothread, iothreads } = {} }: ControllerDef): void {
  if (iothread === undefined && !iothreads) return
  if (type !== 'scsi' || !isVirtioScsi(model))
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "iothreads are supported only by 'virtio-scsi' controllers")
  if (iothread !== undefined && iothreads)
    throw fail(
      'VIR_ERR_XML_ERROR',
      "controller driver 'iothread' attribute can't be used together with 'iothreads' subelement"
    )
}

/** The SCSI model that has the number of this controller's model: libvirt does not look at the type there. */
function scsiNumbered({ type, model }: ControllerDef): string | undefined {
  const { [type]: models = [], scsi } = controllerModels as Partial<Record<ControllerType, readonly string[]>>
  return model && scsi?.[models.indexOf(model)]
}

/** USB is either off or has a master controller (virDomainDefControllersParse). */
function checkUsb(list: ControllerDef[]): void {
  const usb = list.filter(one => one.type === 'usb')
  if (usb.length === 0) return
  if (usb.length > 1 && usb.some(one => one.model === 'none')) {
    throw fail('VIR_ERR_XML_DETAIL', "Can't add another USB controller: USB is disabled for this domain")
  }
  if (usb.every(one => one.masterStartPort !== undefined)) {
    throw fail('VIR_ERR_XML_DETAIL', 'No master USB controller specified')
  }
}

/** `<controller type='usb' model='none'/>`: the guest has no USB. */
export function isUsbDisabled(list: ControllerDef[]): boolean {
  return list.some(one => one.type === 'usb' && one.model === 'none')
}

export const controller = deviceFamily({
  element: 'controller',
  fields: controllerFields,
  asRead: readFirst(
    controllerFields,
    'type',
    'model',
    'index',
    'driver',
    'pciModelName',
    'target',
    'alias',
    'masterStartPort',
    'acpiIndex',
    'address'
  ),
  parsed(list) {
    if (list.length > CONTROLLERS_MAX) throw tooManyBuses(PCI_INDEX_MAX + 1)
    checkUsb(list)
    const ordered: ControllerDef[] = []
    for (const dev of list) insertController(ordered, dev)
    return ordered
  },
  postParse(dev) {
    if (dev.driver?.iothread !== undefined && !isVirtioScsi(scsiNumbered(dev))) {
      throw fail('VIR_ERR_XML_ERROR', "'iothread' attribute only supported for virtio scsi controllers")
    }
  },
  validate(dev) {
    if (dev.type === 'pci') validatePci(dev)
    validateIothreads(dev)
  },
  // virDomainControllerFind
  same: (wanted, there) => wanted.type === there.type && wanted.index === there.index,
  isUsb: ({ type }) => type === 'ccid'
})
