// passt: carries a card's packets to the host's network as an ordinary program's connections (qemu_passt.c).
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { PortForward } from '../../../../conf/net/port-forward.ts'
import { endHelper, startHelper } from '../../../../host/helper-process.ts'
import { ownerIds, type ProcessOwner } from '../../../../host/owner.ts'
import { findProgram } from '../../../../host/swtpm.ts'
import { helperLog } from '../../../../state/root.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { GuestPaths } from '../../context.ts'
import type { Props } from '../../parts/props.ts'
import type { HostEnd, HostGuest } from '../family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failHost = errorsFrom('VIR_FROM_NONE')

/** Seconds after which QEMU connects again to a passt that was started anew. */
export const PASST_RECONNECT_SECONDS = 5

/** The socket between QEMU and passt (qemuPasstCreateSocketPath). */
export const passtSocket = ({ alias }: InterfaceDef, { libDir }: GuestPaths): string =>
  join(libDir, `${alias}-passt.sock`)

export const passt = {
  check({ source }) {
    if (source.passt) findPasst()
  },
  /** @throws VIR_ERR_INTERNAL_ERROR with passt's own words, VIR_ERR_SYSTEM_ERROR without one */
  async take(dev, guest) {
    if (dev.source.passt) await startPasst(dev, guest)
  },
  /** it ends with its connection to QEMU */
  async give(dev, { context }) {
    if (!dev.source.passt) return
    const socket = passtSocket(dev, context.paths)
    await endHelper(socket)
    for (const left of [readyFileOf(socket), `${socket}.repair`]) rmSync(left, { force: true })
  }
} satisfies HostEnd<InterfaceDef>

/** passt's own PID file: written once it has shut itself in, which may fail. */
const readyFileOf = (socket: string) => `${socket}.ready`

/** Starts a card's passt, anew if it is there already (qemuPasstStart). @throws as `take` */
export async function startPasst(dev: InterfaceDef, { context, root, owner }: HostGuest): Promise<void> {
  const socket = passtSocket(dev, context.paths)
  findPasst()
  await startHelper({
    command: 'passt',
    args: ['--foreground', ...runAs(owner), ...passtArgs(dev, socket)],
    socket,
    readyFile: readyFileOf(socket),
    log: helperLog(root, `${dev.alias}-passt`),
    logMode: 'w',
    owner,
    failure: words => fail('VIR_ERR_INTERNAL_ERROR', `Could not start 'passt': ${words ?? 'no socket'}`)
  })
}

function findPasst(): void {
  if (findProgram('passt') !== undefined) return
  throw failHost('VIR_ERR_SYSTEM_ERROR', "Cannot find 'passt' in path: No such file or directory")
}

/** Differs from libvirt: passt runs as the user QEMU runs as; libvirt's, started as root, runs as nobody. */
function runAs(owner: ProcessOwner): string[] {
  const ids = ownerIds(owner)
  return ids ? ['--runas', `${ids.uid}:${ids.gid}`] : []
}

/** passt's arguments, in libvirt's order. */
export function passtArgs(dev: InterfaceDef, socket: string): string[] {
  const { type, source, mtu, backend, guestIp, portForwards } = dev
  const option = (name: string, value: string | number | undefined) =>
    value === undefined ? [] : [`--${name}`, String(value)]
  return [
    ...(type === 'vhostuser' ? ['--vhost-user'] : []),
    '--one-off',
    ...option('socket', socket),
    ...option('pid', readyFileOf(socket)),
    ...option('mtu', mtu),
    ...option('interface', source.passt?.dev),
    ...option('log-file', backend?.logFile),
    ...(guestIp?.ips ?? []).flatMap(({ address, family, prefix }) => [
      ...option('address', address),
      ...option('netmask', family === 'ipv4' ? prefix : undefined)
    ]),
    ...portForwards.flatMap(forward => option(`${forward.proto}-ports`, portSpec(forward)))
  ]
}

/** `ADDRESS%DEVICE/PORTS`, as passt(1) has it. */
function portSpec({ address = '', dev, ranges }: PortForward): string {
  const place = dev === undefined ? address : `${address}%${dev}`
  const ports = ranges.map(({ start = 0, end, to, exclude }) => {
    const host = end === undefined ? `${start}` : `${start}-${end}`
    const guest = to === undefined ? '' : `:${to}${end === undefined ? '' : `-${end + to - start}`}`
    return `${exclude ? '~' : ''}${host}${guest}`
  })
  return `${place === '' ? '' : `${place}/`}${ports.length === 0 ? 'all' : ports.join(',')}`
}

/** QEMU's end of the socket (qemuPasstAddNetProps). */
export function passtNetdev(dev: InterfaceDef, paths: GuestPaths, qemu: Qemu): Props & { type: string } {
  const reconnect = qemu.has('netdev-stream-reconnect-miliseconds')
    ? { 'reconnect-ms': PASST_RECONNECT_SECONDS * 1000 }
    : { reconnect: PASST_RECONNECT_SECONDS }
  return {
    type: 'stream',
    addr: { type: 'unix', path: passtSocket(dev, paths) },
    server: false,
    ...(qemu.has('netdev.stream.reconnect') && reconnect)
  }
}
