// <model>, <driver> and <backend> of an <interface>: the guest's card and what serves it on the host.
import {
  attr,
  attrUnless,
  child,
  custom,
  type Def,
  type Field,
  type Fields,
  parseFields,
  readFirst
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { sanitizePath } from '../path.ts'
import { enumOf, onOff, type Scalar, string, uint } from '../scalar.ts'
import { element, firstChild, gathered, type XmlElement, xpathAttribute } from '../xml.ts'
import { virtioDriver } from './device-info.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Models libvirt knows by name, in any case of letters (virDomainNetModel); others are taken as they are. */
const MODELS = [
  'netfront',
  'rtl8139',
  'virtio',
  'e1000',
  'e1000e',
  'igb',
  'virtio-transitional',
  'virtio-non-transitional',
  'usb-net',
  'spapr-vlan',
  'lan9118',
  'scm91c111',
  'vlance',
  'vmxnet',
  'vmxnet2',
  'vmxnet3',
  'Am79C970A',
  'Am79C973',
  '82540EM',
  '82545EM',
  '82543GC'
]

/** `<model type=…/>` (virDomainNetSetModelString). */
export const interfaceModel: Field<string | undefined> = {
  names: [['model', { type: attr('type', string) }]],
  parse(node) {
    const text = xpathAttribute(node, 'model', 'type')
    if (!text || text.toLowerCase() === 'unknown') return undefined
    const known = MODELS.find(model => model.toLowerCase() === text.toLowerCase())
    if (known === undefined && !/^[\w-]+$/.test(text)) {
      throw fail('VIR_ERR_INVALID_ARG', 'Model name contains invalid characters')
    }
    return known ?? text
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('model', { type: value }))
  }
}

/** The model's name in messages: libvirt has none for models it does not know (virDomainNetModelTypeToString). */
export function knownModel(model: string | undefined): string {
  return model !== undefined && MODELS.includes(model) ? model : 'unknown'
}

/** virDomainNetIsVirtioModel */
export function isVirtioModel(model: string | undefined): boolean {
  return model === 'virtio' || model === 'virtio-transitional' || model === 'virtio-non-transitional'
}

/** Settings of a virtio card of the guest count only where the user named the model. */
function isVirtioElement(node: XmlElement, context: Parameters<typeof interfaceModel.parse>[1]): boolean {
  return node.attributes.type !== 'hostdev' && isVirtioModel(interfaceModel.parse(node, context))
}

/** A number that says nothing if it is below `least`. */
const atLeast = (least: number, field: Field<number | undefined>): Field<number | undefined> => ({
  ...field,
  parse(node, context) {
    const value = field.parse(node, context)
    return value === undefined || value < least ? undefined : value
  }
})

const hostOffloads = {
  csum: attr('csum', onOff),
  gso: attr('gso', onOff),
  tso4: attr('tso4', onOff),
  tso6: attr('tso6', onOff),
  ecn: attr('ecn', onOff),
  ufo: attr('ufo', onOff),
  mrgRxbuf: attr('mrg_rxbuf', onOff)
} satisfies Fields

const guestOffloads = {
  csum: attr('csum', onOff),
  tso4: attr('tso4', onOff),
  tso6: attr('tso6', onOff),
  ecn: attr('ecn', onOff),
  ufo: attr('ufo', onOff)
} satisfies Fields

const attributes = {
  name: attr('name', enumOf('qemu', 'vhost')),
  txmode: attr('txmode', enumOf('iothread', 'timer')),
  ioeventfd: attr('ioeventfd', onOff),
  eventIdx: attr('event_idx', onOff),
  /** there is always one queue: only more are written */
  queues: atLeast(2, attr('queues', uint)),
  rxQueueSize: atLeast(1, attr('rx_queue_size', uint)),
  txQueueSize: atLeast(1, attr('tx_queue_size', uint)),
  rss: attr('rss', onOff),
  rssHashReport: attr('rss_hash_report', onOff),
  ...virtioDriver
} satisfies Fields

/** Offloads of several `<driver>` count, as libvirt reads them by XPath. */
const offloads = { host: child('host', hostOffloads), guest: child('guest', guestOffloads) } satisfies Fields

const driver = { ...attributes, ...offloads } satisfies Fields
const attributesAsRead = readFirst(attributes, ...(Object.keys(virtioDriver) as (keyof typeof virtioDriver)[]))
export type InterfaceDriver = Def<typeof driver>

/** `<driver>` of the guest's card; what only virtio has is ignored on other models (virDomainNetDefParseXMLDriver). */
export const interfaceDriver: Field<InterfaceDriver | undefined> = custom<InterfaceDriver | undefined>({
  names: [['driver', driver]],
  parse(node, context) {
    const found = firstChild(node, 'driver')
    if (!found) return undefined
    const value = isVirtioElement(node, context)
      ? {
          ...parseFields(found, attributesAsRead, context),
          ...parseFields(gathered(node, 'driver')!, offloads, context)
        }
      : parseFields(found, virtioDriver, context)
    return Object.keys(value).length > 0 ? (value as InterfaceDriver) : undefined
  },
  format(value, into, context) {
    child('driver', driver).format(value, into, context)
  }
})

/** A path without superfluous slashes. */
const path: Scalar<string> = { ...string, parse: sanitizePath }

const backend = {
  /** the host's program that carries the packets; absent: QEMU's own network stack, or a vhost-user switch */
  type: attrUnless('type', 'default', enumOf('passt')),
  tap: attr('tap', path),
  vhost: attr('vhost', path),
  logFile: attr('logFile', string)
} satisfies Fields

/** `<backend>`: the program or the host's devices that serve the card. */
export const interfaceBackend: Field<Def<typeof backend> | undefined> = {
  ...child('backend', backend),
  parse(node, context) {
    const value = child('backend', backend).parse(node, context)
    if (value?.vhost !== undefined && !isVirtioElement(node, context)) delete value.vhost
    return value && Object.keys(value).length > 0 ? value : undefined
  }
}
