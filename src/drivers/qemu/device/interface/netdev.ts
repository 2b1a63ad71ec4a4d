// -netdev: the host's end of an <interface> (qemuBuildHostNetProps).
import type { ChardevSource } from '../../../../conf/devices/chardev-source.ts'
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { isVirtioModel } from '../../../../conf/devices/interface-driver.ts'
import type { InterfaceSourceOf } from '../../../../conf/devices/interface-source.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { IpInfo } from '../../../../conf/net/ip.ts'
import { isUsable } from '../../../../host/inherited-files.ts'
import type { QemuContext } from '../../context.ts'
import type { Builder } from '../../parts/builder.ts'
import type { Props } from '../../parts/props.ts'
import { vdpaFile } from '../../parts/vdpa.ts'
import { addChardev } from '../chardev/backend.ts'
import { actualSource } from './network-port.ts'
import { PASST_RECONNECT_SECONDS, passtNetdev, passtSocket } from './passt.ts'
import { isMacvtap, macvtapPath, queueName } from './tap.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

type Netdev = Props & { type: string }

/** Adds the host's end of a card, and the -chardev or -add-fd it needs before it. */
export function addNetdev(to: Builder, dev: InterfaceDef): void {
  if (dev.script !== undefined && dev.type !== 'ethernet') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `scripts are not supported on interfaces of type ${dev.type}`)
  }
  to.netdev({ ...netdev(to, dev), id: `host${dev.alias}` })
}

function netdev(to: Builder, dev: InterfaceDef): Netdev {
  const source = actualSource(dev)
  switch (source.type) {
    case 'network':
      if (!to.context.pretend) throw fail('VIR_ERR_NO_SUPPORT', 'interface type network needs a network driver')
      return tapProps(to, dev)
    case 'bridge':
    case 'direct':
    case 'ethernet':
      return tapProps(to, dev)
    case 'client':
      return { type: 'socket', connect: place(source) }
    case 'server':
      return { type: 'socket', listen: place(source) }
    case 'mcast':
      return { type: 'socket', mcast: place(source) }
    case 'udp':
      return { type: 'socket', udp: place(source), localaddr: place(source.local) }
    case 'user':
      return source.passt ? passtNetdev(dev, to.context.paths, to.qemu) : { type: 'user', ...userProps(dev.guestIp) }
    case 'internal':
      return { type: 'user' }
    case 'vhostuser':
      // a guest that is started waits for its switch; one that runs does not stop for it
      addChardev(to, vhostUserSource(dev, source, to.context), `char${dev.alias}`, { wait: to.atStart !== undefined })
      return { type: 'vhost-user', chardev: `char${dev.alias}`, queues: dev.driver?.queues }
    case 'vdpa':
      return { type: 'vhost-vdpa', vhostdev: vdpaFile(to, `${dev.alias}-vdpa`, source.dev), queues: dev.driver?.queues }
    default:
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        `network device type '${source.type}' is not supported by this hypervisor`
      )
  }
}

const place = ({ address = '', port }: { address?: string; port: number }) => `${address}:${port}`

/** Addresses QEMU's own network stack gives out. */
function userProps(guestIp: IpInfo | undefined): Props {
  const out: Props = {}
  for (const { family, address, prefix } of guestIp?.ips ?? []) {
    if (family === 'ipv4') out.net = prefix === undefined ? address : `${address}/${prefix}`
    else Object.assign(out, { 'ipv6-prefix': address, 'ipv6-prefixlen': prefix })
  }
  return out
}

/** The socket of a card; passt's is ours, and connected to again after passt has gone (qemuPasstPrepareVhostUser). */
function vhostUserSource(
  dev: InterfaceDef,
  { path, mode, reconnect, passt }: InterfaceSourceOf<'vhostuser'>,
  { paths }: QemuContext
): ChardevSource {
  if (passt) {
    const again = { enabled: true, timeout: PASST_RECONNECT_SECONDS }
    return {
      type: 'unix',
      path: passtSocket(dev, paths),
      mode: mode === 'server' ? 'bind' : 'connect',
      reconnect: again
    }
  }
  return {
    type: 'unix',
    path,
    mode: mode === 'server' ? 'bind' : 'connect',
    ...(reconnect && { reconnect })
  } as ChardevSource
}

