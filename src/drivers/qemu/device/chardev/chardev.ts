// <serial>, <parallel>, <channel>, <console>: QEMU's defaults, checks and arguments.
import { join } from 'node:path'
import {
  type ChannelDef,
  type ChardevDef,
  type ConsoleDef,
  console as consoleFamily,
  type ParallelDef,
  type SerialDef
} from '../../../../conf/devices/chardev.ts'
import type { ConsoleType, SerialModel, SerialTarget, SerialType } from '../../../../conf/devices/chardev-target.ts'
import { consoleTwin } from '../../../../conf/devices/console-compat.ts'
import type { AddressType } from '../../../../conf/devices/device-info.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { Capability } from '../../capabilities/signs.ts'
import type { QemuContext } from '../../context.ts'
import { isArmVirt, isPseries, isRiscvVirt, isS390, isX86 } from '../../machine-type.ts'
import { addressProps } from '../../parts/address.ts'
import { atStart, type Builder, type DeviceProps } from '../../parts/builder.ts'
import { checkOnce, freely, joinOnce, leave, missing, type QemuFamily } from '../family.ts'
import { addChardev, prepareChardevSource, validateQemuChardevSource } from './backend.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Types of serial ports: the address of each, and its model if none is named. */
const SERIAL_TYPES: Record<Exclude<SerialType, 'none'>, { address?: AddressType; model?: SerialModel }> = {
  'isa-serial': { address: 'isa', model: 'isa-serial' },
  'usb-serial': { address: 'usb', model: 'usb-serial' },
  'pci-serial': { address: 'pci', model: 'pci-serial' },
  'spapr-vio-serial': { address: 'spapr-vio', model: 'spapr-vty' },
  'system-serial': {},
  'sclp-serial': { model: 'sclpconsole' },
  'isa-debug': { address: 'isa', model: 'isa-debugcon' }
}
/** The type each model belongs to, and what QEMU needs for it. */
const SERIAL_MODELS: Record<Exclude<SerialModel, 'none'>, { type: SerialType; needs?: Capability }> = {
  'isa-serial': { type: 'isa-serial', needs: 'isa-serial' },
  'usb-serial': { type: 'usb-serial', needs: 'usb-serial' },
  'pci-serial': { type: 'pci-serial', needs: 'pci-serial' },
  'spapr-vty': { type: 'spapr-vio-serial', needs: 'spapr-vty' },
  pl011: { type: 'system-serial', needs: 'pl011' },
  sclpconsole: { type: 'sclp-serial', needs: 's390-sclp' },
  sclplmconsole: { type: 'sclp-serial', needs: 'sclplmconsole' },
  '16550a': { type: 'system-serial' },
  'isa-debugcon': { type: 'isa-debug' }
}

// qemuDomainChrPreInsert, qemuDomainChrRemove
const ALREADY_THERE = 'chardev already exists'
const noneToDetach = missing(undefined, 'VIR_ERR_INVALID_ARG')
// qemuDomainDetachDeviceChr
const noneThere = (name: string) => missing(`chr type '${name}' device not present in domain configuration`)

/** The type a machine's own serial ports have. */
function defaultSerialType(def: DomainDef): SerialType {
  if (isX86(def)) return 'isa-serial'
  if (isPseries(def)) return 'spapr-vio-serial'
  if (isArmVirt(def) || isRiscvVirt(def)) return 'system-serial'
  return isS390(def) ? 'sclp-serial' : 'none'
}

function defaultSerialModel({ type }: SerialTarget, def: DomainDef): SerialModel {
  if (type === 'none') return 'none'
  if (type !== 'system-serial') return SERIAL_TYPES[type].model!
  return isArmVirt(def) ? 'pl011' : isRiscvVirt(def) ? '16550a' : 'none'
}

/** Where libvirt has made sockets of channels: today, and once below its directories of state and configuration. */
const LIBVIRT_CHANNELS = ['/run/libvirt/qemu/channel', '/var/lib/libvirt/qemu/channel', '/etc/libvirt/qemu/channel']

/** The socket is in a directory of the guest's own, as libvirt calls them, or has the guest's name before its own. */
const isInGuestDirectory = (below: string) => /^(target\/)?([^/]+\.|domain-[^/]+\/|[0-9]+-[^/]+\/)$/.test(below)

