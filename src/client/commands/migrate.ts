// Moving a guest to another host.
import { virDomainMigrateFlags } from '../../conf/enums.ts'
import { formatJson } from '../../conf/json.ts'
import { decodeXml } from '../../conf/xml.ts'
import type { Given, Options } from '../arguments.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { aggregatorSocket, Connection, meansAll, socketsOf } from '../connection.ts'
import { ClientError, saying } from '../failure.ts'
import { readOrFail } from '../input.ts'
import { lead, type MigrationParams, type Move, rehearse } from '../migration.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { type JobWatch, watchJob } from '../watch-job.ts'

const FLAG = virDomainMigrateFlags
const { bool, int, text } = option
const UINT = { min: 0, max: 2 ** 32 - 1 }

/** Options that are flags. */
const FLAGS: Readonly<Record<string, number>> = {
  live: FLAG.VIR_MIGRATE_LIVE,
  p2p: FLAG.VIR_MIGRATE_PEER2PEER,
  tunnelled: FLAG.VIR_MIGRATE_TUNNELLED,
  persistent: FLAG.VIR_MIGRATE_PERSIST_DEST,
  undefinesource: FLAG.VIR_MIGRATE_UNDEFINE_SOURCE,
  'copy-storage-all': FLAG.VIR_MIGRATE_NON_SHARED_DISK,
  'copy-storage-inc': FLAG.VIR_MIGRATE_NON_SHARED_INC,
  'copy-storage-synchronous-writes': FLAG.VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES,
  'change-protection': FLAG.VIR_MIGRATE_CHANGE_PROTECTION,
  unsafe: FLAG.VIR_MIGRATE_UNSAFE,
  compressed: FLAG.VIR_MIGRATE_COMPRESSED,
  'auto-converge': FLAG.VIR_MIGRATE_AUTO_CONVERGE,
  'rdma-pin-all': FLAG.VIR_MIGRATE_RDMA_PIN_ALL,
  offline: FLAG.VIR_MIGRATE_OFFLINE,
  'abort-on-error': FLAG.VIR_MIGRATE_ABORT_ON_ERROR,
  postcopy: FLAG.VIR_MIGRATE_POSTCOPY,
  'postcopy-resume': FLAG.VIR_MIGRATE_POSTCOPY_RESUME,
  zerocopy: FLAG.VIR_MIGRATE_ZEROCOPY,
  tls: FLAG.VIR_MIGRATE_TLS,
  parallel: FLAG.VIR_MIGRATE_PARALLEL,
  suspend: FLAG.VIR_MIGRATE_PAUSED
}

type Value = MigrationParams[keyof MigrationParams]
/** How an option's value becomes a parameter's. */
type Reading = (given: Given, name: string) => Value | undefined | Promise<Value | undefined>
const aText: Reading = (given, name) => given.text(name)
const aNumber: Reading = (given, name) => given.int(name)
const aBigNumber: Reading = (given, name) => given.ulonglong(name)
const aList: Reading = (given, name) => given.text(name)?.split(',')
/** 0 is left out. */
const aPort: Reading = (given, name) => given.int(name) || undefined
const disks: Reading = (given, name) => {
  const list = given.text(name)?.split(',')
  if (list) requireCopy(given, name)
  return list
}
const aFile: Reading = async (given, name) => {
  const file = given.text(name)
  if (file === undefined) return undefined
  return decodeXml(await saying(`cannot read file '${file}'`, readOrFail(file)), '(domain_definition)')
}

function requireCopy(given: Given, name: string): void {
  if (given.has('copy-storage-all') || given.has('copy-storage-inc')) return
  throw new ClientError(`'--${name}' requires one of '--copy-storage-all', '--copy-storage-inc'`)
}

/** Options that are parameters, in the order in which virsh reads them. */
const PARAMS: [name: string, param: keyof MigrationParams, reading: Reading][] = [
  ['migrateuri', 'migrate_uri', aText],
  ['graphicsuri', 'graphics_uri', aText],
  ['listen-address', 'listen_address', aText],
  ['disks-port', 'disks_port', aPort],
  ['disks-uri', 'disks_uri', aText],
  ['dname', 'destination_name', aText],
  ['migrate-disks', 'migrate_disks', disks],
  ['migrate-disks-detect-zeroes', 'migrate_disks_detect_zeroes', disks],
  ['comp-methods', 'compression', aList],
  ['comp-mt-level', 'compression.mt.level', aNumber],
  ['comp-mt-threads', 'compression.mt.threads', aNumber],
  ['comp-mt-dthreads', 'compression.mt.dthreads', aNumber],
  ['comp-xbzrle-cache', 'compression.xbzrle.cache', aBigNumber],
  ['xml', 'destination_xml', aFile],
  ['persistent-xml', 'persistent_xml', aFile],
  ['auto-converge-initial', 'auto_converge.initial', aNumber],
  ['auto-converge-increment', 'auto_converge.increment', aNumber],
  ['postcopy-bandwidth', 'bandwidth.postcopy', aBigNumber],
  ['parallel-connections', 'parallel.connections', aNumber],
  ['comp-zlib-level', 'compression.zlib.level', aNumber],
  ['comp-zstd-level', 'compression.zstd.level', aNumber],
  ['bandwidth', 'bandwidth', aBigNumber],
  ['tls-destination', 'tls.destination', aText],
  ['available-switchover-bandwidth', 'bandwidth.avail.switchover', aBigNumber]
]

