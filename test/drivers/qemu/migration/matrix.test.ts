// Moves of every kind, of guests that change memory and disk all the time: mode, transport, storage. None loses a word of
// memory or a sector of its disk, none is ever two.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Daemon, type MigrationHost, MigrationWorld } from '../../../helper/migration-world.ts'
import { makeImage, makeRestlessDisk, passesOf, restlessGuest } from '../../../helper/restless-guest.ts'

// some fifty moves
t.setTimeout(900_000)

const LIMIT_MS = 60_000
/** libvirtd, to see that it moves them so too */
const DAEMON = (process.env.MATRIX_DAEMON ?? 'virshim') as Daemon

const MODES = { managed: '', p2p: '--p2p' }

/** How memory goes; $S is a socket's path. */
const TRANSPORTS = {
  tcp: '',
  unix: '--migrateuri unix://$S --disks-uri unix://$S-disks',
  tls: '--tls',
  parallel: '--parallel --parallel-connections 2',
  zlib: '--parallel --comp-methods zlib --comp-zlib-level 3',
  zstd: '--parallel --comp-methods zstd --comp-zstd-level 3',
  xbzrle: '--comp-methods xbzrle --comp-xbzrle-cache 1048576',
  mt: '--comp-methods mt --comp-mt-level 1 --comp-mt-threads 2 --comp-mt-dthreads 2',
  'auto-converge': '--auto-converge --auto-converge-initial 20',
  'post-copy': '--postcopy --postcopy-after-precopy',
  limited: '--bandwidth 50',
  paused: '--suspend'
}

const STORAGES = {
  shared: '--unsafe',
  incremental: '--copy-storage-inc',
  full: '--copy-storage-all',
  synchronous: '--copy-storage-all --copy-storage-synchronous-writes'
}

interface Cell {
  mode: keyof typeof MODES
  transport: keyof typeof TRANSPORTS | 'tunnelled'
  storage: keyof typeof STORAGES
}

const keys = <T extends object>(of: T) => Object.keys(of) as (keyof T)[]

/** Storage does not care how memory is tuned. */
const WAYS = ['tcp', 'unix', 'tls', 'parallel'] as const
const COPIES = ['incremental', 'full', 'synchronous'] as const

const ALL: Cell[] = [
  ...keys(MODES).flatMap(mode => keys(TRANSPORTS).map(transport => ({ mode, transport, storage: 'shared' }) as const)),
  ...COPIES.flatMap(storage => keys(MODES).flatMap(mode => WAYS.map(transport => ({ mode, transport, storage })))),
  { mode: 'p2p', transport: 'tunnelled', storage: 'shared' }
]

/** All 49 take some minutes: MATRIX=all. Else every third, so that each transport and storage has its turn. */
const CELLS = process.env.MATRIX === 'all' ? ALL : ALL.filter((_, i) => i % 3 === 0)

/** Post-copy needs the kernel to tell QEMU of faults; libvirt's packages switch that on. */
const FAULTS = '/proc/sys/vm/unprivileged_userfaultfd'
const faultsBefore = readFileSync(FAULTS)
writeFileSync(FAULTS, '1')
t.teardown(() => writeFileSync(FAULTS, faultsBefore))

const world = new MigrationWorld({ daemon: DAEMON, tls: true })
t.teardown(() => world.end())
await world.start()

/** A guest, and where it is. */
class Mover {
  at: MigrationHost = world.a
  readonly name: string
  readonly said: string

  constructor(name: string) {
    this.name = `t-${name}-${process.pid}`
    this.said = join(world.shared, `${name}.said`)
  }

  async start(disk: string): Promise<void> {
    const xml = join(world.shared, `${this.name}.xml`)
    writeFileSync(xml, restlessGuest(this.name, { disk, said: this.said }))
    await this.virsh('create', xml)
    await this.works()
  }

  /** @throws Error where it fails */
  async virsh(...words: string[]): Promise<string> {
    const { status, out, err } = await this.at.virsh(...words)
    if (status !== 0) throw new Error(`${words.join(' ')}: ${err}`)
    return out
  }

  /** Waits until it has made so many passes more: everything has been looked at anew. */
  async works(passes = 3): Promise<void> {
    const until = this.passes() + passes
    for (const deadline = Date.now() + LIMIT_MS; this.passes() < until; await sleep(20)) {
      if (Date.now() > deadline)
        throw new Error(`${this.name} makes no pass; ${readFileSync(this.said, 'latin1').slice(-40)}`)
    }
  }

  passes(): number {
    return passesOf(this.said)
  }
}

const shared = new Mover('shared')
const local = new Mover('local')
const IMAGE = 'disk.qcow2'
makeRestlessDisk(join(world.shared, IMAGE))
for (const host of [world.a, world.b]) makeRestlessDisk(host.ownPath('base.qcow2'))
makeImage(world.a.ownPath(IMAGE), join(world.local, 'base.qcow2'))
await Promise.all([shared.start(join(world.shared, IMAGE)), local.start(join(world.local, IMAGE))])

for (const [number, { mode, transport, storage }] of CELLS.entries()) {
  await t.test(`${mode}, ${transport}, ${storage}`, async t => {
    const mover = storage === 'shared' ? shared : local
    const from = mover.at
    const to = from === world.a ? world.b : world.a
    const backing = storage === 'incremental' ? [join(world.local, 'base.qcow2')] : []
    if (mover === local) makeImage(to.ownPath(IMAGE), ...backing)
    const way = transport === 'tunnelled' ? '--tunnelled' : TRANSPORTS[transport]
    const words = [MODES[mode], way.replaceAll('$S', join(world.dir, `s${number}`)), STORAGES[storage]]
    const options = words.join(' ').split(' ').filter(Boolean)
    // disks have their own way only where there are some to copy
    const own = mover === shared ? options.filter(word => !/^--disks-uri$|-disks$/.test(word)) : options
    await mover.virsh('migrate', mover.name, to.uri, '--live', ...own)
    mover.at = to
    const isGone = !(await from.virsh('list', '--all', '--name')).out.includes(mover.name)
    t.ok(isGone, 'it is not where it was')
    if (transport === 'paused') {
      t.match(await mover.virsh('domstate', mover.name, '--reason'), 'paused')
      await mover.virsh('resume', mover.name)
    }
    t.match(await mover.virsh('domstate', mover.name), 'running')
    await mover.works()
    t.pass(`${mover.passes()} passes, each told once`)
  })
}

t.test('a guest that is gone has left its disk whole', async t => {
  for (const mover of [shared, local]) await mover.virsh('destroy', mover.name)
  const images = [join(world.shared, IMAGE), join(world.local, IMAGE)]
  for (const [index, mover] of [shared, local].entries()) {
    const { status, out } = await mover.at.run('qemu-img', 'check', images[index]!)
    t.equal(status, 0, out)
  }
})
