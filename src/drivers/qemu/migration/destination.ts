// The side a guest comes to (qemuMigrationDstPrepare, qemuMigrationDstFinish).
//
//   prepare: QEMU waits ─► finish3: it has all, the CPUs run
//      └──────────────────────└ failed, given up, or the caller's connection is gone: QEMU is ended
//
// A guest that does not run is only made known, at its end.
import type { Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { DomainDef } from '../../../conf/domain-def.ts'
import {
  virDomainEventDefinedDetailType,
  virDomainEventResumedDetailType,
  virDomainEventStartedDetailType,
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainMigrateFlags,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { step } from '../../../state/step.ts'
import { handleOf } from '../../connection.ts'
import { checkCreatable } from '../../known-guest.ts'
import type { MigrationFinished, MigrationPhase, MigrationPrepared, MigrationTunnel } from '../../migration.ts'
import type { QemuContext } from '../context.ts'
import { takeMadeCpu } from '../cpu/live.ts'
import { type ContextFor, loadDomain } from '../definition/passes.ts'
import { checkOwn } from '../domain/define.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Arrival, WitnessPlace } from '../domain/run.ts'
import { hasFailedInPostcopy } from '../job/postcopy.ts'
import { startCpus } from '../process/cpus.ts'
import { HeldPorts } from '../process/ports.ts'
import { refreshDomain } from '../process/refresh.ts'
import { startDomain } from '../process/start.ts'
import { stopDomain } from '../process/stop.ts'
import { takeBitmaps } from './bitmaps.ts'
import { checkDestination, checkEncrypted, checkPrepare, checkPrepareTunnel, refuseRdma } from './checks.ts'
import {
  arrivedStatistics,
  type CookieBitmaps,
  type CookieFeature,
  type CookieStatistics,
  decodeCookie,
  encodeCookie,
  formatCookie,
  jobStats,
  type MigrationCookie,
  parseCookie
} from './cookie.ts'
import { ownCookie, readerOf, thisHost } from './own-cookie.ts'
import { applySettings, checkSettings, type MigrationSettings, resetSettings, settingsFor } from './params.ts'
import {
  type Asked,
  attending,
  endAtLast,
  enterPhase,
  isAttended,
  isResume,
  letGoOn,
  migrationJob,
  type PhaseCall,
  startMigrationJob,
  UNTIED_MS
} from './phases.ts'
import { outlivesFailure } from './postcopy.ts'
import { FD_NAME, migrationReached } from './progress.ts'
import { diskServerFor, prepareStorage, stopDiskServer } from './storage.ts'
import { takeDisks } from './take-disks.ts'
import { disableTls, dropTls, enableTls } from './tls.ts'
import { tunnelFrom } from './tunnel.ts'
import { hostInUri, parseMigrationUri } from './uri.ts'
import { haveQemuListen, keepWitness, lastQuestion, newToken, openWitness, witnessElement } from './witness.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const FLAGS = virDomainMigrateFlags
const { VIR_DOMAIN_PAUSED_USER } = virDomainPausedReason

/** What this side looks at in the cookie of the first phase. */
export const FEATURES: readonly CookieFeature[] = [
  'lockstate',
  'nbd',
  'memory-hotplug',
  'cpu-hotplug',
  'cpu',
  'capabilities',
  'block-dirty-bitmaps'
]

/**
 * Has QEMU wait for the guest of the definition in `params`; it ends with the caller's connection until it has come.
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_INVALID_ARG, and as a start
 */
export async function prepareMigration(
  domain: QemuDomain,
  asked: MigrationPhase,
  call: PhaseCall
): Promise<MigrationPrepared> {
  const { params, flags } = asked
  return forWhomItWaits(domain, async () => {
    const settings = settingsFor(params, flags, 'destination')
    checkPrepare(params, flags)
    if (isResume(asked)) return (await import('./resume.ts')).prepareResume(domain, asked, call)
    return prepare(domain, asked, settings, placeFor(domain.context, asked), call)
  })
}

/**
 * The same for a guest that comes by its caller's connection.
 * @throws as prepareMigration
 */
export function prepareTunnel(domain: QemuDomain, asked: MigrationPhase, call: PhaseCall): Promise<MigrationTunnel> {
  const { params, flags } = asked
  return forWhomItWaits(domain, async () => {
    checkPrepareTunnel(flags)
    const settings = settingsFor(params, flags, 'destination')
    const { theirs, channel } = await tunnelFrom(domain.root.dir)
    try {
      const { cookie } = await prepare(domain, asked, settings, tunnelPlace(theirs), call)
      return { cookie, channel }
    } catch (error) {
      channel.close()
      throw error
    } finally {
      theirs.destroy()
    }
  })
}

async function forWhomItWaits<T>(domain: QemuDomain, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    // a shim that was started for this has no more to wait for
    domain.changed()
    throw error
  }
}

async function prepare(
  domain: QemuDomain,
  asked: MigrationPhase,
  settings: MigrationSettings,
  place: Place,
  { api, connection }: PhaseCall
): Promise<MigrationPrepared> {
  const { flags, params, cookie } = asked
  const { def, context, sourceName } = await definitionOf(asked, domain.contextFor)
  checkOwn(domain, def)
  const isOffline = (flags & FLAGS.VIR_MIGRATE_OFFLINE) !== 0
  checkDestination(flags)
  checkEncrypted(context.config, flags)
  const heard = parseCookie(decodeCookie(cookie), { name: sourceName, uuid: def.uuid }, FEATURES)
  checkCreatable({ name: domain.name, id: domain.id, persistent: domain.isPersistent || isAwaited(domain) })
  return startMigrationJob(domain, 'migration-in', { api, flags }, async job => {
    enterPhase(job, 'prepare')
    let servesDisks = false
    let bitmaps: CookieBitmaps[] = []
    sourceNames.set(job, sourceName)
    if (isOffline) {
      domain.definitions.startFrom(def, context)
      // nobody waits there, but that is what clients are told
      const ports = new HeldPorts()
      await place.choosePort(ports, context)
      ports.release()
    } else {
      refuseRdma(def, params.migrate_uri, 'incoming')
      const originalCpu = takeMadeCpu(def, heard?.cpu)
      await prepareStorage(def, context, asked, heard?.nbd)
      const diskServer = heard?.nbd && diskServerFor(def, context, asked, place.listen)
      servesDisks = diskServer !== undefined
      domain.definitions.startFrom(def, context)
      await startDomain(domain, {
        paused: true,
        autoDestroy: connection,
        incoming: {
          originalCpu,
          async choosePorts(ports) {
            await place.choosePort(ports, context)
            await place.chooseWitness?.(ports, context)
            await diskServer?.choosePort(ports)
          },
          load: async started => {
            step('claimed')
            started.running.arrival = { sourceName, port: place.port, witness: place.witness }
            if (place.witness) {
              await openWitness(started, place.witness, params.listen_address ?? context.config.migrationAddress)
              const { qemu } = place.witness
              if (qemu !== undefined && !(await haveQemuListen(started, qemu, place.listen))) {
                place.witness.qemu = undefined
              }
            }
            if (servesDisks && heard?.bitmaps) bitmaps = await takeBitmaps(started, settings, heard.bitmaps)
            const original = await checkSettings(started, settings, heard?.capabilities)
            started.running.migrationParameters = original
            started.save()
            let credentials: string | undefined
            if ((flags & FLAGS.VIR_MIGRATE_TLS) === 0) disableTls(settings, original)
            else credentials = await enableTls(started, settings, original)
            await diskServer?.start(started, credentials)
            await applySettings(started, settings, flags)
            const staysOn = started.context.qemu.has('migrate-incoming.exit-on-error')
            await place.handOver?.(started)
            await started.qmp.execute('migrate-incoming', {
              uri: place.listenUri(),
              ...(staysOn && { 'exit-on-error': false })
            })
          },
          runningReason: virDomainRunningReason.VIR_DOMAIN_RUNNING_MIGRATED,
          started: virDomainEventStartedDetailType.VIR_DOMAIN_EVENT_STARTED_MIGRATED
        }
      })
    }
    step('waiting')
    letGoOn(domain, job)
    if (!connection) expire(domain, job)
    return {
      uri: place.answer(),
      cookie: encodeCookie(
        formatCookie(
          await ownCookie(domain, 'destination', isOffline ? [] : featuresWith(servesDisks), {
            name: sourceName,
            ...(servesDisks && { nbd: { ...domain.running.diskServer, disks: [] } }),
            ...(bitmaps.length > 0 && { bitmaps }),
            ...(place.witness && !isOffline && { unknown: [witnessElement(place.witness)] })
          })
        )
      )
    }
  })
}

/** Ends a guest that nobody brings, or that is all here and nobody has run: it has no connection to end with. */
function expire(domain: QemuDomain, job: AsyncJob, before?: string): void {
  const timer = setTimeout(() => {
    const isOver = domain.jobs.async !== job || job.phase !== 'prepare' || isAttended(job)
    const status = String(job.told('MIGRATION')?.status)
    if (isOver || status.startsWith('postcopy')) return
    const isComing = ['active', 'device'].includes(status) || (status === 'completed' && before !== status)
    if (isComing) return expire(domain, job, status)
    domain.log.warn({ status }, 'nobody goes on to bring the guest, giving it up')
    const ended = domain.isActive ? stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED) : undefined
    void Promise.resolve(ended)
      .catch(error => domain.log.error({ err: error }, 'a guest that nobody brings could not be ended'))
      .then(() => job.end())
  }, UNTIED_MS)
  timer.unref()
}

