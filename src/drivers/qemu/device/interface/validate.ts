// Checks that QEMU can have an <interface> (qemuValidateDomainDeviceDefNetwork, qemuDomainValidateActualNetDef).
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { isVirtioModel, knownModel } from '../../../../conf/devices/interface-driver.ts'
import type { InterfaceType } from '../../../../conf/devices/interface-source.ts'
import { checkPortOptions } from '../../../../conf/devices/interface-validate.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { checkBandwidth } from '../../../../conf/net/bandwidth.ts'
import type { IpAddress } from '../../../../conf/net/ip.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { QemuContext } from '../../context.ts'
import { requireSharedMemory } from '../filesystem/shared-memory.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failConf = errorsFrom('VIR_FROM_DOMAIN')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const WITH_MTU: readonly InterfaceType[] = ['network', 'bridge', 'ethernet', 'vhostuser']
const WITH_COALESCE: readonly InterfaceType[] = ['network', 'bridge']
const WITH_QUEUES: readonly InterfaceType[] = ['network', 'bridge', 'direct', 'ethernet', 'vhostuser', 'vdpa']
/** Types that are a tap device on the host. */
const TAP: readonly InterfaceType[] = ['network', 'bridge', 'ethernet']

/** Checks a definition, in libvirt's order. */
export function validateQemuInterface(dev: InterfaceDef, def: DomainDef, { qemu }: QemuContext): void {
  const { type, teaming } = dev
  validateGuestIp(dev, qemu)
  if (type === 'vdpa' && !qemu.has('netdev.vhost-vdpa')) {
    throw unsupported('vDPA devices are not supported with this QEMU binary')
  }
  validateVhostUser(dev, def)
  if (isVirtioModel(dev.model)) validateVirtio(dev, qemu)
  else if (type === 'vdpa' || type === 'vhostuser') {
    throw unsupported(`invalid model for interface of type '${type}': '${knownModel(dev.model)}' - must be 'virtio'`)
  }
  if (dev.mtu !== undefined && !WITH_MTU.includes(type) && !dev.source.passt) {
    throw unsupported(`setting MTU on interface type ${type} is not supported yet`)
  }
  if (teaming?.type === 'persistent' && !isVirtioModel(dev.model)) {
    throw unsupported(
      `virtio-net teaming persistent interface must be <model type='virtio'/>, not '${dev.model ?? '(null)'}'`
    )
  }
  if (teaming?.type === 'transient' && type !== 'hostdev' && type !== 'network') {
    throw unsupported(`virtio-net teaming transient interface must be type='hostdev', not '${type}'`)
  }
  if (dev.coalesce !== undefined && !WITH_COALESCE.includes(type)) {
    throw unsupported(`coalesce settings on interface type ${type} are not supported`)
  }
}

/** Addresses are given out by what stands for a router: QEMU's own network stack, or passt. */
function validateGuestIp({ type, source, guestIp }: InterfaceDef, qemu: Qemu): void {
  if (guestIp && guestIp.routes.length > 0) {
    throw unsupported('Invalid attempt to set network interface guest-side IP route, not supported by QEMU')
  }
  if (type !== 'user' && !(type === 'vhostuser' && source.passt)) {
    if (!guestIp) return
    throw unsupported('Invalid attempt to set network interface guest-side IP address info, not supported by QEMU')
  }
  const backend = source.passt ? 'passt' : 'default'
  if (!networkBackends(qemu).includes(backend)) {
    throw unsupported(`the '${backend}' network backend is not supported with this QEMU binary`)
  }
  const seen = new Set<string>()
  for (const ip of guestIp?.ips ?? []) {
    if (ip.peer !== undefined) throw unsupported('Invalid attempt to set peer IP for guest')
    if (seen.has(ip.family)) {
      throw unsupported(`Only one ${ip.family === 'ipv4' ? 'IPv4' : 'IPv6'} address per interface is allowed`)
    }
    seen.add(ip.family)
    validatePrefix(ip)
  }
}

