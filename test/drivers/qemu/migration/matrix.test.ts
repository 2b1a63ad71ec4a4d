// Moves of every kind, of guests that change memory and disk all the time: who asks whom, the way that memory goes, what
// becomes of the disk, from host to host and from root to root. None loses a word of memory or a sector of its disk, none
// is ever two.
import { join } from 'node:path'
import t from 'tap'
import { type Daemon, type MigrationPlace, MigrationRoot, MigrationWorld } from '../../../helper/migration-world.ts'
import { Mover } from '../../../helper/mover.ts'

// some hundred moves
t.setTimeout(900_000)

/** libvirtd, to see that it moves them so too */
const DAEMON = (process.env.MATRIX_DAEMON ?? 'virshim') as Daemon

/** Who drives it: virsh by the daemon, the guest itself, virsh by the guest's own shim. */
const MODES = { managed: '', p2p: '--p2p', shim: '' }

/** How memory goes; $S is a socket's path. */
const TRANSPORTS = {
  tcp: '--live',
  'not live': '',
  unix: '--live --migrateuri unix://$S --disks-uri unix://$S-disks',
  tls: '--live --tls',
  parallel: '--live --parallel --parallel-connections 2',
  'parallel by unix': '--live --parallel --migrateuri unix://$S --disks-uri unix://$S-disks',
  'parallel by tls': '--live --parallel --tls',
  zlib: '--live --parallel --comp-methods zlib --comp-zlib-level 3',
  zstd: '--live --parallel --comp-methods zstd --comp-zstd-level 3',
  xbzrle: '--live --comp-methods xbzrle --comp-xbzrle-cache 1048576',
  mt: '--live --comp-methods mt --comp-mt-level 1 --comp-mt-threads 2 --comp-mt-dthreads 2',
  'auto-converge': '--live --auto-converge --auto-converge-initial 20 --auto-converge-increment 20',
  'post-copy': '--live --postcopy --postcopy-after-precopy',
  limited: '--live --bandwidth 50',
  paused: '--live --suspend'
}

const STORAGES = {
  shared: '--unsafe',
  incremental: '--copy-storage-inc',
  full: '--copy-storage-all',
  synchronous: '--copy-storage-all --copy-storage-synchronous-writes',
  chosen: '--copy-storage-all --migrate-disks vda --migrate-disks-detect-zeroes vda'
}

const PAIRS = ['hosts', 'roots'] as const

interface Cell {
  pair: (typeof PAIRS)[number]
  mode: keyof typeof MODES
  transport: keyof typeof TRANSPORTS | 'tunnelled'
  storage: keyof typeof STORAGES
}

const keys = <T extends object>(of: T) => Object.keys(of) as (keyof T)[]
/** Each mode with each transport and each storage. */
const cells = (
  pair: Cell['pair'],
  modes: Cell['mode'][],
  transports: Cell['transport'][],
  storages: Cell['storage'][]
): Cell[] =>
  modes.flatMap(mode => transports.flatMap(transport => storages.map(storage => ({ pair, mode, transport, storage }))))

const BOTH: Cell['mode'][] = ['managed', 'p2p']
/** Storage does not care how memory is tuned. */
const WAYS: Cell['transport'][] = ['tcp', 'unix', 'tls', 'parallel', 'post-copy']
const COPIES: Cell['storage'][] = ['incremental', 'full', 'synchronous', 'chosen']

const OF_HOSTS = [
  ...cells('hosts', BOTH, keys(TRANSPORTS), ['shared']),
  ...cells('hosts', BOTH, WAYS, COPIES),
  ...cells('hosts', ['p2p'], ['tunnelled'], ['shared'])
]
/** libvirt has neither. */
const OF_VIRSHIM = [
  ...cells('hosts', ['shim'], ['tcp', 'unix'], ['shared', 'full']),
  ...cells('roots', BOTH, ['tcp', 'unix', 'parallel', 'post-copy', 'paused'], ['shared']),
  ...cells('roots', BOTH, ['tcp', 'unix', 'post-copy'], ['full', 'incremental']),
  ...cells('roots', ['p2p'], ['tunnelled'], ['shared'])
]
const ALL = DAEMON === 'libvirtd' ? OF_HOSTS : [...OF_HOSTS, ...OF_VIRSHIM]

