// Moves of every kind, of a guest that changes memory and disk all the time: it loses no word of memory and no sector of
// its disk, and is never two.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { type Daemon, type MigrationHost, MigrationWorld } from '../../../helper/migration-world.ts'
import { makeRestlessDisk, passesOf, restlessGuest } from '../../../helper/restless-guest.ts'

// some 24 moves
t.setTimeout(900_000)

const LIMIT_MS = 60_000
/** libvirtd, to see that it moves them so too */
const DAEMON = (process.env.MATRIX_DAEMON ?? 'virshim') as Daemon

const MODES = { managed: '', p2p: '--p2p' }

/** How memory goes; $S is a socket's path. */
const TRANSPORTS = {
  tcp: '',
  unix: '--migrateuri unix://$S',
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

const keys = <T extends object>(of: T) => Object.keys(of) as (keyof T)[]

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

const mover = new Mover('shared')
const image = join(world.shared, 'disk.qcow2')
makeRestlessDisk(image)
await mover.start(image)

for (const [number, mode] of keys(MODES).entries()) {
  for (const transport of keys(TRANSPORTS)) {
    await t.test(`${mode}, ${transport}`, async t => {
      const from = mover.at
      const to = from === world.a ? world.b : world.a
      const words = [MODES[mode], TRANSPORTS[transport].replaceAll('$S', join(world.dir, `s${number}`)), '--unsafe']
      await mover.virsh('migrate', mover.name, to.uri, '--live', ...words.join(' ').split(' ').filter(Boolean))
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
}

t.test('a guest that has ended has left its disk whole', async t => {
  await mover.virsh('destroy', mover.name)
  const { status, out } = await mover.at.run('qemu-img', 'check', image)
  t.equal(status, 0, out)
})
