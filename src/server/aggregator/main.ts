// virshim-aggregatord: finds all shims of this host and serves them as one connection. It owns no guest.
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { errorsFrom, toVirError } from '../../conf/error.ts'
import { VERSION } from '../../conf/version.ts'
import { partWithStarter } from '../../host/starter.ts'
import { lockRoot } from '../../state/root.ts'
import { makeDirectories } from '../../state/store.ts'
import { LateLog } from '../log.ts'
import { releaseIdleMemory } from '../memory.ts'
import { migrationWords } from '../migration-options.ts'
import { hookDirs, UsageError } from '../options.ts'
import { letPass, READ_ONLY_FOR_ALL, type SocketAccess } from '../socket-access.ts'
import { type ApiSockets, serve } from '../sockets.ts'
import type { Aggregator } from './aggregator.ts'
import { Changes } from './changes.ts'
import { connectOf } from './connection.ts'
import { daemonsIn } from './daemons.ts'
import { Discovery } from './discovery.ts'
import { Guests } from './guests.ts'
import { claimsSocketIn, layoutOf } from './layout.ts'
import { type AggregatorOptions, readOptions, USAGE } from './options.ts'
import { Registry } from './registry.ts'
import { Resources } from './resources.ts'
import { Supervisor } from './supervisor.ts'

const fail = errorsFrom('VIR_FROM_RPC')

const EXIT_OK = 0
const EXIT_FAILED = 1
const EXIT_USAGE = 2

/** Runs virshim-aggregatord; gives its exit status. */
export async function main(argv: string[]): Promise<number> {
  partWithStarter()
  try {
    const options = readOptions(argv)
    if (options === 'help' || options === 'version') {
      process.stdout.write(options === 'help' ? USAGE : `virshim-aggregatord ${VERSION}\n`)
      return EXIT_OK
    }
    await run(options)
    return EXIT_OK
  } catch (thrown) {
    const isUsage = thrown instanceof UsageError
    process.stderr.write(`error: ${isUsage ? `${thrown.message}\n${USAGE}` : `${toVirError(thrown).message}\n`}`)
    return isUsage ? EXIT_USAGE : EXIT_FAILED
  }
}

/** Serves until a signal ends it. */
async function run(options: AggregatorOptions): Promise<void> {
  const told = new Promise<NodeJS.Signals>(resolve => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve)
  })
  const layout = layoutOf(options.root)
  const lock = await lockRoot(layout.root, 'virshim-aggregatord')
  const log = new LateLog()
  await log.open(options.logLevel, { root: layout.root.dir })
  const registry = new Registry(log)
  const discovery = new Discovery(registry, layout, options.watch, log)
  const changes = new Changes(uuid => discovery.refresh(uuid))
  const { overcommits, claimGraceMs: graceMs } = options
  const resources = new Resources({ layout, registry, discovery, overcommits, graceMs, log })
  const { secondary } = options
  const shimOptions = [
    ...['--aggregator', layout.root.apiSocket],
    ...['--secondary', secondary ?? 'none'],
    ...['--idle-timeout', options.idleTimeoutS],
    ...migrationWords(options.migration)
  ]
  const { uidRange } = options
  if (uidRange) shimOptions.push('--uid-range', `${uidRange.first}-${uidRange.last}`)
  if (options.confine) shimOptions.push('--confine')
  if (options.hooks !== undefined) shimOptions.push('--hooks', options.hooks)
  const guests = new Guests({ layout, registry, discovery, changes, shimOptions })
  const supervisor = new Supervisor({ layout, registry, guests, log })
  const events = once(async () => new (await import('./events.ts')).GuestEvents(registry, changes, log))
  const aggregator: Aggregator = {
    layout,
    registry,
    discovery,
    changes,
    resources,
    connect: connectOf({
      layout,
      registry,
      guests,
      discovery,
      resources,
      secondary,
      hookDirs: hookDirs(options.hooks),
      log
    }),
    socketOf: guest => guests.socketOf(guest),
    events,
    hostEvents: once(async () => new (await import('./host-events.ts')).HostEvents(await events(), log)),
    log
  }
  let sockets: ApiSockets | undefined
  try {
    await Promise.race([discovery.start(), told])
    // their users are others than ours
    if (uidRange) letPass(layout.guestsDir, [READ_ONLY_FOR_ALL])
    sockets = await listen(aggregator, options)
    log.info({ guests: registry.size }, 'serving')
    if (secondary !== undefined) log.info({ directory: secondary, ...daemonsIn(secondary) }, "libvirt's other daemons")
    process.send?.('running')
    // the first guest that claims waits for no more than its answer
    void import('./http.ts')
    supervisor.start()
    releaseIdleMemory()
    // clients will come, and the first is not to wait longer than the others
    await Promise.all([import('./http.ts'), import('./rpc.ts')])
    log.info({ signal: await told }, 'ending, guests go on')
  } finally {
    supervisor.close()
    await sockets?.close()
    discovery.close()
    resources.close()
    lock.close()
  }
}

/** A value that is made when it is first asked for, and then is there. */
function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/** The sockets of the aggregator; what serves them is loaded when the first client comes. */
async function listen(aggregator: Aggregator, options: AggregatorOptions): Promise<ApiSockets> {
  const { libvirtSocket, secondary, access } = options
  const { root } = aggregator.layout
  const readers = readersAccess(access)
  const http = (readOnly: boolean) => async () => (await import('./http.ts')).createHttp(aggregator, readOnly)
  const claims = async () => (await import('./claims-http.ts')).createClaimsHttp(aggregator)
  const drivers = { directory: secondary, own: libvirtSocket }
  const rpc = (readOnly: boolean) => async () => (await import('./rpc.ts')).createRpc(aggregator, drivers, readOnly)
  const sockets = [
    { path: root.apiSocket, load: http(false), access },
    { path: root.apiReadOnlySocket, load: http(true), access: readers },
    { path: root.libvirtSocket, load: rpc(false), access },
    { path: root.libvirtReadOnlySocket, load: rpc(true), access: readers },
    { path: claimsSocketIn(root.dir), load: claims, access }
  ]
  if (libvirtSocket !== undefined) {
    const readOnly = `${libvirtSocket}-ro`
    for (const path of [libvirtSocket, readOnly]) await checkFree(path)
    const made = makeDirectories(dirname(libvirtSocket))
    if (made !== undefined) letPass(dirname(libvirtSocket), [access, readers])
    sockets.push(
      { path: libvirtSocket, load: rpc(false), access },
      { path: readOnly, load: rpc(true), access: readers }
    )
  }
  letPass(root.dir, [access, readers])
  return serve(aggregator.log, sockets)
}

/** The read-only sockets of the system's daemon are open to all, those of a user's to whoever may use the others. */
function readersAccess(access: SocketAccess): SocketAccess {
  return process.getuid?.() === 0 ? { ...access, ...READ_ONLY_FOR_ALL } : access
}

/** @throws VIR_ERR_OPERATION_INVALID when somebody listens there */
async function checkFree(path: string): Promise<void> {
  const socket = connect(path)
  const taken = await new Promise<boolean>(resolve => {
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
  })
  socket.destroy()
  if (taken) throw fail('VIR_ERR_OPERATION_INVALID', `another daemon listens at '${path}'`)
}
