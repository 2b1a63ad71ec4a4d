// The host's end of a guest's interfaces: tap devices on bridges or of their own, and macvtap devices
// (qemuInterfaceBridgeConnect, qemuInterfaceEthernetConnect, qemuInterfaceDirectConnect).
//
// Differs from libvirt: Node has no ioctl, so the devices are made by ip(8) and stay until they are removed.
// A device is made under a random name and marked as its guest's before it gets the name it keeps. Renaming fails if
// the name is taken, so two guests that start at once never get the same device, and whatever a killed shim leaves is
// known by its mark.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { isVirtioModel } from '../../../../conf/devices/interface-driver.ts'
import type { InterfaceSource } from '../../../../conf/devices/interface-source.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { randomBytes } from '../../../../conf/random.ts'
import { runHostCommand } from '../../../../host/command.ts'
import { checkMaker, IFF } from '../../../../host/made-files.ts'
import { ownerIds, type ProcessOwner } from '../../../../host/owner.ts'
import type { QemuContext } from '../../context.ts'
import type { HostEnd, HostGuest } from '../family.ts'
import { actualInterface } from './network-port.ts'
import { setBandwidth } from './tap-bandwidth.ts'
import { setVlans } from './tap-vlan.ts'
import { validateActualInterface } from './validate.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
// domain_interface.c
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
// virnetdev.c, virnetdevtap.c, virnetdevbridge.c
const failHost = errorsFrom('VIR_FROM_NONE')

const NET = '/sys/class/net'
/** True for a device of the host. */
export const isNetworkDevice = (name: string): boolean => existsSync(`${NET}/${name}`)
/** The MTU of a device of the host, as text. */
export const mtuOf = (name: string): string => readFileSync(`${NET}/${name}/mtu`, 'utf8').trim()
/** Length of a device name in the kernel, less its NUL. */
const NAME_MAX = 15
/** Length of a device's alias in the kernel, less its NUL. */
const ALIAS_MAX = 255

/** The kernel's words in what ip(8) says. */
const KERNEL = /^(?:RTNETLINK answers|ioctl\(\w+\)|Error): (.*?)\.?$/m

/** Has ip(8) do something; a refusal is told as libvirt tells that of the system call. */
export const ip = (failed: string, ...args: string[]) =>
  runHostCommand('ip', args, said =>
    failHost('VIR_ERR_SYSTEM_ERROR', `${failed}: ${KERNEL.exec(said)?.[1] ?? said.replace(/\s*\n\s*/g, '; ')}`)
  )

/** Its directory tells the guest apart from others on the host. */
const markOf = ({ def, root }: HostGuest) => `virshim ${def.uuid} ${root.dir}`.slice(0, ALIAS_MAX)

/** Names of devices begin so unless the user names one. */
const PREFIX: Partial<Record<InterfaceSource['type'], string>> = {
  bridge: 'vnet',
  ethernet: 'vnet',
  direct: 'macvtap'
}

/** True for a name of ours: it is drawn anew at each start. */
export const isDrawn = ({ type, target }: InterfaceDef) =>
  target?.managed !== false && new RegExp(`^${PREFIX[type]}\\d+$`).test(target?.dev ?? '')

const hasDevice = ({ type }: InterfaceDef) => PREFIX[type] !== undefined

export const networkDevice = {
  check(dev, guest) {
    const actual = actualInterface(dev)
    if (!hasDevice(actual)) return
    validateActualInterface(actual)
    checkPossible(actual)
    if (isHelped(actual, guest.context)) return
    checkNames(actual)
    if (dev.target?.managed === false) checkGivenDevice(guest, dev)
  },
  /**
   * Makes the host's end of an interface; its name is then in the definition.
   * @throws VIR_ERR_SYSTEM_ERROR for what is missing on the host and what the kernel refuses, VIR_ERR_OPERATION_INVALID
   * (the name is taken), VIR_ERR_CONFIG_UNSUPPORTED
   */
  async take(dev, guest) {
    const actual = actualInterface(dev)
    if (!hasDevice(actual)) return
    networkDevice.check(dev, guest)
    if (isHelped(actual, guest.context)) return (await import('./bridge-helper.ts')).askForDevice(guest, dev, actual)
    if (dev.target?.managed === false) await useDevice(guest, dev)
    else await makeDevice(guest, dev, actual)
  },
  /** Runs the user's script, removes the device if we made it, and forgets its name. */
  async give(dev, guest) {
    const warn = warner(guest)
    const name = dev.target?.dev
    if (!hasDevice(actualInterface(dev)) || name === undefined) return
    if (existsSync(`${NET}/${name}`)) await runScript(dev.downscript, name).catch(warn)
    if (isMarked(name, guest)) await deleteDevice(name).catch(warn)
    forgetName(dev)
  }
} satisfies HostEnd<InterfaceDef>