/** What its source is told of it. */
const featuresWith = (disks: boolean): CookieFeature[] => [
  'graphics',
  'capabilities',
  ...(disks ? (['nbd'] as const) : [])
]

/** The names guests have where they come from, of those that do not run. */
const sourceNames = new WeakMap<AsyncJob, string>()

/** A shim that was started for it serves a guest that is neither run nor kept. */
export const isAwaited = ({ isActive, isPersistent }: QemuDomain): boolean => !isActive && !isPersistent

/**
 * The definition that comes, with the name it gets here (qemuMigrationAnyPrepareDef).
 * @param check false: its checks are left to who asks
 */
export async function definitionOf(
  { params }: Asked,
  contextFor: ContextFor,
  { check = true } = {}
): Promise<{ def: DomainDef; context: QemuContext; sourceName: string }> {
  const { destination_xml: xml, destination_name: name } = params
  if (xml === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'no domain XML passed')
  let sourceName = ''
  const loaded = await loadDomain(
    xml,
    def => {
      sourceName = def.name
      if (name !== undefined) def.name = name
      return contextFor(def)
    },
    { abiUpdate: false, check }
  )
  return { ...loaded, sourceName }
}

/** Where QEMU is to wait, and what its caller is told of that. */
export interface Place {
  /** address QEMU waits at, '' for a path */
  listen: string
  port: number | undefined
  /** absent where there is no port */
  witness: WitnessPlace | undefined
  choosePort(ports: HeldPorts, context: QemuContext): Promise<void>
  /** chooses where it is told whether the guest is here */
  chooseWitness?(ports: HeldPorts, context: QemuContext): Promise<void>
  listenUri(): string
  /** gives QEMU what it is to read from */
  handOver?(domain: QemuDomain): Promise<void>
  /** undefined where the caller has said it all */
  answer(): string | undefined
}