const named = { named: true }

const options: Options = {
  desturi: text(
    'connection URI of the destination host as seen from the client(normal migration) or source(p2p migration)',
    {
      required: true
    }
  ),
  live: bool('live migration'),
  offline: bool('offline migration'),
  p2p: bool('peer-2-peer migration'),
  direct: bool('direct migration'),
  tunnelled: bool('tunnelled migration', { aliases: ['tunneled'] }),
  persistent: bool('persist VM on destination'),
  undefinesource: bool('undefine VM on source'),
  suspend: bool('do not restart the domain on the destination host'),
  'copy-storage-all': bool('migration with non-shared storage with full disk copy'),
  'copy-storage-inc': bool(
    'migration with non-shared storage with incremental copy (same base image shared between source and destination)'
  ),
  'copy-storage-synchronous-writes': bool(
    'force guest disk writes to be synchronously written to the destination to improve storage migration convergence'
  ),
  'change-protection': bool('prevent any configuration changes to domain until migration ends'),
  unsafe: bool('force migration even if it may be unsafe'),
  verbose: bool('display the progress of migration'),
  compressed: bool('compress repeated pages during live migration'),
  'auto-converge': bool('force convergence during live migration'),
  'rdma-pin-all': bool('pin all memory before starting RDMA live migration'),
  'abort-on-error': bool('abort on soft errors during migration'),
  postcopy: bool('enable post-copy migration; switch to it using migrate-postcopy command'),
  'postcopy-after-precopy': bool('automatically switch to post-copy migration after one pass of pre-copy'),
  'postcopy-resume': bool('resume failed post-copy migration'),
  zerocopy: bool('use zero-copy mechanism for migrating memory pages'),
  migrateuri: text('migration URI, usually can be omitted'),
  graphicsuri: text('graphics URI to be used for seamless graphics migration'),
  'listen-address': text('listen address that destination should bind to for incoming migration'),
  dname: text('rename to new name during migration (if supported)'),
  timeout: int(
    'run action specified by --timeout-* option (suspend by default) if live migration exceeds timeout (in seconds)'
  ),
  'timeout-suspend': bool('suspend the guest after timeout'),
  'timeout-postcopy': bool('switch to post-copy after timeout'),
  xml: text('filename containing updated XML for the target'),
  'migrate-disks': text('comma separated list of disks to be migrated'),
  'migrate-disks-detect-zeroes': text(
    'comma separated list of disks to be migrated with zero detection enabled',
    named
  ),
  'disks-port': int('port to use by target server for incoming disks migration'),
  'disks-uri': text('URI to use for disks migration (overrides --disks-port)', named),
  'comp-methods': text('comma separated list of compression methods to be used', named),
  'comp-mt-level': int('compress level for multithread compression', named),
  'comp-mt-threads': int('number of compression threads for multithread compression', named),
  'comp-mt-dthreads': int('number of decompression threads for multithread compression', named),
  'comp-xbzrle-cache': int('page cache size for xbzrle compression', named),
  'auto-converge-initial': int('initial CPU throttling rate for auto-convergence', named),
  'auto-converge-increment': int('CPU throttling rate increment for auto-convergence', named),
  'persistent-xml': text('filename containing updated persistent XML for the target', named),
  tls: bool('use TLS for migration'),
  'postcopy-bandwidth': int('post-copy migration bandwidth limit in MiB/s', named),
  parallel: bool('enable parallel migration'),
  'parallel-connections': int('number of connections for parallel migration', named),
  bandwidth: int('migration bandwidth limit in MiB/s', named),
  'tls-destination': text('override the destination host name used for TLS verification', named),
  'comp-zlib-level': int('compress level for zlib compression', named),
  'comp-zstd-level': int('compress level for zstd compression', named),
  'available-switchover-bandwidth': int('bandwidth (in MiB/s) available for the final phase of migration', named),
  check: bool('only tell what would make the migration fail: nothing is started'),
  json: bool('with --check: what it finds as JSON')
}

