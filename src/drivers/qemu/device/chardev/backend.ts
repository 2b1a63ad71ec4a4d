// -chardev: the host side of every device that has one.
import type { ChardevSource, Reconnect } from '../../../../conf/devices/chardev-source.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { Command } from '../../command/command.ts'
import type { QemuConfig } from '../../context.ts'
import { keyValue } from '../../parts/props.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** What the device makes of its backend. */
interface ChardevOptions {
  /** what Spice carries over a spicevmc backend */
  spicevmc?: 'vdagent' | 'smartcard' | 'usbredir'
  /** a listening socket holds the guest back until someone connects */
  wait?: boolean
}

/** What QEMU cannot do with a backend (qemuValidateDomainChrSourceDef). */
export function validateQemuChardevSource(source: ChardevSource, def: DomainDef, qemu: Qemu): void {
  switch (source.type) {
    case 'tcp':
    case 'unix':
      if (source.reconnect?.enabled && source.reconnect.timeout === 0) {
        throw fail('VIR_ERR_INVALID_ARG', `chardev reconnect source timeout cannot be '0'`)
      }
      break
    case 'qemu-vdagent':
      if (!qemu.has('chardev.qemu-vdagent')) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `chardev '${source.type}' not supported in this QEMU binary`)
      }
      break
    case 'spicevmc':
    case 'spiceport':
      if (!def.devices.graphics.some(({ type }) => type === 'spice')) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `chardev '${source.type}' not supported without spice graphics`)
      }
  }
}

/** Decides what the user left to the driver's configuration (qemuDomainPrepareChardevSourceOne). */
export function prepareChardevSource(source: ChardevSource, config: QemuConfig): void {
  if (source.type !== 'tcp' || source.tls !== undefined) return
  source.tls = config.chardevTls
  source.tlsFromConfig = true
}

/**
 * Adds the backend of a device, its credentials before it (qemuBuildChardevCommand).
 * @param id by libvirt's rule `char` and the device's alias
 */
export function addChardev(command: Command, source: ChardevSource, id: string, options: ChardevOptions = {}): void {
  const { config } = command.context
  let tlsCreds: string | undefined
  if (source.type === 'tcp' && source.tls) {
    tlsCreds = `obj${id}_tls0`
    const listens = source.mode === 'bind'
    command.object({
      'qom-type': 'tls-creds-x509',
      id: tlsCreds,
      dir: config.chardevTlsX509CertDir,
      endpoint: listens ? 'server' : 'client',
      'verify-peer': listens ? config.chardevTlsX509Verify : true
    })
  }
  command.add('-chardev', chardevArg(source, id, { ...options, tlsCreds }))
}

/** One -chardev's value (qemuBuildChardevStr). */
export function chardevArg(
  source: ChardevSource,
  id: string,
  options: ChardevOptions & { tlsCreds?: string } = {}
): string {
  const log = source.log && { logfile: source.log.file, logappend: source.log.append }
  switch (source.type) {
    case 'null':
    case 'vc':
    case 'pty':
    case 'stdio':
      return keyValue(source.type, { id, ...log })
    case 'dev':
      return keyValue(id.startsWith('charparallel') ? 'parallel' : 'serial', { id, path: source.path, ...log })
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
        telnet: source.protocol === 'telnet' || undefined,
        ...server(source.mode, options),
        ...reconnect(source.reconnect),
        'tls-creds': options.tlsCreds,
        ...log
      })
    case 'unix':
      return keyValue('socket', {
        id,
        path: source.path,
        ...server(source.mode, options),
        ...reconnect(source.reconnect),
        ...log
      })
    case 'spicevmc':
      return keyValue('spicevmc', { id, name: options.spicevmc ?? 'vdagent', ...log })
    case 'spiceport':
    case 'dbus':
      return keyValue(source.type, { id, name: source.channel, ...log })
    case 'qemu-vdagent':
      return keyValue('qemu-vdagent', {
        id,
        name: 'vdagent',
        clipboard: source.clipboard?.copypaste,
        mouse: source.mouse && source.mouse.mode === 'client',
        ...log
      })
    case 'nmdm':
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported chardev '${source.type}'`)
  }
}

const server = (mode: string, { wait }: ChardevOptions) =>
  mode === 'bind' ? { server: true, wait: wait ? undefined : false } : {}

const reconnect = (value: Reconnect | undefined) => ({
  reconnect: value && (value.enabled ? value.timeout : 0)
})
