// <serial>, <parallel>, <console>, <channel>: one character device each, with a host side (source) and a guest side
// (target).
import { isX86Arch } from '../arch.ts'
import { attr, type Def, type Field, type Fields, liveOnly, readFirst } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string } from '../scalar.ts'
import { chardevSource, knownChardevType, sameChardevSource } from './chardev-source.ts'
import { validateChardevSource } from './chardev-source-validate.ts'
import {
  channelTarget,
  consoleTarget,
  parallelTarget,
  serialTarget,
  spicevmcChecks,
  usbSerialCheck
} from './chardev-target.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export const serialFields = { source: chardevSource, target: serialTarget, ...deviceInfo } satisfies Fields
export const parallelFields = { source: chardevSource, target: parallelTarget, ...deviceInfo } satisfies Fields
export const consoleFields = {
  source: chardevSource,
  /** written for clients that knew nothing but `<console tty='/dev/pts/5'/>` */
  tty: liveOnly(attr('tty', string)),
  target: consoleTarget,
  ...deviceInfo
} satisfies Fields
export const channelFields = { source: chardevSource, target: channelTarget, ...deviceInfo } satisfies Fields

export type SerialDef = Def<typeof serialFields>
export type ParallelDef = Def<typeof parallelFields>
export type ConsoleDef = Def<typeof consoleFields>
export type ChannelDef = Def<typeof channelFields>
/** Any of the four; a target's `type` is their own. */
export type ChardevDef = SerialDef | ParallelDef | ConsoleDef | ChannelDef

/** In libvirt's order of reading (virDomainChrDefParseXML): the guest's side before the host's. */
const asRead = <F extends { target: Field<unknown>; source: Field<unknown> }>(
  fields: F,
  spicevmc: Field<undefined>
) => ({
  type: knownChardevType,
  ...readFirst({ ...fields, spicevmc }, 'target', 'source', 'spicevmc')
})

type Ported = { target: { port?: number } }

/** One more than the highest port in use. */
function nextPort(list: readonly Ported[]): number {
  return list.reduce((next, { target }) => Math.max(next, (target.port ?? -1) + 1), 0)
}

/** Gives devices without a port those above all in use; in one pass, as each by itself would look at all others. */
function assignPortsAbove(list: readonly Ported[]): void {
  let next = nextPort(list)
  for (const { target } of list) target.port ??= next++
}

/** Gives devices without a port the one above all of the devices before. */
function assignPortsInOrder(list: readonly Ported[]): void {
  let next = 0
  for (const { target } of list) {
    target.port ??= next
    next = Math.max(next, target.port + 1)
  }
}

/** Ports a machine can have on its ISA bus (VIR_MAX_ISA_SERIAL_PORTS). */
const ISA_SERIAL_PORTS = 4

/** Ports of serial devices that ask for the ISA bus by name; it has few (virDomainChrIsaSerialDefPostParse). */
export function assignIsaSerialPorts(serials: SerialDef[]): void {
  const onIsa = serials.filter(({ target }) => target.type === 'isa-serial')
  const used = new Set<number>()
  onIsa.forEach(({ target: { port } }, count) => {
    if (count >= ISA_SERIAL_PORTS || (port !== undefined && port >= ISA_SERIAL_PORTS)) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `Maximum supported number of ISA serial ports is '${ISA_SERIAL_PORTS}'`)
    }
    if (port === undefined) return
    if (used.has(port)) throw fail('VIR_ERR_INTERNAL_ERROR', `target port '${port}' already allocated`)
    used.add(port)
  })
  for (const { target } of onIsa) {
    if (target.port !== undefined) continue
    target.port = 0
    while (used.has(target.port)) target.port++
    used.add(target.port)
  }
}

/** Comparison of two of a kind: their backends, and their places in the guest (virDomainChrEquals). */
const sameBy =
  <D extends ChardevDef>(...place: (keyof D['target'])[]) =>
  (wanted: D, there: D): boolean =>
    sameChardevSource(wanted.source, there.source) &&
    place.every(key => (wanted.target as D['target'])[key] === (there.target as D['target'])[key])

export const serial = deviceFamily({
  element: 'serial',
  fields: serialFields,
  asRead: { ...asRead(serialFields, spicevmcChecks.serial), usbSerialCheck },
  postParse(dev, def) {
    if (dev.target.type === 'isa-debug' && !isX86Arch(def.os.arch)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'isa-debug serial type only valid on x86 architecture')
    }
    if (dev.target.port === undefined) assignPortsAbove([...def.devices.serials, dev])
  },
  validate: ({ source }, def) => validateChardevSource(source, def),
  same: sameBy<SerialDef>('type', 'port'),
  isUsb: ({ target }) => target.type === 'usb-serial'
})

export const parallel = deviceFamily({
  element: 'parallel',
  fields: parallelFields,
  asRead: asRead(parallelFields, spicevmcChecks.parallel),
  postParse(dev, { devices }) {
    if (dev.target.port === undefined) assignPortsInOrder([...devices.parallels, dev])
  },
  validate: ({ source }, def) => validateChardevSource(source, def),
  same: sameBy<ParallelDef>('port')
})

export const console = deviceFamily({
  element: 'console',
  fields: consoleFields,
  asRead: asRead(consoleFields, spicevmcChecks.console),
  // numbered as they stand, whatever was written
  parsed(list) {
    for (const [at, { target }] of list.entries()) target.port = at
    return list
  },
  postParse(dev, { devices }) {
    if (dev.target.type === 'none') dev.target.type = 'serial'
    dev.target.port ??= nextPort(devices.consoles)
  },
  validate: ({ source }, def) => validateChardevSource(source, def),
  same: sameBy<ConsoleDef>('port'),
  shown(dev, index, { serials }) {
    const twin = dev.target.type === 'serial' || dev.target.type === 'none' ? serials[index] : undefined
    const { target, ...rest } = twin ?? dev
    const { port } = target
    const tty = rest.source.type === 'pty' && port === 0 && rest.source.path
    return {
      ...rest,
      target: { type: twin ? 'serial' : dev.target.type, port: port ?? -1 },
      ...(tty && { tty })
    }
  }
})

export const channel = deviceFamily({
  element: 'channel',
  fields: channelFields,
  asRead: asRead(channelFields, spicevmcChecks.channel),
  validate({ source, target: { type } }, def) {
    validateChardevSource(source, def, type === 'virtio' || type === 'xen')
  },
  same: sameBy<ChannelDef>('type', 'name', 'address', 'port')
})