/** A path that was made up, by us or by a libvirt: a new start makes a new one (qemuDomainChrMatchDefaultPath). */
export function isMadeUpPath(
  path: string,
  name: string | undefined,
  { channelTargetDir }: QemuContext['paths']
): boolean {
  if (path === `${channelTargetDir}/${name}`) return true
  const directory = LIBVIRT_CHANNELS.find(one => path.startsWith(`${one}/`))
  if (directory === undefined || !path.endsWith(name ?? '')) return false
  return isInGuestDirectory(path.slice(directory.length + 1, path.length - (name?.length ?? 0)))
}

/** Takes away such a path (qemuDomainChrDefDropDefaultPath). */
function dropMadeUpPath({ source, target }: ChannelDef, paths: QemuContext['paths']): void {
  if (target.type !== 'virtio' || source.type !== 'unix' || source.path === undefined) return
  if (isMadeUpPath(source.path, target.name, paths)) delete source.path
}

/** A socket nobody gave a path is one we make. */
function postParseAny(dev: ChardevDef, live: boolean): void {
  if (!live && dev.source.type === 'unix' && dev.source.path === undefined) dev.source.mode = 'bind'
}

export const qemuSerial: QemuFamily<SerialDef> = {
  postParse(dev, def, _context, live) {
    const { target } = dev
    // isa-serial was once every machine's default and still means that
    if (target.type === 'none' || target.type === 'isa-serial') target.type = defaultSerialType(def)
    if (target.model === 'none') target.model = defaultSerialModel(target, def)
    postParseAny(dev, live)
  },
  validate(dev, def, { qemu }) {
    validateQemuChardevSource(dev.source, def, qemu)
    validateSerialTarget(dev)
    if (!serialFits(dev.target, def)) {
      const { type, model } = dev.target
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        `Serial device with target type '${type}' and target model '${model}' not compatible with guest architecture or machine type`
      )
    }
  },
  prepare: ({ source }, _def, context) => prepareChardevSource(source, context),
  add: addSerial,
  unplug(dev, def) {
    // the first console may be the first port over again (qemuDomainChrRemove)
    const { consoles, serials } = def.devices
    const [twin] = consoles
    if (twin?.target.type === 'serial' && serials[0] === dev) leave('consoles')(twin, def)
    leave('serials')(dev, def)
  },
  config: {
    attach(dev, def) {
      joinOnce('serials', ALREADY_THERE)(dev, def)
      const { serials, consoles } = def.devices
      if (serials.length > 1 || consoles.length > 1) return
      // an only console becomes the first port over again, whatever it was (qemuDomainChrInsertPreAlloced)
      const { target, ...rest } = consoles[0] ?? consoleTwin()
      consoles[0] = { ...rest, target: { ...target, type: 'serial' } }
    },
    noneToDetach
  },
  live: {
    attach(dev, { def }) {
      if (isOnBoard(dev)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Cannot hotplug platform device')
      checkOnce('serials', ALREADY_THERE)(dev, def)
    },
    // Differs from libvirt: an only console that is no serial port stays what it is
    insert(dev, { devices: { serials, consoles } }) {
      if (serials.push(dev) > 1 || consoles.length > 0) return
      const { source, alias } = dev
      consoles.push({ ...consoleTwin(), source, ...(alias !== undefined && { alias }) })
    },
    detach(dev) {
      if (isOnBoard(dev)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Cannot detach platform device')
    },
    noneToDetach: noneThere('serial')
  }
}

/** A port that is part of the machine (qemuChrIsPlatformDevice). */
const isOnBoard = ({ target: { type, model } }: SerialDef) => type === 'none' || model === 'pl011' || model === '16550a'

/** qemuValidateDomainChrTargetDef */
function validateSerialTarget({ target: { type, model }, address }: SerialDef): void {
  if (type === 'system-serial' || type === 'sclp-serial') {
    if (address) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Target type '${type}' cannot have an associated address`)
  } else if (type !== 'none') {
    const expected = SERIAL_TYPES[type].address!
    if (address && address.type !== expected) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Target type '${type}' requires address type '${expected}'`)
    }
  }
  if (model === 'none' || type === SERIAL_MODELS[model].type) return
  throw fail(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `Target model '${model}' requires target type '${SERIAL_MODELS[model].type}'`
  )
}

