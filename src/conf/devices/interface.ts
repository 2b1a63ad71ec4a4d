// <interface>: network cards.

import {
  attr,
  child,
  childAttr,
  childAttrText,
  childText,
  claim,
  custom,
  type Def,
  type Field,
  type Fields,
  liveOnly,
  parseAttribute,
  readFirst
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { bandwidth } from '../net/bandwidth.ts'
import { filterref } from '../net/filterref.ts'
import { ipInfo } from '../net/ip.ts'
import { portForwards } from '../net/port-forward.ts'
import { type VirtualPortDemand, virtualPort } from '../net/virtual-port.ts'
import { vlan } from '../net/vlan.ts'
import { randomBytes } from '../random.ts'
import { enumOf, mac, type Scalar, string, uint, ulonglong, yesNo } from '../scalar.ts'
import { element, firstChild, gathered, textOf, xpathAttribute } from '../xml.ts'
import { deviceBoot, deviceInfoWithRom } from './device-info.ts'

import { deviceFamily } from './family.ts'
import { hostdev } from './hostdev.ts'
import { interfaceBackend, interfaceDriver, interfaceModel } from './interface-driver.ts'
import { networkHostdev } from './interface-hostdev.ts'
import { type InterfaceType, interfaceSource, interfaceType } from './interface-source.ts'
import { teaming } from './interface-teaming.ts'
import { validateInterface } from './interface-validate.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** An address below the prefix that is QEMU's own (virMacAddrGenerate). */
function drawMac(): string {
  return ['52', '54', '00', ...randomBytes(3).toString('hex').match(/../g)!].join(':')
}

/** The address that stands for none (virMacAddrIsAllClear). */
const ZERO_MAC = '00:00:00:00:00:00'

/** An attribute of an element that another field has written. */
function attrOfWritten<T>(name: string, attribute: string, type: Scalar<T>): Field<T | undefined> {
  return {
    names: [[name, { [attribute]: attr(attribute, type) }]],
    parse(node) {
      const found = firstChild(node, name)
      return found && parseAttribute(found, attribute, type)
    },
    format(value, into) {
      const written = firstChild(into, name)
      if (written && value !== undefined) written.attributes[attribute] = type.format(value)
    }
  }
}

const currentMacOfStatus = attrOfWritten('mac', 'currentAddress', mac)
/** Written of guests that run; read from our own status only. */
const currentMac: Field<string | undefined> = {
  ...liveOnly(currentMacOfStatus),
  parse: (node, context) => (context.status ? currentMacOfStatus.parse(node, context) : undefined)
}

/** Prefixes of the names libvirt gives to host devices it makes itself; such a name is no configuration. */
const GENERATED_NAME = /^(vnet|macvtap|macvlan)/

const targetFields = { dev: attr('dev', string), managed: attr('managed', yesNo) } satisfies Fields
type Target = Def<typeof targetFields>

/** `<target>`: the host's device; made by us unless `managed` is false. */
const target = custom<Target | undefined>({
  ...child('target', targetFields),
  parse(node, context) {
    const value = child('target', targetFields).parse(node, context)
    return value && context.inactive ? withoutGeneratedName(value) : value
  },
  format(value, into, context) {
    if (!value) return
    child('target', targetFields).format(context.inactive ? withoutGeneratedName(value) : value, into, context)
  }
})

function withoutGeneratedName(value: Target): Target {
  const { dev, ...rest } = value
  return dev !== undefined && value.managed !== false && GENERATED_NAME.test(dev) ? rest : value
}

/** `<guest>`: the card's name in the guest, the one wished for and the actual one. */
const guest = custom<{ dev?: string; actual?: string } | undefined>({
  names: [['guest', { dev: attr('dev', string), actual: attr('actual', string) }]],
  parse(node) {
    const dev = xpathAttribute(node, 'guest', 'dev')
    const actual = xpathAttribute(node, 'guest', 'actual')
    return dev || actual ? { ...(dev && { dev }), ...(actual && { actual }) } : undefined
  },
  format(value, into) {
    if (value) into.children.push(element('guest', { ...value }))
  }
})

/** `<link state=…/>` */
const link = custom<'up' | 'down' | undefined>({
  names: [['link', { state: attr('state', string) }]],
  parse(node) {
    const state = xpathAttribute(node, 'link', 'state')
    if (!state) return undefined
    if (state === 'up' || state === 'down') return state
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown interface link state '${state}'`)
  },
  format(value, into) {
    if (value) into.children.push(element('link', { state: value }))
  }
})

/** `<mtu size=…/>`; zero is none. */
const mtu = custom<number | undefined>({
  names: [['mtu', { size: attr('size', uint) }]],
  parse(node) {
    const text = xpathAttribute(node, 'mtu', 'size')
    if (!text) return undefined
    const size = uint.parse(text)
    if (size === undefined) throw fail('VIR_ERR_XML_ERROR', 'malformed mtu size')
    return size || undefined
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('mtu', { size: value }))
  }
})

/** `<tune><sndbuf>`, in bytes; zero is no limit. */
const sndbuf = custom<bigint | undefined>({
  names: [['tune', { sndbuf: childText('sndbuf', ulonglong) }]],
  parse(node) {
    const tune = firstChild(node, 'tune')
    const found = tune && firstChild(tune, 'sndbuf')
    const text = found && textOf(found)
    if (!text) return undefined
    const value = ulonglong.parse(text)
    if (value === undefined) throw fail('VIR_ERR_XML_ERROR', 'sndbuf must be a positive integer')
    return value
  },
  format(value, into) {
    if (value !== undefined) into.children.push(element('tune', {}, [element('sndbuf', {}, [String(value)])]))
  }
})

const MAX_FRAMES = 2n ** 32n - 1n

/** `<coalesce><rx><frames max=…/>`; zero is not written. */
const coalesce = custom<number | undefined>({
  names: [['coalesce', { rx: claim(['rx', { frames: claim(['frames', { max: attr('max', uint) }]) }]) }]],
  parse(node) {
    const found = firstChild(node, 'coalesce')
    const rx = found && gathered(found, 'rx')
    const text = rx && xpathAttribute(rx, 'frames', 'max')
    if (!text) return undefined
    const frames = ulonglong.parse(text)
    if (frames === undefined) {
      throw fail('VIR_ERR_XML_DETAIL', `cannot parse value '${text}' for coalesce parameter`)
    }
    if (frames > MAX_FRAMES) {
      throw fail('VIR_ERR_OVERFLOW', `value '${frames}' is too big for coalesce parameter, maximum is '${MAX_FRAMES}'`)
    }
    return Number(frames)
  },
  format(value, into) {
    if (value) into.children.push(element('coalesce', {}, [element('rx', {}, [element('frames', { max: value })])]))
  }
})

const FILTERED: readonly InterfaceType[] = ['network', 'bridge', 'ethernet']
/** Completeness demanded of a port profile, by the types of interface that can have one. */
const PORT_DEMANDS: Partial<Record<InterfaceType, VirtualPortDemand>> = {
  network: 'partial',
  bridge: 'complete',
  direct: 'complete',
  hostdev: 'complete'
}

export const interfaceFields = {
  type: custom<InterfaceType>({ names: ['@type'], parse: interfaceType, format: () => undefined }),
  /** the host takes over the receive filters that the guest sets */
  trustGuestRxFilters: attr('trustGuestRxFilters', yesNo),
  /** given or drawn from QEMU's own prefix */
  mac: custom<string>({
    names: [['mac', { address: attr('address', mac) }]],
    parse(node) {
      const text = firstChild(node, 'mac')?.attributes.address
      if (text === undefined) return drawMac()
      const address = mac.parse(text)
      if (address === undefined) throw fail('VIR_ERR_XML_ERROR', `unable to parse mac address '${text}'`)
      if (Number.parseInt(address.slice(0, 2), 16) & 1) {
        throw fail('VIR_ERR_XML_ERROR', `expected unicast mac address, found multicast '${text}'`)
      }
      return address === ZERO_MAC ? drawMac() : address
    },
    format(value, into) {
      into.children.push(element('mac', { address: value }))
    }
  }),
  /** the user has named no address: one was drawn just now */
  macGenerated: custom<true | undefined>({
    names: [],
    parse(node) {
      const text = firstChild(node, 'mac')?.attributes.address
      return text === undefined || mac.parse(text) === ZERO_MAC ? true : undefined
    },
    format: () => undefined
  }),
  macType: attrOfWritten('mac', 'type', enumOf('generated', 'static')),
  macCheck: attrOfWritten('mac', 'check', yesNo),
  /** the address that a guest which runs has given its card, where it is another */
  currentMac,
  source: interfaceSource,
  vlan,
  virtualPort: virtualPort(node => {
    const type = interfaceType(node)
    const demand = PORT_DEMANDS[type]
    if (demand) return demand
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `<virtualport> element unsupported for <interface type='${type}'>`)
  }),
  bandwidth: bandwidth(node => node.attributes.type === 'network'),
  isolated: childAttr('port', 'isolated', yesNo),
  guestIp: ipInfo('guest interface'),
  portForwards,
  script: childAttrText('script', 'path'),
  downscript: childAttrText('downscript', 'path'),
  backendDomain: childAttrText('backenddomain', 'name'),
  target,
  guest,
  model: interfaceModel,
  driver: interfaceDriver,
  backend: interfaceBackend,
  filterref: filterref(node => FILTERED.includes(interfaceType(node))),
  /** bytes */
  sndbuf,
  teaming,
  link,
  mtu,
  /** frames received before the host is told */
  coalesce,
  ...deviceBoot,
  ...deviceInfoWithRom
} satisfies Fields
export type InterfaceDef = Def<typeof interfaceFields>

export const interfaceFamily = deviceFamily({
  element: 'interface',
  fields: interfaceFields,
  asRead: readFirst(
    interfaceFields,
    'type',
    'trustGuestRxFilters',
    'model',
    'source',
    'virtualPort',
    'target',
    'filterref',
    'bandwidth',
    'vlan',
    'mac',
    'macType',
    'macCheck',
    'boot',
    'rom',
    'acpiIndex',
    'address',
    'guestIp',
    'portForwards',
    'driver',
    'backend',
    'link',
    'teaming',
    'sndbuf',
    'mtu',
    'coalesce'
  ),
  validate(dev, def) {
    validateInterface(dev)
    const onHost = networkHostdev(dev)
    // its teaming has been checked as the card's
    if (onHost) hostdev.validate?.({ ...onHost, teaming: undefined }, def)
  },
  isUsb: ({ model }) => model === 'usb-net'
})