const warner =
  ({ log }: HostGuest) =>
  (error: unknown) =>
    log.warn({ err: error }, 'a network device could not be removed')

/** True for an interface whose device QEMU's helper makes: whoever is not root may make none. */
export const isHelped = ({ source }: InterfaceDef, { privileged }: QemuContext): boolean =>
  source.type === 'bridge' && !privileged

/** Refuses interfaces that need drivers we do not have. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function checkPossible(dev: InterfaceDef): void {
  const unsupported = (what: string) =>
    fail('VIR_ERR_CONFIG_UNSUPPORTED', `interface ${dev.mac} - ${what} cannot be set up without a libvirt daemon`)
  if (dev.virtualPort?.type !== undefined) throw unsupported(`virtualport type='${dev.virtualPort.type}'`)
  if (dev.filterref) throw unsupported('filterref')
}

/** Looks for the device the interface is to be plugged into, by a name the kernel takes. @throws VIR_ERR_SYSTEM_ERROR */
function checkNames({ source, target, mtu }: InterfaceDef): void {
  const missing = (what: string) => failHost('VIR_ERR_SYSTEM_ERROR', `${what}: No such device`)
  const isThere = (name: string) => existsSync(`${NET}/${checkLength(name)}`)
  if (target?.dev !== undefined) checkLength(target.dev)
  if (source.type === 'direct' && !isThere(source.dev)) throw missing(`Unable to get index for interface ${source.dev}`)
  if (source.type !== 'bridge' || isThere(source.bridge)) return
  // the first thing libvirt does with a bridge
  if (mtu === undefined) throw missing(`Cannot get interface MTU on '${source.bridge}'`)
  throw missing(`Unable to add bridge ${source.bridge} port ${target?.dev ?? 'vnet%d'}`)
}

function checkLength(name: string): string {
  if (Buffer.byteLength(name) <= NAME_MAX) return name
  throw failHost('VIR_ERR_SYSTEM_ERROR', `Network interface name '${name}' is too long: Numerical result out of range`)
}

const deleteDevice = (name: string) => ip(`Unable to delete '${name}'`, 'link', 'delete', 'dev', name)

/** The name in the definition of a queue of a tap device. */
export const queueName = ({ alias }: InterfaceDef, queue: number): string => `tapfd${queue}-${alias}`

/** An existing device of somebody else's, checked before. */
async function useDevice({ context, owner }: HostGuest, dev: InterfaceDef): Promise<void> {
  const name = dev.target!.dev!
  if (isTap(name) && !isOpenTo(name, owner)) openForQemu(context, dev, name)
  await runScript(dev.script, name)
}

/** @throws VIR_ERR_INTERNAL_ERROR, VIR_ERR_SYSTEM_ERROR */
function checkGivenDevice({ context, owner }: HostGuest, dev: InterfaceDef): void {
  const name = dev.target?.dev
  if (name === undefined) throw failDomain('VIR_ERR_INTERNAL_ERROR', "target dev must be supplied when managed='no'")
  if (!isName(name) || !existsSync(`${NET}/${name}`)) {
    throw failDomain('VIR_ERR_INTERNAL_ERROR', "target managed='no' but specified dev doesn't exist")
  }
  const unable = (why: string) => failHost('VIR_ERR_SYSTEM_ERROR', `Unable to create tap device ${name}: ${why}`)
  if (!isTap(name) && !isMacvtap(name)) throw unable('Invalid argument')
  if (isTap(name) && !isOpenTo(name, owner) && !context.privileged) throw unable('Operation not permitted')
}

const isTap = (name: string) => existsSync(`${NET}/${name}/tun_flags`)

/** True for a device that is a file. */
export const isMacvtap = (name: string | undefined): boolean =>
  name !== undefined && isName(name) && existsSync(`${NET}/${name}/macvtap`)

/** The kernel's word on a device. */
const numberOf = (name: string, file: string) => Number(readFileSync(`${NET}/${name}/${file}`, 'utf8'))

