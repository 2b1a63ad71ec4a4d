// Guests that change memory and disk all the time move from a libvirtd 11.3 to an aggregator on another host, and back:
// each way, and each option, that both ends have.
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type MigrationHost, MigrationRoot, MigrationWorld } from '../../helper/migration-world.ts'
import { Mover } from '../../helper/mover.ts'

// some eighty moves, each of which starts a guest
t.setTimeout(900_000)

/** Options of virsh migrate; $S is a socket's path. */
const SHARED = [
  '',
  '--live',
  '--live --p2p',
  '--live --change-protection --abort-on-error --auto-converge --auto-converge-initial 20 --bandwidth 500',
  '--live --migrateuri unix://$S',
  '--live --p2p --tunnelled',
  '--live --tls',
  '--live --p2p --tls --parallel',
  '--live --p2p --parallel --parallel-connections 3',
  '--live --parallel --comp-methods zstd --comp-zstd-level 3',
  '--live --p2p --parallel --comp-methods zlib',
  '--live --compressed',
  '--live --p2p --comp-methods xbzrle,mt --comp-mt-level 2 --comp-xbzrle-cache 1048576',
  '--live --postcopy --postcopy-after-precopy',
  '--live --p2p --postcopy --postcopy-after-precopy --postcopy-bandwidth 100'
].map(options => ({ options, disk: 'shared' as const }))

const COPIED = [
  '--live --copy-storage-all',
  '--live --p2p --copy-storage-all --copy-storage-synchronous-writes',
  '--live --copy-storage-inc',
  '--live --p2p --copy-storage-inc --migrate-disks vda',
  '--live --tls --copy-storage-all',
  '--live --postcopy --postcopy-after-precopy --copy-storage-all',
  '--live --migrateuri unix://$S --disks-uri unix://$S-disks --copy-storage-all'
].map(options => ({ options, disk: 'local' as const }))

/** All take some minutes: LIBVIRTD=all. Else every fourth, and each way to ask. */
const isAll = process.env.LIBVIRTD === 'all'
const some = <T>(list: readonly T[]): T[] => list.filter((_, i) => isAll || i % 4 === 0)

const world = new MigrationWorld({ daemon: 'libvirtd', tls: true }, { daemon: 'virshim', tls: true })
t.teardown(() => world.end())
await world.start()
const { a, b } = world

const shared = new Mover(world, a, 'shared', { disk: 'shared' })
const local = new Mover(world, a, 'local', { disk: 'local' })
const kept = new Mover(world, a, 'kept', { disk: 'shared', isKept: true })
const movers = [shared, local, kept]
await Promise.all(movers.map(mover => mover.start(a, b)))

const otherOf = (mover: Mover): MigrationHost => (mover.at === a ? b : a)
const wordsOf = (options: string, number: number) =>
  ['--unsafe', ...options.replaceAll('$S', join(world.dir, `s${number}`)).split(' ')].filter(Boolean)

/** Works at the one place, and when it has gone over at the other. */
async function bothWays(t: Test, mover: Mover, work: (t: Test, to: MigrationHost) => Promise<void>): Promise<void> {
  for (let n = 0; n < 2; n++) {
    const to = otherOf(mover)
    await t.test(`${mover.at.name === 'a' ? 'libvirtd to virshim' : 'virshim to libvirtd'}`, t => work(t, to))
  }
}

/** What of a definition is the host's own. */
const asSent = (xml: string) => xml.replaceAll(/ (id|port)='-?\d+'/g, '')

for (const [number, { options, disk }] of some([...SHARED, ...COPIED]).entries()) {
  const mover = disk === 'shared' ? shared : local
  await t.test(options || 'no options', async t => {
    const before = asSent(await mover.virsh('dumpxml', mover.name, '--migratable'))
    await bothWays(t, mover, async (t, to) => {
      if (disk === 'local') mover.makeTarget(to, options.includes('inc'))
      await mover.move(t, to, wordsOf(options, number))
      t.match(await mover.virsh('domjobinfo', mover.name, '--completed'), /Operation: +Incoming migration/)
    })
    t.equal(asSent(await mover.virsh('dumpxml', mover.name, '--migratable')), before, 'it is the same guest')
  })
}

