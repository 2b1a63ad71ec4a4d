// Latency of changes to a running guest, by one libvirt-python client alternating between libvirtd and a shim: with
// guests that answer at once, beside QEMU's part of it, and with guests that have booted the same Linux, which takes the
// devices and gives them up.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DIRECT_BOOT, makeGuestFiles } from '../test/helper/booted-guest.ts'
import { Daemons } from '../test/helper/libvirtd.ts'
import { median, printTable, ratio } from './figures.ts'
import { startByLibvirtd, startVirshimd } from './peers.ts'
import { makeBootDisk } from './prompt-guest.ts'
import { qemuParts, traceArguments } from './qemu-trace.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 15)
const BOOT_LIMIT_MS = 120_000
const LIBVIRTD = 'libvirtd'
const SHIM = 'virshimd'

/** Begin and end of a call, ms since the epoch. */
type Span = [began: number, ended: number]
type Took = Record<string, Record<typeof LIBVIRTD | typeof SHIM, Span[]>>

/** A kind of guests. */
interface Kind {
  name: string
  rounds: number
  /** rest after each call, seconds */
  pauseS: number
  /** what `<os>` says of it */
  boot?: string
  devices?: string
  /** QEMU's part is told apart; a Linux that is slow outlasts the call */
  isTraced?: boolean
  /** settles when it is ready for calls */
  ready(uri: string, name: string): Promise<void>
}

const dir = mkdtempSync(join(tmpdir(), 'virshim-bench-'))
// libvirtd's QEMU runs as a user of its own and must reach the images
chmodSync(dir, 0o755)
// where a root is by default, and libvirtd's own status: in memory
const run = mkdtempSync('/run/virshim-bench-')
const logs = join(dir, 'trace')
mkdirSync(logs)
chmodSync(logs, 0o777)
const bootDisk = join(dir, 'prompt.img')

const prompt: Kind = {
  name: 'prompt',
  rounds: ROUNDS,
  pauseS: 0.2,
  devices: `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${bootDisk}'/>
    <target dev='hda' bus='ide'/><shareable/></disk>`,
  isTraced: true,
  // its firmware
  ready: () => sleep(3000)
}

const linux: Kind = {
  name: 'linux',
  rounds: Math.ceil(ROUNDS / 3),
  pauseS: 0.5,
  boot: DIRECT_BOOT,
  ready: untilBooted
}

const traceOf = (name: string) => join(logs, `${name}.log`)

function makeGuest(
  name: string,
  { rounds, boot = '', devices = '', isTraced = false }: Kind
): { xml: string; image: string } {
  const image = join(dir, `${name}.img`)
  writeFileSync(image, Buffer.alloc(1024 * 1024))
  const xml = join(dir, `${name}.xml`)
  const trace = isTraced ? traceArguments(traceOf(name)).map(value => `<qemu:arg value='${value}'/>`) : []
  writeFileSync(
    xml,
    `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
      <name>${name}</name><memory unit='MiB'>256</memory><vcpu current='1'>${rounds + 2}</vcpu>
      <os><type arch='x86_64' machine='pc'>hvm</type>${boot}</os><features><acpi/></features>
      <devices>${devices}<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <memballoon model='virtio'/></devices>
      <qemu:commandline>${trace.join('')}</qemu:commandline></domain>`
  )
  return { xml, image }
}

/** Waits until the guest's agent answers: its Linux has booted then. */
async function untilBooted(uri: string, name: string): Promise<void> {
  const ping = ['-c', uri, 'qemu-agent-command', name, '{"execute":"guest-ping"}']
  for (const deadline = Date.now() + BOOT_LIMIT_MS; spawnSync('virsh', ping).status !== 0; await sleep(200)) {
    if (Date.now() > deadline) throw new Error(`${name} of ${uri} does not boot`)
  }
}

/** Times all calls on two guests of a kind, and prints it. */
async function compare(kind: Kind): Promise<void> {
  const [theirName, ourName] = [`bench-${kind.name}-${process.pid}-1`, `bench-${kind.name}-${process.pid}-2`]
  const [their, our] = [makeGuest(theirName, kind), makeGuest(ourName, kind)]
  const root = join(run, ourName)
  const uris = {
    [LIBVIRTD]: 'qemu:///system',
    [SHIM]: `qemu+unix:///system?socket=${join(root, 'libvirt-sock')}`
  }
  const guests = [await startByLibvirtd(their.xml, theirName), await startVirshimd(dir, our.xml, ourName, 'none', root)]
  let took: Took
  try {
    await kind.ready(uris[LIBVIRTD], theirName)
    await kind.ready(uris[SHIM], ourName)
    const words = [
      `${LIBVIRTD}=${uris[LIBVIRTD]}=${theirName}=${their.image}`,
      `${SHIM}=${uris[SHIM]}=${ourName}=${our.image}`
    ]
    const args = ['bench/hotplug-client.py', `${kind.rounds}`, `${kind.pauseS}`, ...words]
    const client = spawnSync('/usr/bin/python3', args, { encoding: 'utf8' })
    if (client.status !== 0) throw new Error(`hotplug-client.py: ${client.stderr}`)
    took = JSON.parse(client.stdout) as Took
  } finally {
    await Promise.allSettled(guests.map(guest => guest.stop()))
  }
  const whole = ([began, ended]: Span) => ended - began
  const beside = (
    of: (spans: Span[], name: string) => number[],
    { [LIBVIRTD]: theirs, [SHIM]: ours }: Took[string]
  ) => {
    const medians = [median(of(theirs, theirName)), median(of(ours, ourName))] as const
    return [...medians.map(value => `${value.toFixed(1)} ms`), ratio(medians[1], medians[0])]
  }
  const withoutQemu = (spans: Span[], name: string) => {
    const parts = qemuParts(traceOf(name), spans)
    return spans.map((span, i) => whole(span) - parts[i]!)
  }
  printTable(
    [
      ...[`${kind.name} guests: median latency`, LIBVIRTD, SHIM, 'beside libvirtd'],
      ...(kind.isTraced ? [`${LIBVIRTD} without QEMU`, SHIM, 'beside libvirtd'] : [])
    ],
    Object.entries(took).map(([call, spans]) => [
      ...[call, ...beside(all => all.map(whole), spans)],
      ...(kind.isTraced ? beside(withoutQemu, spans) : [])
    ])
  )
}

const daemons = new Daemons(dir)
makeGuestFiles()
makeBootDisk(bootDisk)
await daemons.ensure()
try {
  console.log(`${ROUNDS} rounds, ${cpus().length} CPUs, Node.js ${process.version}\n`)
  await compare(prompt)
  await compare(linux)
} finally {
  daemons.end()
  for (const one of [dir, run]) rmSync(one, { recursive: true, force: true })
}
