// -chardev: the host side of every device that has one.
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ChardevProtocol, ChardevSource } from '../../../../conf/devices/chardev-source.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { checkPlace, checkThere } from '../../../../host/there.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { QemuContext } from '../../context.ts'
import type { Builder } from '../../parts/builder.ts'
import type { ChardevBackend } from '../../parts/chardev.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Options of a backend that follow from the device it serves. */
interface ChardevOptions {
  /** the service Spice carries over a spicevmc backend */
  spicevmc?: 'vdagent' | 'smartcard' | 'usbredir'
  /** a listening socket holds the guest back until someone connects */
  wait?: boolean
}

const PROTOCOLS: readonly ChardevProtocol[] = ['raw', 'telnet']

/** Refuses backends QEMU does not have (qemuValidateDomainChrSourceDef). */
export function validateQemuChardevSource(source: ChardevSource, def: DomainDef, qemu: Qemu): void {
  switch (source.type) {
    case 'tcp':
    case 'unix':
      if (source.type === 'tcp' && !PROTOCOLS.includes(source.protocol)) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `tcp chardev protocol '${source.protocol}' not supported`)
      }
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

/**
 * Decides what the user left to the driver's configuration, and looks for what is named of the host
 * (qemuDomainPrepareChardevSourceOne).
 * @throws VIR_ERR_SYSTEM_ERROR for a device, pipe or socket that is not there
 */
export function prepareChardevSource(source: ChardevSource, { config, pretend, paths }: QemuContext): void {
  if (!pretend) checkChardevSource(source, paths.channelTargetDir)
  if (source.type !== 'tcp' || source.tls !== undefined) return
  source.tls = config.chardevTls
  source.tlsFromConfig = true
}

/** libvirt comes to them while it gives them to QEMU, each in other words. @param ours directory that a start makes */
function checkChardevSource(source: ChardevSource, ours: string): void {
  if (source.type === 'dev') checkThere(source.path)
  else if (source.type === 'pipe') {
    if (!existsSync(`${source.path}.in`)) checkThere(source.path, `unable to stat: ${source.path}`, 'VIR_FROM_SECURITY')
  } else if (source.type === 'file') checkPlace(source.path, `Unable to open file: ${source.path}`, 'VIR_FROM_NONE')
  else if (source.type === 'unix') {
    const { path, mode, reconnect } = source
    if (path !== undefined && dirname(path) === ours) return
    if (mode === 'bind') checkPlace(path, `Unable to bind to UNIX socket path '${path}'`)
    // a socket that is tried again may come later
    else if (!reconnect?.enabled) checkThere(path, `unable to stat: ${path}`, 'VIR_FROM_SECURITY')
  }
}

/**
 * Adds the backend of a device, its credentials before it (qemuBuildChardevCommand).
 * @param id by libvirt's rule `char` and the device's alias
 */
export function addChardev(to: Builder, source: ChardevSource, id: string, options: ChardevOptions = {}): void {
  const { config } = to.context
  let tlsCreds: string | undefined
  if (source.type === 'tcp' && source.tls) {
    tlsCreds = `obj${id}_tls0`
    const listens = source.mode === 'bind'
    to.object({
      'qom-type': 'tls-creds-x509',
      id: tlsCreds,
      dir: config.chardevTlsX509CertDir,
      endpoint: listens ? 'server' : 'client',
      'verify-peer': listens ? config.chardevTlsX509Verify : true
    })
  }
  to.chardev(id, chardevBackend(source, id, { ...options, tlsCreds }, to.qemu))
}

/** A backend as QEMU has it (qemuMonitorJSONAttachCharDevGetProps). */
function chardevBackend(
  source: ChardevSource,
  id: string,
  { spicevmc = 'vdagent', wait, tlsCreds }: ChardevOptions & { tlsCreds: string | undefined },
  qemu: Qemu
): ChardevBackend {
  const log = source.log && { logfile: source.log.file, logappend: source.log.append }
  switch (source.type) {
    case 'null':
    case 'vc':
    case 'pty':
    case 'stdio':
      return { type: source.type, data: { ...log } }
    case 'dev':
      return { type: id.startsWith('charparallel') ? 'parallel' : 'serial', data: { device: source.path, ...log } }
    case 'pipe':
      return { type: 'pipe', data: { device: source.path, ...log } }
    case 'file':
      return { type: 'file', data: { out: source.path, append: source.append, ...log } }
    case 'udp': {
      const { connectHost, connectService, bindHost, bindService } = source
      const remote = inetAddress(connectHost, connectService)
      const local = (bindHost ?? bindService) === undefined ? undefined : inetAddress(bindHost, bindService ?? '0')
      return { type: 'udp', data: { remote, local, ...log } }
    }
    case 'tcp':
    case 'unix': {
      const { reconnect } = source
      const isTcp = source.type === 'tcp'
      const data = {
        addr: isTcp ? inetAddress(source.host, source.service) : unixAddress(source.path),
        server: source.mode === 'bind',
        wait,
        telnet: isTcp && source.protocol === 'telnet',
        ...reconnectProps(reconnect, qemu),
        'tls-creds': tlsCreds
      }
      return { type: 'socket', data: { ...data, ...log } }
    }
    case 'spicevmc':
      return { type: 'spicevmc', data: { type: spicevmc, ...log } }
    case 'spiceport':
      return { type: 'spiceport', data: { fqdn: source.channel, ...log } }
    case 'dbus':
      return { type: 'dbus', data: { name: source.channel, ...log } }
    case 'qemu-vdagent': {
      const clipboard = source.clipboard?.copypaste
      const mouse = source.mouse && source.mouse.mode === 'client'
      return { type: 'qemu-vdagent', data: { clipboard, mouse, ...log } }
    }
    case 'nmdm':
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unsupported chardev '${source.type}'`)
  }
}

/** How long a client waits before it tries again, in the unit this QEMU has; 0 is never. */
function reconnectProps(reconnect: { enabled: boolean; timeout?: number } | undefined, qemu: Qemu) {
  if (!reconnect) return {}
  const seconds = reconnect.enabled ? reconnect.timeout : 0
  return qemu.has('chardev-reconnect-miliseconds')
    ? { 'reconnect-ms': seconds === undefined ? undefined : seconds * 1000 }
    : { reconnect: seconds }
}

const inetAddress = (host = '', port = '') => ({ type: 'inet', data: { host, port } }) as const
const unixAddress = (path: string | undefined) => ({ type: 'unix', data: { path } }) as const
