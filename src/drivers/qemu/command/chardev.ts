// <serial>, <parallel>, <channel>, <console>: QEMU's defaults, checks and arguments.
import { join } from 'node:path'
import type { ChardevDef } from '../../../conf/devices/chardev.ts'
import type { ChardevSource } from '../../../conf/devices/chardev-source.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps } from './address.ts'
import { type Command, keyValue } from './command.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuChardev: QemuFamily<ChardevDef> = {
  postParse(dev, def, { paths }) {
    if (def.devices.serials.includes(dev)) {
      dev.target ??= {}
      dev.target.type ??= 'isa-serial'
      if (dev.target.type === 'isa-serial') dev.target.model ??= 'isa-serial'
      if (dev.target.type === 'usb-serial') dev.target.model ??= 'usb-serial'
      if (dev.target.type === 'pci-serial') dev.target.model ??= 'pci-serial'
    }
    const { source } = dev
    if (source.type === 'unix' && !source.path && dev.target?.type === 'virtio' && dev.target.name) {
      source.mode = 'bind'
      source.path = join(paths.channelTargetDir, dev.target.name)
    }
  }
}

/** One -chardev; the id is the device's alias with `char` before it. */
export function chardevArg(source: ChardevSource, id: string): string {
  const log = { logfile: source.log?.file, logappend: source.log?.append }
  switch (source.type) {
    case 'null':
    case 'vc':
    case 'pty':
    case 'stdio':
      return keyValue(source.type, { id, ...log })
    case 'dev':
      return keyValue('serial', { id, path: source.path, ...log })
    case 'file':
      return keyValue('file', { id, path: source.path, append: source.append, ...log })
    case 'pipe':
      return keyValue('pipe', { id, path: source.path, ...log })
    case 'udp':
      return keyValue('udp', {
        id,
        host: source.connectHost ?? '',
        port: source.connectService,
        localaddr: source.bindHost ?? '',
        localport: source.bindService ?? '0',
        ...log
      })
    case 'tcp':
      return keyValue('socket', {
        id,
        host: source.host,
        port: source.service,
        telnet: source.protocol?.type === 'telnet' ? true : undefined,
        ...server(source.mode === 'bind'),
        ...reconnect(source),
        ...log
      })
    case 'unix':
      return keyValue('socket', {
        id,
        path: source.path,
        ...server(source.mode !== 'connect'),
        ...reconnect(source),
        ...log
      })
    case 'spicevmc':
      return keyValue('spicevmc', { id, name: 'vdagent', ...log })
    case 'spiceport':
      return keyValue('spiceport', { id, name: source.channel, ...log })
    case 'qemu-vdagent':
      return keyValue('qemu-vdagent', {
        id,
        name: 'vdagent',
        clipboard: source.clipboard?.copypaste,
        mouse: source.mouse ? source.mouse.mode === 'client' : undefined,
        ...log
      })
    case 'dbus':
      return keyValue('dbus', { id, name: source.channel, ...log })
    default:
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported chardev '${source.type}'`)
  }
}

const server = (listens: boolean) => (listens ? { server: true, wait: false } : {})

function reconnect({ reconnect }: { reconnect?: { enabled?: boolean; timeout?: number } }) {
  if (!reconnect) return {}
  return { reconnect: reconnect.enabled === false ? 0 : reconnect.timeout }
}

export function serialsArgs(command: Command): void {
  for (const dev of command.def.devices.serials) {
    command.add('-chardev', chardevArg(dev.source, `char${dev.alias}`))
    const place = dev.target?.model === 'isa-serial' ? { index: dev.target.port } : addressProps(command, dev)
    command.device({ driver: dev.target?.model ?? 'isa-serial', chardev: `char${dev.alias}`, id: dev.alias, ...place })
  }
}

export function parallelsArgs(command: Command): void {
  for (const dev of command.def.devices.parallels) {
    command.add('-chardev', chardevArg(dev.source, `char${dev.alias}`))
    command.device({ driver: 'isa-parallel', chardev: `char${dev.alias}`, id: dev.alias })
  }
}

export function channelsArgs(command: Command): void {
  for (const dev of command.def.devices.channels) {
    const id = `char${dev.alias}`
    if (dev.target?.type !== 'virtio')
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `channel target '${dev.target?.type}' is not supported`)
    command.add('-chardev', chardevArg(dev.source, id))
    const name =
      dev.target.name ??
      (dev.source.type === 'spicevmc' || dev.source.type === 'qemu-vdagent' ? 'com.redhat.spice.0' : undefined)
    command.device({ driver: 'virtserialport', ...addressProps(command, dev), chardev: id, id: dev.alias, name })
  }
}

export function consolesArgs(command: Command): void {
  for (const dev of command.def.devices.consoles) {
    if (dev.target?.type !== 'virtio') continue
    const id = `char${dev.alias}`
    command.add('-chardev', chardevArg(dev.source, id))
    command.device({ driver: 'virtconsole', ...addressProps(command, dev), chardev: id, id: dev.alias })
  }
}