/** True if QEMU's user may open the tap: its own, or nobody's. */
function isOpenTo(name: string, owner: ProcessOwner): boolean {
  const { uid, gid } = ownerIds(owner) ?? { uid: process.getuid?.(), gid: process.getgid?.() }
  return [-1, uid].includes(numberOf(name, 'owner')) && [-1, gid].includes(numberOf(name, 'group'))
}

/** Root's QEMU has given up the right to open any tap before it could; root hands it over, as libvirtd does. */
function openForQemu({ files }: QemuContext, dev: InterfaceDef, name: string): void {
  const what = `tap device '${name}' of another user`
  if (!files.makeTap) throw fail('VIR_ERR_OPERATION_UNSUPPORTED', `${what} cannot be plugged into a guest that runs`)
  checkMaker(what)
  const shared = numberOf(name, 'tun_flags') & IFF.MULTI_QUEUE
  const flags = IFF.TAP | IFF.NO_PI | shared | (isVirtioModel(dev.model) ? IFF.VNET_HDR : 0)
  for (let queue = 0; queue < (dev.driver?.queues ?? 1); queue++)
    files.makeTap(queueName(dev, queue), { tap: name, flags })
}

/** A device name the kernel takes and the tools cannot mistake for anything else. */
const isName = (name: string) =>
  /^[A-Za-z0-9_.][\w.@:-]*$/.test(name) && name.length <= NAME_MAX && !/^\.\.?$/.test(name)

/** @param actual the interface as it is on the host */
async function makeDevice(guest: HostGuest, dev: InterfaceDef, actual: InterfaceDef): Promise<void> {
  const temporary = `vs${randomBytes(6).toString('hex')}`
  await addDevice(guest.owner, actual, temporary)
  await ip(`Unable to mark '${temporary}'`, 'link', 'set', 'dev', temporary, 'alias', markOf(guest))
  const name = await giveName(temporary, actual)
  nameDevice(dev, name)
  const { source, isolated, bandwidth, vlan } = actual
  const set = (failed: string, ...what: string[]) => ip(failed, 'link', 'set', 'dev', name, ...what)
  const bridge = source.type === 'bridge' ? source.bridge : undefined
  // before it is a port: a bridge without an MTU of its own takes its ports'
  const mtu = dev.mtu ?? (bridge && mtuOf(bridge))
  if (mtu !== undefined) await set(`Cannot set interface MTU on '${name}'`, 'mtu', String(mtu))
  const address = ['address', source.type === 'direct' ? dev.mac : hostMac(dev.mac)]
  if (bridge === undefined) await set(`Cannot set up '${name}'`, ...address, 'up')
  else await set(`Unable to add bridge ${bridge} port ${name}`, ...address, 'master', bridge, 'up')
  if (bridge !== undefined && vlan) await setVlans(name, vlan)
  if (isolated) await set(`Unable to isolate port ${name}`, 'type', 'bridge_slave', 'isolated', 'on')
  if (source.type === 'ethernet') await addAddresses(name, source)
  if (dev.coalesce) await setCoalesce(name, dev.coalesce)
  if (bandwidth) await setBandwidth(name, bandwidth, source.type === 'direct')
  await runScript(dev.script, name)
}

/** Has the host be told of received frames in groups. @param frames of a group; 0: of each at once */
export async function setCoalesce(name: string, frames: number): Promise<void> {
  await runHostCommand('ethtool', ['-C', name, 'rx-frames', String(frames)])
}

/** A tap device for QEMU's user, or a macvtap device on one of the host's. */
async function addDevice(owner: ProcessOwner, { source, mac, driver }: InterfaceDef, name: string): Promise<void> {
  if (source.type === 'direct') {
    const mode = source.mode === 'passthrough' ? 'passthru' : source.mode
    const failed = `error creating macvtap interface ${name}@${source.dev} (${mac})`
    await ip(failed, 'link', 'add', 'link', source.dev, 'name', name, 'address', mac, 'type', 'macvtap', 'mode', mode)
    return
  }
  const ids = ownerIds(owner)
  const rights = ids ? ['user', String(ids.uid), 'group', String(ids.gid)] : []
  const queues = driver?.queues ? ['multi_queue'] : []
  await ip(`Unable to create tap device ${name}`, 'tuntap', 'add', 'dev', name, 'mode', 'tap', ...rights, ...queues)
}