const nameOf = ({ pair, mode, transport, storage }: Cell): string => `${pair}, ${mode}, ${transport}, ${storage}`
/** All take some minutes: MATRIX=all; or those with a word in their names. Else every fifth, so that each has its turn. */
const { MATRIX } = process.env
const CELLS = ALL.filter((cell, i) => (MATRIX ? MATRIX === 'all' || nameOf(cell).includes(MATRIX) : i % 5 === 0))

const world = new MigrationWorld({ daemon: DAEMON, tls: true })
t.teardown(() => world.end())
await world.start()
const { a, b } = world
const second = new MigrationRoot(a, 'r2')
if (DAEMON === 'virshim') await second.start()

const ENDS: Record<Cell['pair'], [MigrationPlace, MigrationPlace]> = { hosts: [a, b], roots: [a, second] }
const MOVERS = {
  hosts: {
    shared: new Mover(world, a, 'shared', { disk: 'shared' }),
    own: new Mover(world, a, 'own', { disk: 'local' })
  },
  roots: {
    shared: new Mover(world, a, 'near', { disk: 'shared' }),
    own: new Mover(world, a, 'nearer', { disk: 'named' })
  }
}
const pairs = PAIRS.filter(pair => pair === 'hosts' || CELLS.some(cell => cell.pair === pair))
const movers = pairs.flatMap(pair => Object.values(MOVERS[pair]).map(mover => ({ mover, ends: ENDS[pair] })))
await Promise.all(movers.map(({ mover, ends }) => mover.start(...ends)))

const otherOf = (mover: Mover, pair: Cell['pair']) => ENDS[pair].find(place => place !== mover.at)!

function optionsOf({ mode, transport, storage }: Cell, number: number): string[] {
  const way = transport === 'tunnelled' ? '--live --tunnelled' : TRANSPORTS[transport]
  const words = [MODES[mode], way.replaceAll('$S', join(world.dir, `s${number}`)), STORAGES[storage]].join(' ')
  const options = words.split(' ').filter(Boolean)
  // disks have a way of their own only where there are some to copy
  return storage === 'shared' ? options.filter(word => !/^--disks-uri$|-disks$/.test(word)) : options
}

for (const [number, cell] of CELLS.entries()) {
  const { pair, mode, transport, storage } = cell
  await t.test(nameOf(cell), async t => {
    const mover = MOVERS[pair][storage === 'shared' ? 'shared' : 'own']
    const to = otherOf(mover, pair)
    if (storage !== 'shared') mover.makeTarget(to, storage === 'incremental')
    await mover.move(t, to, optionsOf(cell, number), mode === 'shim' ? { asked: mover.shimUri } : {})
    if (transport !== 'paused') return
    // one that has come to stand still goes on so, and is worth as much
    await mover.move(t, otherOf(mover, pair), optionsOf({ ...cell, transport: 'tcp' }, number))
    await mover.virsh('resume', mover.name)
    await mover.works()
  })
}

/** What libvirt refuses, as it does. */
const REFUSED: [options: string, message: RegExp][] = [
  [
    '--p2p --tunnelled --copy-storage-all',
    /migration of non-shared storage is not supported with tunnelled migration and this QEMU/
  ],
  ['--p2p --tunnelled --postcopy', /post-copy is not supported with tunnelled migration/],
  ['--p2p --tunnelled --parallel', /'VIR_MIGRATE_TUNNELLED' and 'VIR_MIGRATE_PARALLEL' are mutually exclusive/],
  ['--postcopy --suspend', /post-copy migration is not supported with non-live or paused migration/],
  ['--zerocopy', /zero-copy is only available for parallel migration/],
  ['--tls --copy-storage-all --migrateuri unix:///s --disks-uri unix:///d', /NBD migration with TLS is not supported/]
]

t.test('what cannot be', async t => {
  const { shared, own } = MOVERS.hosts
  for (const [options, message] of REFUSED) {
    const mover = /storage/.test(options) ? own : shared
    const to = otherOf(mover, 'hosts')
    if (mover === own) mover.makeTarget(to, false)
    const words = ['--live', '--unsafe', ...options.split(' ')]
    t.match(await mover.migrate(to, words), { status: 1, err: message }, options)
    await mover.isGone(t, to)
    await mover.works()
  }
})

t.test('a guest that is gone has left its disk whole', async t => {
  for (const { mover } of movers) await mover.end(t)
})