/** @throws VIR_ERR_INVALID_ARG, VIR_ERR_ARGUMENT_UNSUPPORTED (qemuMigrationDstPrepareDirect) */
export function placeFor({ config }: Pick<QemuContext, 'config'>, { params }: Asked): Place {
  const { migrate_uri: given, listen_address: listen } = params
  const bad = (message: string) => fail('VIR_ERR_INVALID_ARG', message)
  const uri = given === undefined ? undefined : parseMigrationUri(given)
  if (uri) {
    const { scheme, host } = uri
    if (scheme === '') throw bad(`missing scheme in migration URI: ${given}`)
    if (!['tcp', 'rdma', 'unix'].includes(scheme)) {
      throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', `unsupported scheme ${scheme} in migration URI ${given}`)
    }
    if (scheme !== 'unix' && host === '') throw bad(`missing host in migration URI: ${given}`)
    if (scheme === 'unix') {
      return {
        listen: '',
        port: undefined,
        witness: undefined,
        choosePort: async () => undefined,
        listenUri: () => `unix:${uri.path}`,
        answer: () => undefined
      }
    }
  }
  const address = listen ?? config.migrationAddress ?? (hasIpv6() ? '::' : '0.0.0.0')
  const host = () => config.migrationHost ?? ownName()
  const choose = (ports: HeldPorts, { config }: QemuContext, set: (port: number) => void) =>
    ports.choose('migration', config.migrationPortMin, config.migrationPortMax, set)
  const place: Place = {
    listen: address,
    port: uri?.port || undefined,
    witness: undefined,
    async choosePort(ports, context) {
      if (place.port !== undefined) return ports.use(place.port)
      await choose(ports, context, port => {
        place.port = port
      })
    },
    async chooseWitness(ports, context) {
      const witness: WitnessPlace = { port: 0, token: newToken() }
      place.witness = witness
      await choose(ports, context, port => {
        witness.port = port
      })
      await choose(ports, context, port => {
        witness.qemu = port
      })
    },
    listenUri: () => `tcp:${hostInUri(address)}:${place.port}`,
    answer() {
      if (!uri) return `tcp:${hostInUri(host())}:${place.port}`
      if (uri.port !== 0) return undefined
      return uri.isWellFormed ? `tcp://${hostInUri(uri.host)}:${place.port}${uri.path}` : `${given}:${place.port}`
    }
  }
  if (!uri) host()
  return place
}