/** What can serve a card of type user (virQEMUCapsFillDomainDeviceNetCaps). */
export function networkBackends(qemu: Qemu): ('default' | 'passt')[] {
  return [
    ...(qemu.has('netdev.user') ? (['default'] as const) : []),
    ...(qemu.has('netdev.stream') ? (['passt'] as const) : [])
  ]
}

function validateVhostUser({ source }: InterfaceDef, def: DomainDef): void {
  if (source.type !== 'vhostuser') return
  if (source.path === undefined && !source.passt) {
    throw fail('VIR_ERR_XML_ERROR', "Missing required attribute 'path' in element 'source'")
  }
  if (source.mode === 'server' && source.reconnect?.enabled) {
    throw unsupported(
      "'reconnect' attribute is not supported when source mode='server' for <interface type='vhostuser'>"
    )
  }
  requireSharedMemory(def, 'interface')
}

function validatePrefix({ family, prefix = 0 }: IpAddress): void {
  if (family === 'ipv4' && prefix > 0 && (prefix < 4 || prefix > 27)) {
    throw fail('VIR_ERR_XML_ERROR', 'invalid prefix, must be in range of 4-27')
  }
  if (family === 'ipv6' && prefix > 0 && prefix !== 64) {
    throw unsupported(`unsupported IPv6 address prefix='${prefix}' - must be 64`)
  }
}

const isPowerOfTwo = (value: number) => Number.isInteger(Math.log2(value))

function validateVirtio({ driver }: InterfaceDef, qemu: Qemu): void {
  if (driver?.rxQueueSize !== undefined && !isPowerOfTwo(driver.rxQueueSize)) {
    throw unsupported('rx_queue_size has to be a power of two')
  }
  if (driver?.txQueueSize !== undefined && !isPowerOfTwo(driver.txQueueSize)) {
    throw unsupported('tx_queue_size has to be a power of two')
  }
  if (qemu.has('virtio-net.rss')) return
  if (driver?.rss !== undefined) throw unsupported('virtio rss is not supported with this QEMU binary')
  if (driver?.rssHashReport !== undefined) {
    throw unsupported('virtio rss hash report is not supported with this QEMU binary')
  }
}

/** Checks what can be known only when the interface is about to be made. */
export function validateActualInterface(dev: InterfaceDef): void {
  const { mac, type, source, virtualPort } = dev
  if (dev.vlan && !canTag(dev)) {
    throw failConf('VIR_ERR_CONFIG_UNSUPPORTED', `interface ${mac} - vlan tag not supported for this connection type`)
  }
  if (dev.bandwidth && type === 'hostdev') {
    throw failConf(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `interface ${mac} - bandwidth settings are not supported for hostdev interfaces`
    )
  }
  checkBandwidth(dev.bandwidth)
  checkPortOptions(dev)
  if (dev.driver?.queues !== undefined && !WITH_QUEUES.includes(type)) {
    throw unsupported(`interface ${mac} - multiqueue is not supported for network interfaces of type ${source.type}`)
  }
  if (dev.filterref && !TAP.includes(type)) {
    throw unsupported(`interface ${mac} - filterref is not supported for network interfaces of type ${type}`)
  }
  if (dev.filterref && virtualPort?.type !== undefined) {
    throw unsupported(
      `interface ${mac} - filterref is not supported for network interfaces with virtualport type ${virtualPort.type}`
    )
  }
  if (dev.backend?.tap !== undefined && !TAP.includes(type)) {
    throw unsupported(
      `interface ${mac} - custom tap device path is not supported for network interfaces of type ${type}`
    )
  }
  if (dev.teaming?.type === 'transient' && type !== 'hostdev') {
    throw unsupported(`interface ${mac} - teaming transient device must be type='hostdev', not '${type}'`)
  }
}

/** Tags are for cards passed through and for bridges: Open vSwitch's, and the kernel's own that filter VLANs. */
function canTag({ source, virtualPort }: InterfaceDef): boolean {
  if (source.type === 'hostdev') return true
  if (source.type === 'direct') return source.mode === 'passthrough'
  return source.type === 'bridge' && (virtualPort === undefined || virtualPort.type === 'openvswitch')
}
