// What a confined QEMU sees of the host beside its system: what the definition names, and what is made for it
// (qemu_namespace.c, and cgroup_device_acl of libvirt's qemu.conf).
import { lstatSync, readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { ChardevSource } from '../../../conf/devices/chardev-source.ts'
import { type AnyDevice, type DeviceKind, type Devices, eachDevice } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { ownerIds } from '../../../host/owner.ts'
import { type GuestRoot, userDirectories } from '../../../state/root.ts'
import type { QemuContext } from '../context.ts'
import { machineMemoryDirectories } from '../device/memory/backend.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { pathsOfDefinition } from './access-paths.ts'

/** Devices that every QEMU has; taps are opened by their names. */
const NODES = ['null', 'zero', 'full', 'random', 'urandom', 'userfaultfd', 'net/tun'].map(name => `/dev/${name}`)

/** Pseudo-terminals are the host's: clients open them by the names the definition has. */
export const TERMINALS = '/dev/pts'

/** Where others keep what is theirs: the guests of libvirt, users, and who makes temporary files. */
const OF_OTHERS = [
  ...['/run/libvirt', '/etc/libvirt', '/var/lib/libvirt', '/var/log/libvirt', '/var/cache/libvirt'],
  ...['/var/lib/swtpm-localca', '/var/log/swtpm', '/run/user', '/run/dbus'],
  ...['/home', '/root', '/srv', '/mnt', '/media', '/tmp', '/var/tmp']
]

/** Directories whose contents are hidden from it, but for what it is given there. */
export function hiddenDirectories({ dir }: GuestRoot, { qemu }: QemuContext): string[] {
  const above = basename(dirname(dir)) === 'guests' ? [dirname(dirname(dir))] : []
  // a QEMU that was put there has its libraries and firmware there too
  const holdsQemu = (path: string) => qemu.binary.startsWith(`${path}/`)
  return [dir, ...above, ...Object.values(userDirectories()), ...OF_OTHERS].filter(path => !holdsQemu(path))
}

/** All that a guest's definition has QEMU see, and what is made for it. */
export const viewPaths = (domain: QemuDomain, context: QemuContext): string[] => [
  ...nodesOf(domain.def),
  TERMINALS,
  context.qemu.binary,
  ...pathsOfDefinition(domain.def).map(({ path }) => path),
  ...[...eachDevice(domain.def.devices)].flatMap(([kind, dev]) => morePathsOf(kind, dev as AnyDevice as never)),
  ...givenPaths(domain, context)
]

/** Devices of the host that a guest has whatever its devices are. */
export const nodesOf = ({ type, launchSecurity }: DomainDef): string[] => [
  ...NODES,
  ...(type === 'kvm' ? ['/dev/kvm'] : []),
  ...(launchSecurity?.type.startsWith('sev') ? ['/dev/sev'] : [])
]

/** What was made for QEMU's user: its own directories, and files beside our own. */
export function givenPaths({ def, root, running }: QemuDomain, context: QemuContext): string[] {
  const uid = ownerIds(running.owner)?.uid
  const beside = readdirSync(root.dir)
    .map(name => join(root.dir, name))
    .filter(path => lstatSync(path, { throwIfNoEntry: false })?.uid === uid)
  return [...beside, root.channelDir, ...machineMemoryDirectories({ def, context })]
}

type Paths<K extends DeviceKind> = (dev: Devices[K][number]) => (string | undefined)[]

/** QEMU makes the socket it listens at, and connects to another's. */
const ofChardev = ({ source }: { source: ChardevSource }) =>
  source.type === 'unix' && source.path !== undefined
    ? [source.mode === 'bind' ? dirname(source.path) : source.path]
    : []

/** What is not a file of QEMU's user's own: whole directories, devices, sockets of others. */
const MORE: { [K in DeviceKind]?: Paths<K> } = {
  disks: ({ source }) => (source.type === 'dir' || source.type === 'vhostuser' ? [vhostOrDirectory(source)] : []),
  serials: ofChardev,
  parallels: ofChardev,
  consoles: ofChardev,
  channels: ofChardev,
  redirdevs: ofChardev,
  interfaces: ({ source }) => (source.type === 'vhostuser' ? Object.values(source).filter(isPath) : []),
  filesystems: ({ source }) => Object.values(source ?? {}).filter(isPath),
  shmems: ({ name, server }) => (server ? [server.path] : [`/dev/shm/${name}`, '/dev/shm']),
  rngs: ({ backend }) => (backend.model === 'random' ? [backend.path] : []),
  tpms: ({ backend }) => (backend.type === 'passthrough' ? [backend.path] : []),
  memories: ({ model }) => (model === 'sgx-epc' ? ['/dev/sgx_vepc', '/dev/sgx_provision'] : []),
  graphics: dev => Object.values(dev).flatMap(socketDirectories),
  audios: ({ type }) => (type === 'alsa' ? ['/dev/snd'] : []),
  hostdevs: ({ source }) => (['pci', 'mdev'].includes(source.type) ? ['/dev/vfio/vfio'] : [])
}

/** What else QEMU sees for a device that is there or about to be plugged in. */
export const morePathsOf = <K extends DeviceKind>(kind: K, dev: Devices[K][number]): string[] =>
  ((MORE[kind] as Paths<K> | undefined)?.(dev) ?? []).filter(isPath)

const isPath = (value: unknown): value is string => typeof value === 'string' && value.startsWith('/')

const vhostOrDirectory = (source: object): string | undefined => Object.values(source).find(isPath)

/** Of places a display server listens at. */
const socketDirectories = (value: unknown): string[] =>
  Array.isArray(value)
    ? value.flatMap(({ socket }: { socket?: string }) => (isPath(socket) ? [dirname(socket)] : []))
    : []