/** QEMU reads what comes by a connection of ours. */
const tunnelPlace = (theirs: Socket): Place => ({
  listen: '',
  port: undefined,
  witness: undefined,
  choosePort: async () => undefined,
  listenUri: () => `fd:${FD_NAME}`,
  handOver: ({ qmp }) => qmp.passFile(FD_NAME, theirs),
  answer: () => undefined
})

/** An address beside loopback's: QEMU then listens for both families. */
const hasIpv6 = (): boolean =>
  Object.values(networkInterfaces()).some(list => list?.some(({ family, internal }) => family === 'IPv6' && !internal))

/** Name of this host, for others. @throws VIR_ERR_INTERNAL_ERROR for one that is nobody's */
export function ownName(): string {
  const { hostname: name } = thisHost()
  if (!name.startsWith('localhost')) return name
  throw fail('VIR_ERR_INTERNAL_ERROR', 'hostname on destination resolved to localhost, but migration requires an FQDN')
}

/**
 * The end: the guest runs here, or is not here (qemuMigrationDstFinish).
 * @throws VIR_ERR_MIGRATE_FINISH_OK once one that was cancelled is gone, VIR_ERR_OPERATION_FAILED, …: it is gone
 */
export async function finishMigration(
  domain: QemuDomain,
  asked: MigrationPhase & { cancelled: boolean }
): Promise<MigrationFinished> {
  const { arrival } = domain.run ?? {}
  if (arrival && !domain.jobs.async && !asked.cancelled) return hasCome(domain, arrival)
  if (isResume(asked)) return (await import('./resume.ts')).finishResume(domain, asked)
  const job = migrationJob(domain, 'migration-in')
  if (isAttended(job)) {
    const message = `migration of domain ${domain.name} is being actively monitored by another thread`
    throw fail('VIR_ERR_OPERATION_INVALID', message)
  }
  if (arrival && job.isRestored && !asked.cancelled) return hasComeSince(domain, job, arrival)
  return attending(job, () => finish(domain, job, asked))
}

async function finish(
  domain: QemuDomain,
  job: AsyncJob,
  { flags, cookie, cancelled }: MigrationPhase & { cancelled: boolean }
): Promise<MigrationFinished> {
  const sourceName = domain.run?.arrival?.sourceName ?? sourceNames.get(job) ?? domain.name
  // one that is not to come is still waited for, until it is ended
  if (!cancelled) enterPhase(job, 'finish3')
  const receivedMs = Date.now()
  const wasKept = domain.isPersistent
  try {
    const heard = parseCookie(decodeCookie(cookie), readerOf(domain, sourceName), [
      'network',
      'statistics',
      'nbd',
      'persistent'
    ])
    if (cancelled) throw await whyCancelled(domain, job)
    let ranMs: number | undefined
    if ((flags & FLAGS.VIR_MIGRATE_OFFLINE) !== 0) await persist(domain, heard)
    else ranMs = await arrive(domain, job, flags, heard)
    const statistics = heard?.statistics && arrivedStatistics(heard.statistics, receivedMs, ranMs)
    // those of post-copy are of before it
    if (statistics && !postcopies.has(job)) {
      domain.jobs.complete('completed', { elapsedMs: Number(statistics.elapsed), stats: jobStats(statistics) })
    }
    const answer = { dom: handleOf(domain), cookie: await lastCookie(domain, sourceName, statistics) }
    job.end()
    return answer
  } catch (error) {
    if (outlivesFailure(domain, job)) throw error
    try {
      await removeGuest(domain, wasKept)
    } catch (err) {
      // it is not known to be gone until then
      domain.log.error({ err }, 'a guest that has not come could not be ended')
      endAtLast(domain, job, error)
      throw error
    }
    if (cancelled) job.end(error)
    // the source may not hear of it from its client, and asks
    else void lastQuestion(domain).then(() => job.end(error))
    throw error
  }
}