/**
 * A tap device: by descriptors, or by name where it has to be opened by QEMU. It is ready then (tap.ts), so no script of
 * QEMU's is run.
 */
function tapProps(to: Builder, dev: InterfaceDef): Netdev {
  const queues = dev.driver?.queues ?? 1
  const sndbuf = dev.sndbuf
  const isFile = actualSource(dev).type === 'direct' || (!to.context.pretend && isMacvtap(dev.target?.dev))
  const taps = isFile ? macvtapFds(to, dev, queues) : tapFds(to, dev, queues)
  if (!taps) {
    const name = dev.target?.dev
    if (name === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `the tap device of ${dev.alias} has no name`)
    const vhost = wantsVhost(to, dev) && hasVhostNet(dev)
    return {
      type: 'tap',
      ifname: name,
      script: 'no',
      downscript: 'no',
      queues: queues > 1 ? queues : undefined,
      vhost: vhost ? true : undefined,
      sndbuf
    }
  }
  const vhosts = vhostFds(to, dev, queues)
  return {
    type: 'tap',
    ...listed('fd', taps),
    vhost: vhosts.length > 0 ? true : undefined,
    ...listed('vhostfd', vhosts),
    sndbuf
  }
}

/** fd='24', or fds='24:25' */
function listed(name: string, fds: string[]): Props {
  if (fds.length === 0) return {}
  return { [fds.length > 1 ? `${name}s` : name]: fds.join(':') }
}

function tapFds(to: Builder, dev: InterfaceDef, queues: number): string[] | undefined {
  const fds = Array.from({ length: queues }, (_, i) => to.fd({ name: queueName(dev, i) }))
  return fds.includes(undefined) ? undefined : (fds as string[])
}

/** A macvtap device is a file: it can be opened here, once per queue. */
function macvtapFds(to: Builder, dev: InterfaceDef, queues: number): string[] {
  if (to.context.pretend) return tapFds(to, dev, queues) ?? []
  const path = macvtapPath(dev.target?.dev ?? '')
  return Array.from({ length: queues }, (_, i) => {
    const fd = to.fd({ name: queueName(dev, i), path })
    if (fd === undefined) throw fail('VIR_ERR_SYSTEM_ERROR', `cannot open macvtap tap device ${path}`)
    return fd
  })
}

/** True if the kernel is to move the packets (qemuInterfaceOpenVhostNet). @throws VIR_ERR_CONFIG_UNSUPPORTED */
function wantsVhost({ def }: Builder, dev: InterfaceDef): boolean {
  const name = dev.driver?.name
  if (def.type !== 'kvm' || name === 'qemu') return false
  if (isOnBoard(def, dev)) {
    if (name !== 'vhost') return false
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'vhost-net is not supported with this QEMU binary')
  }
  return isVirtioModel(dev.model)
}

/** QEMU opens the device of a tap it knows by name: only the kernel's usual one. @throws as vhostFds */
function hasVhostNet({ driver, backend }: InterfaceDef): boolean {
  const there = backend?.vhost === undefined && isUsable('/dev/vhost-net')
  if (!there && driver?.name === 'vhost') throw noVhost()
  return there
}

const noVhost = () => fail('VIR_ERR_CONFIG_UNSUPPORTED', 'vhost-net was requested for an interface, but is unavailable')

/** One open vhost device per queue, or as many as there are. */
function vhostFds(to: Builder, dev: InterfaceDef, queues: number): string[] {
  if (!wantsVhost(to, dev)) return []
  const out: string[] = []
  for (let i = 0; i < queues; i++) {
    const fd = to.fd({ name: `vhostfd${i}-${dev.alias}`, path: dev.backend?.vhost ?? '/dev/vhost-net' })
    if (fd !== undefined) out.push(fd)
    else if (dev.driver?.name !== 'vhost') break
    else throw noVhost()
  }
  return out
}

/** Cards of ARM boards are part of the board: they get their host's end by -net (qemuDomainSupportsNicdev). */
export function isOnBoard(def: DomainDef, { address }: InterfaceDef): boolean {
  if (!/^(armv6l|armv7l|aarch64)$/.test(def.os.arch ?? '')) return false
  return address?.type !== 'virtio-mmio' && address?.type !== 'pci'
}