/** Gives the device its name: the user's, whose `%d` stands for a free number, or the first free one of ours. */
async function giveName(temporary: string, { type, target }: InterfaceDef): Promise<string> {
  const wanted = target?.dev
  if (wanted !== undefined && !isDrawn({ type, target } as InterfaceDef)) {
    if (!isName(wanted.replace('%d', '0'))) {
      throw fail('VIR_ERR_INTERNAL_ERROR', `'${wanted}' is no name for a network device`)
    }
    if (!wanted.includes('%d')) {
      if (await rename(temporary, wanted)) return wanted
      throw failHost('VIR_ERR_OPERATION_INVALID', `The ${wanted} interface already exists`)
    }
  }
  const template = wanted?.includes('%d') ? wanted : `${PREFIX[type]}%d`
  for (let number = 0; ; number++) {
    const name = template.replace('%d', String(number))
    if (!existsSync(`${NET}/${name}`) && (await rename(temporary, name))) return name
  }
}

/** False if the name is taken. */
async function rename(from: string, to: string): Promise<boolean> {
  try {
    await ip(`Unable to rename '${from}' to '${to}'`, 'link', 'set', 'dev', from, 'name', to)
    return true
  } catch (error) {
    if (existsSync(`${NET}/${to}`)) return false
    throw error
  }
}

/** The host's address of a tap device must differ from the guest's, and lie above any a bridge would take for itself. */
function hostMac(mac: string): string {
  return `${mac.startsWith('fe') ? 'fa' : 'fe'}${mac.slice(2)}`
}

async function addAddresses(name: string, { hostIp }: InterfaceSource): Promise<void> {
  for (const { address, family, prefix = family === 'ipv4' ? 32 : 128, peer } of hostIp?.ips ?? []) {
    const place = peer === undefined ? [`${address}/${prefix}`] : [address, 'peer', `${peer}/${prefix}`]
    await ip(`Unable to add IP address ${address} to ${name}`, 'address', 'add', ...place, 'dev', name)
  }
  for (const { address, prefix, netmask, gateway, metric } of hostIp?.routes ?? []) {
    const order = metric === undefined ? [] : ['metric', String(metric)]
    await ip(
      `Unable to add route ${address} to ${name}`,
      'route',
      'add',
      `${address}/${netmask ?? prefix ?? 0}`,
      'via',
      gateway,
      'dev',
      name,
      ...order
    )
  }
}

/** The user's own set-up of the device (virNetDevRunEthernetScript). */
async function runScript(script: string | undefined, name: string): Promise<void> {
  if (script !== undefined) await runHostCommand(script, [name])
}

/** True for a device that bears the guest's mark. */
function isMarked(name: string, guest: HostGuest): boolean {
  try {
    return readFileSync(`${NET}/${name}/ifalias`, 'utf8').trimEnd() === markOf(guest)
  } catch {
    return false
  }
}

/** Removes devices of the guest that no definition tells of: what a shim left that was killed while it made them. */
export async function removeStrayDevices(guest: HostGuest): Promise<void> {
  if (!guest.def.devices.interfaces.some(dev => hasDevice(dev) || dev.type === 'network')) return
  for (const name of readdirSync(NET).filter(name => isMarked(name, guest))) {
    await deleteDevice(name).catch(warner(guest))
  }
}

/** The name a user gave or not, of devices that have one now. */
const wishes = new WeakMap<InterfaceDef, string | undefined>()

/** Puts the name of an interface's device into its definition. */
export function nameDevice(dev: InterfaceDef, name: string): void {
  wishes.set(dev, dev.target?.dev)
  dev.target = { ...dev.target, dev: name }
}

/** Puts the user's wish back: the next start may find another name free. */
function forgetName(dev: InterfaceDef): void {
  const wish = wishes.has(dev) ? wishes.get(dev) : isDrawn(actualInterface(dev)) ? undefined : dev.target?.dev
  const { dev: _name, ...rest } = dev.target ?? {}
  wishes.delete(dev)
  if (wish !== undefined) dev.target = { ...rest, dev: wish }
  else if (Object.keys(rest).length > 0) dev.target = rest
  else delete dev.target
}

/** The files of a macvtap device, one descriptor each per queue. */
export function macvtapPath(name: string): string {
  return `/dev/tap${readFileSync(`${NET}/${name}/ifindex`, 'utf8').trim()}`
}