/** The answer to who asks once more: the process that had it come is gone, and its word was lost. */
async function hasCome(domain: QemuDomain, { sourceName }: Arrival): Promise<MigrationFinished> {
  return { dom: handleOf(domain), cookie: await lastCookie(domain, sourceName) }
}

/** The same while it comes in post-copy yet. @throws VIR_ERR_OPERATION_FAILED when it stalls */
async function hasComeSince(domain: QemuDomain, job: AsyncJob, arrival: Arrival): Promise<MigrationFinished> {
  const stalled = job.until(() =>
    hasFailedInPostcopy(domain)
      ? fail('VIR_ERR_OPERATION_FAILED', "job 'migration in' failed in post-copy phase")
      : undefined
  )
  const error = await Promise.race([stalled, job.ended.then(() => undefined)])
  if (error) throw error
  return hasCome(domain, arrival)
}

/** What the source is told of a guest that has come; it has come without that, too. */
export async function lastCookie(domain: QemuDomain, name: string, statistics?: CookieStatistics): Promise<Uint8Array> {
  try {
    const cookie = await ownCookie(domain, 'destination', [], { name, ...(statistics && { statistics }) })
    return encodeCookie(formatCookie(cookie))
  } catch (error) {
    domain.log.warn({ err: error }, 'unable to encode migration cookie')
    return new Uint8Array()
  }
}

/** What became of it here, if anything; else that it is gone as it should be. */
async function whyCancelled(domain: QemuDomain, job: AsyncJob): Promise<Error> {
  const isFailed = job.told('MIGRATION')?.status === 'failed'
  const failed = domain.isActive && isFailed ? migrationReached(domain, job, ['hypervisor-completed']) : undefined
  const error = await failed?.then(
    () => undefined,
    (thrown: Error) => thrown
  )
  return error ?? fail('VIR_ERR_MIGRATE_FINISH_OK')
}

/**
 * The guest has come as a whole, and runs; what can wait until it does, waits (qemuMigrationDstFinishFresh).
 * @returns when it ran, ms since the epoch
 */
async function arrive(
  domain: QemuDomain,
  job: AsyncJob,
  flags: number,
  heard: MigrationCookie | undefined
): Promise<number> {
  if (!domain.isActive) throw fail('VIR_ERR_INTERNAL_ERROR', 'guest unexpectedly quit')
  const isPostcopy = (flags & FLAGS.VIR_MIGRATE_POSTCOPY) !== 0
  const [status] = await Promise.all([
    migrationReached(domain, job, ['hypervisor-completed', ...(isPostcopy ? (['postcopy'] as const) : [])]),
    stopDiskServer(domain)
  ])
  step('arrived')
  if ((flags & FLAGS.VIR_MIGRATE_PERSIST_DEST) !== 0) await persist(domain, heard)
  // from here on it is the guest: its client's going is no end of it (virCloseCallbacksDomainRemove)
  keepHalf(domain)
  if (domain.run?.phase === 'stopping') throw fail('VIR_ERR_INTERNAL_ERROR', 'guest unexpectedly quit')
  const isPaused = (flags & FLAGS.VIR_MIGRATE_PAUSED) !== 0
  if (!isPaused) {
    const { VIR_DOMAIN_RUNNING_MIGRATED, VIR_DOMAIN_RUNNING_POSTCOPY } = virDomainRunningReason
    await startCpus(domain, status === 'postcopy' ? VIR_DOMAIN_RUNNING_POSTCOPY : VIR_DOMAIN_RUNNING_MIGRATED)
    step('running')
  } else {
    await takeDisks(domain)
    domain.setPaused(VIR_DOMAIN_PAUSED_USER)
    domain.lifecycle(
      virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED,
      virDomainEventSuspendedDetailType.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED
    )
  }
  const ranMs = Date.now()
  const refreshed = lastly(domain, refreshDomain(domain))
  if (status === 'postcopy' && !isPaused) await fetchRest(domain, job)
  await refreshed
  await lastly(domain, settleIn(domain, job))
  return ranMs
}