function serialFits({ type, model }: SerialTarget, def: DomainDef): boolean {
  if (type === 'system-serial' && model === 'pl011' && !isArmVirt(def)) return false
  if (type === 'system-serial' && model === '16550a' && !isRiscvVirt(def)) return false
  if ((type === 'spapr-vio-serial' || model === 'spapr-vty') && !isPseries(def)) return false
  return !(type === 'sclp-serial' || model === 'sclpconsole' || model === 'sclplmconsole') || isS390(def)
}

export const qemuParallel: QemuFamily<ParallelDef> = {
  postParse: (dev, _def, _context, live) => postParseAny(dev, live),
  validate(dev, def, { qemu }) {
    validateQemuChardevSource(dev.source, def, qemu)
    if (isS390(def) || isPseries(def)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'parallel ports are not supported')
  },
  prepare: ({ source }, _def, context) => prepareChardevSource(source, context),
  add: addParallel,
  unplug: leave('parallels'),
  config: { attach: joinOnce('parallels', ALREADY_THERE), noneToDetach },
  live: {
    attach: (dev, { def }) => checkOnce('parallels', ALREADY_THERE)(dev, def),
    detach: freely,
    noneToDetach: noneThere('parallel')
  }
}

export const qemuConsole: QemuFamily<ConsoleDef> = {
  postParse: (dev, _def, _context, live) => postParseAny(dev, live),
  validate: (dev, def, { qemu }) => validateQemuChardevSource(dev.source, def, qemu),
  prepare: ({ source }, _def, context) => prepareChardevSource(source, context),
  add: addConsole,
  unplug: leave('consoles'),
  config: {
    attach(dev, def) {
      if (dev.target.type === 'serial') {
        throw fail('VIR_ERR_OPERATION_UNSUPPORTED', 'attaching serial console is not supported')
      }
      joinOnce('consoles', ALREADY_THERE)(dev, def)
    },
    find(dev, { devices }) {
      if (dev.target.type === 'serial') {
        throw fail('VIR_ERR_OPERATION_INVALID', 'detaching serial console is not supported')
      }
      return devices.consoles.find(one => consoleFamily.same?.(one, dev))
    },
    noneToDetach
  },
  live: {
    attach(dev, { def }) {
      const { type } = dev.target
      if (type === 'serial') throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported console target type ${type}`)
      checkOnce('consoles', ALREADY_THERE)(dev, def)
    },
    find: (dev, { devices }) => devices.consoles.find(one => consoleFamily.same?.(dev, one)),
    detach({ target }, { def }) {
      if (def.os.type !== 'hvm' || (target.type !== 'serial' && target.type !== 'none')) return
      throw fail(
        'VIR_ERR_OPERATION_UNSUPPORTED',
        'detaching of <console/> is unsupported. Try corresponding <serial/> instead'
      )
    },
    noneToDetach: noneThere('console')
  }
}

export const qemuChannel: QemuFamily<ChannelDef> = {
  postParse(dev, _def, { paths }, live) {
    if (!live) dropMadeUpPath(dev, paths)
    postParseAny(dev, live)
  },
  validate: (dev, def, { qemu }) => validateQemuChardevSource(dev.source, def, qemu),
  prepare: prepareChannel,
  add: addChannel,
  unplug: leave('channels'),
  config: { attach: joinOnce('channels', ALREADY_THERE), noneToDetach },
  live: {
    attach(dev, { def, context }) {
      // one that is there already has its socket: it takes this one's to know it
      if (dev.target.type === 'virtio' && dev.target.name !== undefined) prepareChannel(dev, def, context)
      checkOnce('channels', ALREADY_THERE)(dev, def)
    },
    detach: freely,
    noneToDetach: noneThere('channel')
  }
}

/** QEMU's capability for consoles that are no serial port and no virtio port. */
const CONSOLE_CAPABILITIES: Partial<Record<ConsoleType, { needs: Capability; driver: string }>> = {
  sclp: { needs: 's390-sclp', driver: 'sclpconsole' },
  sclplm: { needs: 'sclplmconsole', driver: 'sclplmconsole' }
}

/** qemuValidateDomainDefConsole */
export function validateConsoles(def: DomainDef, { qemu }: { qemu: Qemu }): void {
  for (const { target } of def.devices.consoles) {
    if (target.type === 'virtio' || target.type === 'serial') continue
    const special = CONSOLE_CAPABILITIES[target.type]
    if (!special) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported console target type ${target.type}`)
    if (!qemu.has(special.needs)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `${special.driver} is not supported in this QEMU binary`)
    }
  }
}