async function migrate(call: DomainCall): Promise<void> {
  const { session, shim, given, name } = call
  given.exclusive(
    ['live', 'offline'],
    ['timeout-suspend', 'timeout-postcopy'],
    ['copy-storage-all', 'copy-storage-inc']
  )
  given.requiring(
    ['postcopy-after-precopy', 'postcopy'],
    ['postcopy-resume', 'postcopy'],
    ['timeout-postcopy', 'postcopy'],
    ['persistent-xml', 'persistent'],
    ['tls-destination', 'tls'],
    ['json', 'check']
  )
  const late = lateAction(call)
  const dconnuri = given.text('desturi')!
  if (given.has('check')) return check(call, dconnuri)
  const destination = isLed(given) ? await daemonAt(dconnuri) : undefined
  const { params, flags } = await wanted(given)
  const over = new AbortController()
  if (given.has('postcopy-after-precopy')) await switchAfterFirstPass(call, over.signal)
  const work: Promise<unknown> = destination
    ? managed({ source: shim, destination, name, params, flags })
    : shim.callJob('virDomainMigrateToURI3', { dconnuri, params, flags })
  try {
    await watchJob({ session, shim }, { label: 'Migration', verbose: given.has('verbose'), late }, work)
  } finally {
    over.abort()
  }
}

/** True for a migration that this client would lead. */
const isLed = (given: Given): boolean => !given.has('p2p') && !given.has('direct')

/** Tells all that speaks against the migration; fails where it would. */
async function check({ session, given, shim, name }: DomainCall, uri: string): Promise<void> {
  const { params, flags } = await wanted(given)
  const asked = { source: shim, name, params, flags, dconnuri: isLed(given) ? undefined : uri }
  const findings = await rehearse({ ...asked, destination: await askableAt(uri, given, session) })
  if (given.has('json')) session.print(`${formatJson({ findings })}\n`)
  else if (findings.length === 0) session.printExtra('Nothing speaks against the migration\n')
  else {
    const rows = findings.map(({ side, severity, about, device = '-', message }) => [
      side,
      severity,
      about,
      device,
      message
    ])
    session.print(formatTable(['Side', 'Severity', 'About', 'Device', 'Message'], rows, session.options.quiet))
  }
  if (findings.some(({ severity }) => severity === 'error')) throw new ClientError()
}

/** The daemon of a URI that a guest would go to by itself may be out of this client's reach. */
async function askableAt(uri: string, given: Given, session: Session): Promise<Connection | undefined> {
  try {
    return await daemonAt(uri)
  } catch (error) {
    if (isLed(given) || !(error instanceof ClientError)) throw error
    session.warn(`the destination is not asked: ${error.lines.at(-1)}`)
    return undefined
  }
}

/** What libvirt's client looks at before it leads (virDomainMigrate3). */
async function managed(move: Move): Promise<void> {
  if (move.flags & FLAG.VIR_MIGRATE_TUNNELLED) {
    throw new ClientError('cannot perform tunnelled migration without using peer2peer flag')
  }
  await lead({ ...move, flags: move.flags & ~FLAG.VIR_MIGRATE_CHANGE_PROTECTION })
}

/** What is done when it takes longer than `--timeout`. @throws ClientError where that cannot be */
function lateAction({ shim, given }: DomainCall): JobWatch['late'] {
  const afterS = given.int('timeout', UINT) ?? 0
  if (afterS > 0) {
    if (!given.has('live')) throw new ClientError('migrate: Unexpected timeout for offline migration')
    const api = given.has('timeout-postcopy') ? 'virDomainMigrateStartPostCopy' : 'virDomainSuspend'
    return { afterS, act: () => shim.call(api) }
  }
  if (given.has('timeout-suspend') || given.has('timeout-postcopy')) {
    throw new ClientError('migrate: Unexpected --timeout-* option without --timeout')
  }
  return undefined
}

/** The daemon of a URI. @throws ClientError where it means none, or several */
async function daemonAt(uri: string): Promise<Connection> {
  const central = meansAll(uri) ? aggregatorSocket() : undefined
  const [socket, ...others] = central === undefined ? socketsOf(uri) : [central]
  if (socket === undefined || others.length > 0) {
    throw new ClientError('failed to connect to the hypervisor', `no aggregator at '${uri}'`)
  }
  return new Connection(socket)
}

/** Flags and parameters that the options mean. */
async function wanted(given: Given): Promise<{ params: MigrationParams; flags: number }> {
  const flags = Object.entries(FLAGS).reduce((bits, [name, bit]) => (given.has(name) ? bits | bit : bits), 0)
  if (given.has('copy-storage-synchronous-writes')) requireCopy(given, 'copy-storage-synchronous-writes')
  const params: [name: string, value: Value][] = []
  for (const [name, param, read] of PARAMS) {
    const value = await read(given, name)
    if (value !== undefined) params.push([param, value])
  }
  return { params: Object.fromEntries(params) as MigrationParams, flags }
}

/** Has post-copy begin when memory has been sent once. */
async function switchAfterFirstPass({ shim, uuid }: DomainCall, signal: AbortSignal): Promise<void> {
  const events = await shim.events(signal)
  const follow = async () => {
    for await (const { event, data } of events) {
      const isOurs = event === 'VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION' && (data.dom as { uuid: string }).uuid === uuid
      if (isOurs && Number(data.iteration) === 2) await shim.call('virDomainMigrateStartPostCopy')
    }
  }
  // it goes on as it is where it cannot be switched
  follow().catch(() => undefined)
}

export const migration: Commands = {
  migrate: onDomain('migrate domain to another host', options, migrate)
}