await t.test('on one host', async t => {
  // libvirtd knows it by its UUID
  const beside = new MigrationRoot(a, 'r2')
  await beside.start()
  const { status, err } = await shared.migrate(beside, ['--unsafe', '--live'])
  t.equal(status, 1)
  t.match(err, 'Attempt to migrate guest to the same host')
  await shared.works()
})

await t.test('by the network to a libvirtd', async t => {
  await shared.move(t, b, ['--unsafe', '--live'])
  await shared.move(t, a, ['--unsafe', '--live', '--p2p'], { there: a.tcpUri })
})

await t.test('a guest that is kept', async t => {
  for (const options of ['--live --persistent --undefinesource', '--live --p2p --persistent --undefinesource']) {
    await bothWays(t, kept, async (t, to) => {
      await kept.move(t, to, wordsOf(options, 0))
      t.match(await kept.virsh('dominfo', kept.name), /Persistent: +yes/)
    })
  }
})

await t.test('a guest that is shut off', async t => {
  await kept.virsh('destroy', kept.name)
  const before = asSent(await kept.virsh('dumpxml', kept.name))
  for (const options of ['--offline --persistent --undefinesource', '--offline --p2p --persistent --undefinesource']) {
    await bothWays(t, kept, async (t, to) => {
      const from = kept.at
      t.match(await kept.migrate(to, options.split(' ')), { status: 0, err: '' })
      kept.at = to
      await kept.isGone(t, from)
      t.match(await kept.state(), /^shut off/)
      t.equal(asSent(await kept.virsh('dumpxml', kept.name)), before)
    })
  }
  await kept.virsh('start', kept.name)
})

// a libvirtd loses a guest that came to stand still and is sent on so: its QEMU ends itself
await t.test('a guest that stands still', async t => {
  await shared.virsh('suspend', shared.name)
  await shared.move(t, b, ['--unsafe', '--live'])
  await shared.move(t, a, ['--unsafe', '--live', '--p2p'])
  await shared.virsh('resume', shared.name)
  await shared.works()
  await shared.move(t, b, ['--unsafe', '--live', '--suspend'])
  await shared.move(t, a, ['--unsafe', '--live'])
  await shared.virsh('resume', shared.name)
  await shared.works()
})

/** An abort of each. */
const GIVEN_UP = ['--p2p', '--postcopy', '--p2p --tunnelled', '--copy-storage-all', '']

await t.test('one that is given up in the middle', async t => {
  for (const options of some(GIVEN_UP)) {
    const mover = options.includes('storage') ? local : shared
    for (const at of [a, b]) {
      if (mover.at !== at)
        await mover.move(t, at, ['--unsafe', '--live', ...(mover === local ? ['--copy-storage-all'] : [])])
      const to = otherOf(mover)
      if (mover === local) mover.makeTarget(to, false)
      await t.test(`${options || 'managed'}, ${at.daemon}`, async t => {
        // slower than it writes: it never ends
        const moved = mover.migrate(to, [...wordsOf(options, 0), '--live', '--bandwidth', '1'])
        await mover.untilMoving()
        await mover.virsh('domjobabort', mover.name)
        t.match(await moved, { status: 1, err: /job: canceled by client|canceled/ })
        t.match(await mover.state(), /^running/)
        await mover.works()
        await mover.isGone(t, to)
      })
    }
  }
})

/** What one end refuses in the words of the other. */
const REFUSED = [
  '--offline',
  '--tunnelled',
  '--p2p --tunnelled --parallel',
  '--p2p --tunnelled --postcopy',
  '--p2p --tunnelled --copy-storage-all',
  '--postcopy --suspend',
  '--zerocopy',
  '--comp-methods lz4',
  '--parallel --compressed',
  '--migrateuri rdma://host',
  '--migrateuri x://host',
  '--copy-storage-all --migrate-disks vdx'
]

await t.test('what cannot be', async t => {
  const said = new Map<string, string>()
  for (const at of [a, b]) {
    if (shared.at !== at) await shared.move(t, at, ['--unsafe', '--live'])
    const to = otherOf(shared)
    for (const options of REFUSED) {
      const { status, err } = await shared.migrate(to, ['--unsafe', '--live', ...options.split(' ')])
      t.equal(status, 1, options)
      if (at === a) said.set(options, err)
      else t.equal(err, said.get(options), options)
      await shared.isGone(t, to)
    }
    await shared.works()
  }
})

t.test('the end', async t => {
  for (const mover of movers) await mover.end(t)
})