/** Sockets of virtio channels nobody gave a path get one (qemuDomainPrepareChannel). */
function prepareChannel({ source, target, address }: ChannelDef, _def: DomainDef, context: QemuContext): void {
  prepareChardevSource(source, context)
  if (target.type !== 'virtio' || source.type !== 'unix') return
  source.path ??= join(context.paths.channelTargetDir, target.name ?? portSocket(address))
}

function portSocket(address: ChannelDef['address']): string {
  const { controller = 0, bus = 0, port = 0 } = address?.type === 'virtio-serial' ? address : {}
  return `vioser-${[controller, bus, port].map(part => String(part).padStart(2, '0')).join('-')}.sock`
}

/** Ports that are part of the machine get their backend by -serial. */
function addSerial(to: Builder, dev: SerialDef): void {
  const { source, target, alias } = dev
  if (source.type === 'spiceport' && !to.def.devices.graphics.some(({ type }) => type === 'spice')) return
  const chardev = `char${alias}`
  addChardev(to, source, chardev)
  const { model, type, port } = target
  const needs = model === 'none' ? undefined : SERIAL_MODELS[model].needs
  if (needs && !to.qemu.has(needs)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `'${model}' is not supported in this QEMU binary`)
  }
  if (type === 'system-serial' && model === 'none') {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'Invalid target model for serial device')
  }
  if (type === 'none' || model === 'pl011' || model === '16550a') {
    atStart(to, 'serial').add('-serial', `chardev:${chardev}`)
    return
  }
  const index = model === 'isa-serial' ? port : undefined
  to.device({ driver: model, chardev, id: alias, index, ...addressProps(to, dev) })
}

function addParallel(to: Builder, { source, alias }: ParallelDef): void {
  addChardev(to, source, `char${alias}`)
  to.device({ driver: 'isa-parallel', chardev: `char${alias}`, id: alias })
}

function addChannel(to: Builder, dev: ChannelDef): void {
  const { source, target, alias } = dev
  addChardev(to, source, `char${alias}`)
  if (target.type === 'guestfwd') {
    const str = `tcp:${target.address}:${target.port}-chardev:char${alias}`
    to.netdev({ type: 'user', guestfwd: [{ str }], id: alias! })
  } else if (target.type === 'virtio') {
    to.device(virtioPortProps(to, 'virtserialport', dev, channelName(dev)))
  } else throw fail('VIR_ERR_INTERNAL_ERROR', `channel target '${target.type}' is not supported by QEMU`)
}

const SPICE_CHANNEL = 'com.redhat.spice.0'

function channelName({ source, target }: ChannelDef): string | undefined {
  if (source.type !== 'spicevmc') return target.name
  const { name = SPICE_CHANNEL } = target
  if (name === SPICE_CHANNEL) return name
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Unsupported spicevmc target name '${name}'`)
}

/** -device of a port on a virtio-serial bus (qemuBuildVirtioSerialPortDevProps). */
function virtioPortProps(to: Builder, driver: string, dev: ChannelDef | ConsoleDef, name?: string): DeviceProps {
  if (dev.address && dev.address.type !== 'virtio-serial' && dev.address.type !== 'ccw') {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'virtio serial device has invalid address type')
  }
  return { driver, ...addressProps(to, dev), chardev: `char${dev.alias}`, id: dev.alias, name }
}

/** A console on a serial port is that port over again. */
function addConsole(to: Builder, dev: ConsoleDef): void {
  const { source, target, alias } = dev
  if (target.type === 'serial') return
  const chardev = `char${alias}`
  addChardev(to, source, chardev)
  const special = CONSOLE_CAPABILITIES[target.type]
  to.device(special ? { driver: special.driver, chardev, id: alias } : virtioPortProps(to, 'virtconsole', dev))
}