/** What is left once the guest runs: it is here, however that goes. */
const lastly = (domain: QemuDomain, work: Promise<void>): Promise<void> =>
  work.catch(error => domain.log.error({ err: error }, 'the guest has come, but for the last'))

/** Nothing is left of the migration but the guest. */
async function settleIn(domain: QemuDomain, job: AsyncJob): Promise<void> {
  const { running } = domain
  if (running.arrival) running.arrival.port = undefined
  keepWitness(domain)
  if (running.migrationParameters) await resetSettings(domain, running.migrationParameters)
  await dropTls(domain)
  running.migrationParameters = undefined
  job.status = 'completed'
  domain.changed()
}

/** Migrations that have come to post-copy. */
const postcopies = new WeakSet<AsyncJob>()

/** The guest runs, and what of its memory is still at its source comes when it wants it, or by and by. */
async function fetchRest(domain: QemuDomain, job: AsyncJob): Promise<void> {
  postcopies.add(job)
  job.status = 'postcopy'
  step('fetching')
  await migrationReached(domain, job, ['hypervisor-completed'])
  hasArrived(domain)
}

/** Nobody's going ends a guest that runs here already. */
export function keepHalf({ running }: QemuDomain): void {
  running.untie?.()
  running.untie = undefined
  running.autoDestroy = false
}

/** The last of its memory has come (qemuMigrationDstComplete). */
function hasArrived(domain: QemuDomain): void {
  const { VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_SUSPENDED } = virDomainEventType
  if (domain.isRunning) domain.setRunning(virDomainRunningReason.VIR_DOMAIN_RUNNING_MIGRATED)
  domain.lifecycle(VIR_DOMAIN_EVENT_RESUMED, virDomainEventResumedDetailType.VIR_DOMAIN_EVENT_RESUMED_MIGRATED)
  if (domain.isRunning) return
  domain.setPaused(VIR_DOMAIN_PAUSED_USER)
  domain.lifecycle(VIR_DOMAIN_EVENT_SUSPENDED, virDomainEventSuspendedDetailType.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)
}

/** Ends a migration in post-copy whose last memory has come. */
export async function completePostcopy(domain: QemuDomain, job: AsyncJob): Promise<void> {
  job.isStalled = false
  hasArrived(domain)
  await settleIn(domain, job)
}

/** Keeps the guest: by the definition that came with it, or the one it runs with (qemuMigrationDstPersist). */
async function persist(domain: QemuDomain, heard: MigrationCookie | undefined): Promise<void> {
  const { VIR_DOMAIN_EVENT_DEFINED_ADDED, VIR_DOMAIN_EVENT_DEFINED_UPDATED } = virDomainEventDefinedDetailType
  const wasKept = domain.isPersistent
  const { def, context } =
    heard?.persistent === undefined
      ? { def: domain.def, context: domain.context }
      : await loadDomain(heard.persistent, domain.contextFor, { abiUpdate: false })
  def.name = domain.name
  domain.setPersistent(domain.isActive && def === domain.def ? structuredClone(def) : def, context)
  if (!domain.isActive) domain.definitions.join()
  domain.lifecycle(
    virDomainEventType.VIR_DOMAIN_EVENT_DEFINED,
    wasKept ? VIR_DOMAIN_EVENT_DEFINED_UPDATED : VIR_DOMAIN_EVENT_DEFINED_ADDED
  )
}

/** Ends what has not come to be a guest of this host. */
async function removeGuest(domain: QemuDomain, wasKept: boolean): Promise<void> {
  if (domain.isActive) await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED)
  if (!wasKept && domain.isPersistent) domain.setPersistent(undefined)
}
