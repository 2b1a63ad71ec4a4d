// Moves of a guest from one host to another, by the same virsh between two libvirtd and between two aggregators: time in
// all, and time in which the guest does not run, as QEMU, the daemons and the guest itself have it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Daemon, type MigrationHost, MigrationWorld } from '../test/helper/migration-world.ts'
import type { Ran } from '../test/helper/virsh.ts'
import { median, ms, printTable, ratio } from './figures.ts'
import { switchover, traceArguments } from './qemu-trace.ts'
import { makeTickingDisk, Ticks } from './ticking-guest.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 5)
const MEMORY_MIB = Number(process.env.MEMORY_MIB ?? 2048)
const DISK_MIB = Number(process.env.DISK_MIB ?? 4096)
const LIMIT_MS = 120_000
/** Rest of a guest that was just started, and of its daemon. */
const SETTLE_MS = 2000
const NAME = 'bench-migration'

/** A kind of move. */
interface Kind {
  name: string
  /** the guest writes to memory and disk all the time, and has done so to all of its memory */
  writes: boolean
  /** its disk goes along; else both hosts have it */
  copies: boolean
}

const KINDS: Kind[] = [false, true].flatMap(copies =>
  [false, true].map(writes => ({
    name: `${writes ? 'writing' : 'idle'}, ${copies ? 'disk copied' : 'disk shared'}`,
    writes,
    copies
  }))
)

/** What is measured of a move. */
interface Figures {
  totalMs: number
  /** the daemons' own, which has the time between the hosts in it */
  toldMs: number
  pausedMs: number
  silentMs: number
  commands: number
}

const LINES: { name: string; of: keyof Figures; format: (value: number) => string }[] = [
  { name: 'total time', of: 'totalMs', format: ms },
  { name: 'downtime, as domjobinfo has it', of: 'toldMs', format: ms },
  { name: "downtime, by QEMU's traces", of: 'pausedMs', format: ms },
  { name: "the guest's silence", of: 'silentMs', format: ms },
  { name: 'commands to QEMU in the downtime', of: 'commands', format: String }
]

// where libvirtd keeps its status on these hosts too: in memory
const run = mkdtempSync('/dev/shm/virshim-bench-')

/** Two hosts with the same daemon, and a guest that goes from one to the other. */
class Pair {
  readonly world: MigrationWorld
  readonly #ticks: Ticks

  constructor(daemon: Daemon) {
    this.world = new MigrationWorld({ daemon, roots: join(run, daemon) })
    mkdirSync(join(run, daemon))
    this.#ticks = new Ticks(join(this.world.shared, 'ticks'))
  }

  async start(): Promise<void> {
    await this.#ticks.listen()
    await this.world.start()
  }

  end(): Promise<void> {
    this.#ticks.close()
    return this.world.end()
  }

  /** Makes the images that moves of a kind begin with. */
  prepare({ copies, writes }: Kind): void {
    const { a, shared } = this.world
    const filledMiB = copies ? DISK_MIB / 2 : 0
    const image = copies ? a.ownPath('disk.qcow2') : join(shared, 'disk.qcow2')
    makeTickingDisk(image, { diskMiB: DISK_MIB, filledMiB, memoryMiB: MEMORY_MIB, writes })
  }

  /** Starts the guest, moves it, and ends it. */
  async move({ copies, writes }: Kind): Promise<Figures> {
    const { a, b, shared, local } = this.world
    const ticks = this.#ticks
    const image = join(copies ? local : shared, 'disk.qcow2')
    if (copies)
      makeTickingDisk(b.ownPath('disk.qcow2'), { diskMiB: DISK_MIB, filledMiB: 0, memoryMiB: MEMORY_MIB, writes })
    const xml = join(shared, 'guest.xml')
    writeFileSync(xml, guestXml(image, ticks.path, join(local, 'trace')))
    ticks.forget({ afresh: true })
    const links = ticks.links
    await virsh(a, 'create', xml)
    await until(() => ticks.speaker > links, 'the guest does not tick')
    await sleep(SETTLE_MS)
    ticks.forget()
    const begun = performance.now()
    await virsh(a, 'migrate', '--live', copies ? '--copy-storage-all' : '--unsafe', NAME, b.uri)
    const totalMs = performance.now() - begun
    await until(() => ticks.speaker === ticks.links, 'the guest does not tick where it has gone')
    const told = /^Total downtime:\s+([\d.]+)/m.exec(await virsh(b, 'domjobinfo', '--completed', NAME))
    const { silentMs } = ticks
    const { pausedMs, commands } = switchover(a.ownPath('trace'), b.ownPath('trace'))
    await virsh(b, 'destroy', NAME)
    return { totalMs, toldMs: Number(told?.[1]), pausedMs, silentMs, commands }
  }
}

const guestXml = (image: string, ticks: string, trace: string): string =>
  `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>${NAME}</name>
  <memory unit='MiB'>${MEMORY_MIB}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/><target dev='vda' bus='virtio'/></disk>
  <serial type='unix'><source mode='connect' path='${ticks}'/></serial><memballoon model='none'/></devices>
  <qemu:commandline>${traceArguments(trace)
    .map(value => `<qemu:arg value='${value}'/>`)
    .join('')}</qemu:commandline></domain>`

/** @throws Error with virsh's words */
async function virsh(host: MigrationHost, ...words: string[]): Promise<string> {
  const { status, out, err }: Ran = await host.virsh(...words)
  if (status !== 0) throw new Error(`${host.daemon}: virsh ${words.join(' ')}: ${err}`)
  return out
}

async function until(isSo: () => boolean, why: string): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; !isSo(); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(why)
  }
}

const pairs = { libvirtd: new Pair('libvirtd'), virshim: new Pair('virshim') }
try {
  console.log(
    `${ROUNDS} rounds, medians; ${cpus().length} CPUs, ${MEMORY_MIB} MiB of memory, a disk of ${DISK_MIB} MiB, half full where it is copied\n`
  )
  await Promise.all(Object.values(pairs).map(pair => pair.start()))
  const rows: string[][] = []
  for (const kind of KINDS) {
    const found: Record<Daemon, Figures[]> = { libvirtd: [], virshim: [] }
    for (const pair of Object.values(pairs)) pair.prepare(kind)
    for (let round = 0; round < ROUNDS; round++) {
      const sides = Object.keys(pairs) as Daemon[]
      for (const side of round % 2 ? sides.reverse() : sides) found[side].push(await pairs[side].move(kind))
    }
    for (const { name, of, format } of LINES) {
      const of1 = (side: Daemon) => median(found[side].map(figures => figures[of]))
      const [theirs, ours] = [of1('libvirtd'), of1('virshim')]
      rows.push([kind.name, name, format(theirs), format(ours), ratio(ours, theirs)])
    }
  }
  printTable(['guest', 'figure', 'libvirtd', 'virshim', 'beside libvirtd'], rows)
} finally {
  await Promise.allSettled(Object.values(pairs).map(pair => pair.end()))
  rmSync(run, { recursive: true, force: true })
}
