import { virDomainMigrateFlags, virDomainPausedReason, virDomainState } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type Address, connectTo } from '../../../host/connect-to.ts'
import type { AsyncJob, JobStatus } from '../../../state/async-job.ts'
import { step } from '../../../state/step.ts'
import type { PeerStream } from '../../migration.ts'
import { speedBytes } from '../blockjob/speed.ts'
import { formatMigratable } from '../definition/migratable.ts'
import { loadInstead } from '../definition/stability.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { AskedPlace } from '../domain/run.ts'
import { hasFailedInPostcopy, isInPostcopy } from '../job/postcopy.ts'
import { stopCpus } from '../process/cpus.ts'
import { refreshTrays } from '../process/trays.ts'
import { checkRemotelyMigratable, checkSafe } from './allowed.ts'
import { answers, watchDestination } from './ask-witness.ts'
import { offeredBitmaps, sendBitmaps } from './bitmaps.ts'
import { checkBegin, checkEncrypted, checkPerform, refuseRdma } from './checks.ts'
import { endWith, runOn } from './confirm.ts'
import { type CookieFeature, formatCookie, parseCookie } from './cookie.ts'
import { tellClients } from './graphics.ts'
import { ownCookie, readerOf, statisticsOf } from './own-cookie.ts'
import { applySettings, checkSettings, migrationSpeed, settingsFor } from './params.ts'
import {
  type Asked,
  attending,
  checkNotMigrating,
  endAtLast,
  enterPhase,
  isResume,
  letGoOn,
  migrationJob,
  type PhaseCall,
  startMigrationJob
} from './phases.ts'
import { enterPostcopy, outlivesFailure } from './postcopy.ts'
import { breakConnections, cancelMigration, FD_NAME, followMigration, migrationReached } from './progress.ts'
import { DiskCopies, isCopiedBy } from './storage.ts'
import { disableTls, enableTls, tlsHostname } from './tls.ts'
import { type TunnelOut, tunnelTo } from './tunnel.ts'
import { hostInUri, parseMigrationUri } from './uri.ts'
import { witnessIn } from './witness.ts'
import { lockMemory } from './zero-copy.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const FLAGS = virDomainMigrateFlags
const { VIR_MIGRATE_CHANGE_PROTECTION, VIR_MIGRATE_LIVE, VIR_MIGRATE_OFFLINE } = FLAGS
/** The source drives the migration: its client's part is one call. */
const BY_ITSELF = FLAGS.VIR_MIGRATE_PEER2PEER | FLAGS.VIR_MIGRATE_TUNNELLED

const { VIR_DOMAIN_PAUSED_IOERROR, VIR_DOMAIN_PAUSED_MIGRATION } = virDomainPausedReason
const { VIR_DOMAIN_RUNNING, VIR_DOMAIN_PAUSED } = virDomainState

/** What a phase gives for the next. */
export interface Begun {
  /** the guest's definition, for the other side */
  xml: string
  cookie: string
}

/**
 * The first phase: whether the guest can go, and what it is (qemuMigrationSrcBegin).
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_MIGRATE_UNSAFE, VIR_ERR_CONFIG_UNSUPPORTED
 */
export function beginMigration(domain: QemuDomain, asked: Asked, { api, connection }: PhaseCall): Promise<Begun> {
  const owner = { api, flags: asked.flags }
  checkEncrypted(domain.context.config, asked.flags)
  if (isResume(asked)) return resumed(({ beginResume }) => beginResume(domain, asked, connection))
  if ((asked.flags & VIR_MIGRATE_CHANGE_PROTECTION) === 0) {
    checkNotMigrating(domain)
    return domain.jobs.run('modify', owner, () => begin(domain, asked))
  }
  return startMigrationJob(domain, 'migration-out', owner, async job => {
    const begun = await begin(domain, asked, job)
    letGoOn(domain, job)
    endWith(connection, domain, job)
    return begun
  })
}

/** Brings on a migration that has failed in post-copy. */
const resumed = async <T>(call: (phases: typeof import('./resume.ts')) => T): Promise<Awaited<T>> =>
  await call(await import('./resume.ts'))

/** The first phase's work (qemuMigrationSrcBeginPhase, and what comes before it). */
export async function begin(domain: QemuDomain, asked: Asked, job?: AsyncJob): Promise<Begun> {
  const { flags } = asked
  const isOffline = (flags & VIR_MIGRATE_OFFLINE) !== 0
  keepState(domain)
  if (!isOffline) {
    domain.checkActive()
    await (job ? job.nested(() => refreshTrays(domain)) : refreshTrays(domain))
  }
  if (job) enterPhase(job, 'begin3')
  await checkRemotelyMigratable(domain, flags)
  if ((flags & (FLAGS.VIR_MIGRATE_UNSAFE | VIR_MIGRATE_OFFLINE)) === 0) checkSafe(domain, isCopiedBy(asked))
  checkBegin(domain.def, asked.params, flags)
  const bitmaps = hasCopies(domain, asked) ? await offeredBitmaps(domain, isCopiedBy(asked)) : []
  return {
    xml: await definitionFor(domain, asked.params.destination_xml),
    cookie: formatCookie(
      await ownCookie(domain, 'source', featuresOf(domain, asked), bitmaps.length > 0 ? { bitmaps } : {})
    )
  }
}

/** Disks of the guest go along. */
const hasCopies = ({ def }: QemuDomain, asked: Asked): boolean => def.devices.disks.some(isCopiedBy(asked))

/** Keeps whether CPUs run, to be so again if the migration fails. */
function keepState(domain: QemuDomain): void {
  if (domain.run) domain.run.departure ??= { ran: domain.state === VIR_DOMAIN_RUNNING }
}

/** What the other side is told of first. */
export function featuresOf(domain: QemuDomain, asked: Asked): CookieFeature[] {
  const { def, newDef, run } = domain
  const { flags } = asked
  const kept = (flags & FLAGS.VIR_MIGRATE_PERSIST_DEST) !== 0 ? newDef : undefined
  const either = (is: (one: typeof def) => boolean) => is(def) || (kept !== undefined && is(kept))
  const features: Record<string, boolean> = {
    lockstate: true,
    cpu: run?.originalCpu !== undefined,
    nbd: hasCopies(domain, asked),
    capabilities: (flags & VIR_MIGRATE_OFFLINE) === 0,
    'memory-hotplug': either(({ maxMemory }) => maxMemory !== undefined),
    'cpu-hotplug': either(({ vcpus }) => hasGaps(vcpus ?? []))
  }
  return (Object.keys(features) as CookieFeature[]).filter(feature => features[feature])
}

/** vCPUs are not on in the order of their numbers (qemuDomainVcpuHotplugIsInOrder). */
function hasGaps(vcpus: readonly { enabled?: boolean; order?: number }[]): boolean {
  let last = 0
  for (const { enabled, order = 0 } of vcpus) {
    if (!enabled) continue
    if (order !== 0 && order < last) return true
    last = order
  }
  return false
}

/** The definition the guest has there: its own, or what it can have instead. */
export async function definitionFor(domain: QemuDomain, xml: string | undefined): Promise<string> {
  const { def, context, run } = domain
  const originalCpu = run?.originalCpu
  if (xml === undefined) return formatMigratable(def, context, originalCpu)
  return formatMigratable(await loadInstead(xml, { def, context, originalCpu }), context)
}

/**
 * The phase in which memory, device state and disks go over; the CPUs stand still when it returns
 * (qemuMigrationSrcPerform).
 * @returns its cookie, for a client that has the phases that follow
 * @throws VIR_ERR_OPERATION_FAILED, VIR_ERR_OPERATION_ABORTED, VIR_ERR_SYSTEM_ERROR; the guest runs on then
 */
export async function performMigration(
  domain: QemuDomain,
  asked: Asked,
  { cookie, dconnuri }: { cookie: string | undefined; dconnuri: string | undefined },
  call: PhaseCall
): Promise<string | undefined> {
  const { flags, params } = asked
  checkPerform(params, flags)
  checkEncrypted(domain.context.config, flags)
  if ((flags & BY_ITSELF) !== 0) {
    if (cookie !== undefined) throw fail('VIR_ERR_OPERATION_INVALID', 'received unexpected cookie with P2P migration')
    const { migrateToPeer } = await import('./peer.ts')
    await migrateToPeer(domain, asked, dconnuri, call)
    return undefined
  }
  if (dconnuri !== undefined) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'Unexpected dconnuri parameter with non-peer2peer migration')
  }
  if (isResume(asked)) return resumed(({ performResume }) => performResume(domain, asked, cookie, call.connection))
  const perform = async (job: AsyncJob) => {
    enterPhase(job, 'perform3')
    letGoOn(domain, job)
    try {
      const answer = await attending(job, () => send(domain, job, asked, cookie))
      enterPhase(job, 'perform3_done')
      endWith(call.connection, domain, job)
      return answer
    } catch (error) {
      await runOn(domain, job).catch(() => {
        endAtLast(domain, job, error)
        throw error
      })
      if (!outlivesFailure(domain, job)) job.end(error)
      throw error
    }
  }
  if ((flags & VIR_MIGRATE_CHANGE_PROTECTION) !== 0) return perform(migrationJob(domain, 'migration-out'))
  return startMigrationJob(domain, 'migration-out', { api: call.api, flags }, perform)
}

/** Has QEMU send the guest (qemuMigrationSrcRun). It is not under way any more when this throws. */
export async function send(
  domain: QemuDomain,
  job: AsyncJob,
  asked: Asked,
  cookieIn: string | undefined,
  trouble: () => Error | undefined = () => undefined,
  stream?: PeerStream
): Promise<string> {
  const { flags, params } = asked
  const { qmp } = domain
  const isKept = (flags & FLAGS.VIR_MIGRATE_PERSIST_DEST) !== 0
  const persistent = isKept ? await persistentFor(domain, params.persistent_xml) : undefined
  const heard = parseCookie(cookieIn, readerOf(domain), ['graphics', 'capabilities', 'nbd', 'block-dirty-bitmaps'])
  if (!stream) refuseRdma(domain.def, params.migrate_uri, 'outgoing')
  const to = stream ? { stream } : destinationOf(params.migrate_uri, flags)
  const settings = settingsFor(params, flags, 'source')
  const witness = witnessIn(heard?.unknown)
  const host = 'address' in to && 'host' in to.address ? to.address.host : undefined
  keepState(domain)
  const there: AskedPlace | undefined =
    'host' in to && to.host !== undefined && witness ? { host: to.host, ...witness } : undefined
  domain.running.departure!.witness = there
  const speed = speedBytes(params.bandwidth || migrationSpeed(domain), false)
  settings.parameters['max-bandwidth'] = speed
  let credentials: string | undefined
  const bitmaps = heard?.bitmaps
  await job.nested(async () => {
    if (bitmaps) await sendBitmaps(domain, settings, bitmaps, (flags & FLAGS.VIR_MIGRATE_NON_SHARED_INC) !== 0)
    const original = await checkSettings(domain, settings, heard?.capabilities)
    domain.running.migrationParameters = original
    domain.save()
    if ((flags & FLAGS.VIR_MIGRATE_TLS) === 0) disableTls(settings, original)
    else credentials = await enableTls(domain, settings, original, host)
    await applySettings(domain, settings, flags)
    if ((flags & FLAGS.VIR_MIGRATE_ZEROCOPY) !== 0) await lockMemory(domain)
  })
  if (heard) await tellClients(domain, job, heard, params.graphics_uri)
  // all of it but the times: the guest stands still when they are known
  const answer = await ownCookie(domain, 'source', hasCopies(domain, asked) ? ['network', 'nbd'] : ['network'], {
    ...(persistent !== undefined && { persistent })
  })
  let isUnderWay = false
  let tunnel: TunnelOut | undefined
  const copies = new DiskCopies(domain, job)
  followMigration(domain, job)
  let loss: Error | undefined
  const lost = () => loss ?? trouble()
  const watch =
    there &&
    watchDestination(there, () => {
      loss = fail('VIR_ERR_OPERATION_FAILED', 'Lost connection to destination host')
      job.tell('PEER_LOST', {})
    })
  try {
    const tls = credentials === undefined ? undefined : { credentials, hostname: tlsHostname(settings) }
    if (there) await hearOf(domain, there)
    await copies.begin(asked, { nbd: heard?.nbd, speed, tls }, lost)
    if ((flags & VIR_MIGRATE_LIVE) === 0 && domain.isRunning) {
      await job.nested(() => stopCpus(domain, VIR_DOMAIN_PAUSED_MIGRATION))
    }
    job.cancel = async () => {
      await qmp.execute('migrate_cancel')
    }
    domain.running.pausedReason = VIR_DOMAIN_PAUSED_MIGRATION
    isUnderWay = true
    tunnel = await start(domain, job, to)
    step('sending')
    const reached = (...goals: JobStatus[]) =>
      migrationReached(domain, job, goals, () => troubleOf(domain, flags) ?? copies.trouble ?? lost())
    // it runs there before all of it is gone from here, if it may
    const ends: JobStatus[] = [
      'hypervisor-completed',
      ...((flags & FLAGS.VIR_MIGRATE_POSTCOPY) === 0 ? [] : (['postcopy'] as const))
    ]
    let status = await reached('paused', ...ends)
    while (domain.isActive && domain.isRunning) await domain.waitForChange(domain.generation, STOP_LOOK_MS)
    await copies.finish(lost)
    if (status === 'paused') {
      step('pre-switchover')
      await job.nested(() => qmp.execute('migrate-continue', { state: 'pre-switchover' }))
      step('switchover')
      status = await reached(...ends)
    }
    if (status === 'postcopy') enterPostcopy(domain, job)
    step(status === 'postcopy' ? 'postcopy' : 'sent')
    await tunnel?.sent
  } catch (error) {
    if (lost() && domain.isActive) await breakConnections(domain)
    // its destination does not run yet: there is a way back
    if (isInPostcopy(domain) && !hasFailedInPostcopy(domain)) domain.setPaused(VIR_DOMAIN_PAUSED_MIGRATION)
    if (isUnderWay && !isInPostcopy(domain)) await cancelMigration(domain)
    await copies.drop()
    tunnel?.stop()
    if (!isInPostcopy(domain)) job.status = job.status === 'canceled' ? 'canceled' : 'failed'
    throw error
  } finally {
    watch?.()
    if (!isInPostcopy(domain)) job.cancel = undefined
    if (domain.run) domain.run.pausedReason = virDomainPausedReason.VIR_DOMAIN_PAUSED_UNKNOWN
  }
  return formatCookie({ ...answer, statistics: statisticsOf(job) })
}

/** Hears the destination's witness for the first time: its silence is to be known from that of a firewall. */
async function hearOf({ log }: QemuDomain, there: AskedPlace): Promise<void> {
  there.heard = await answers(there)
  if (!there.heard) log.warn({ host: there.host }, 'the destination cannot be asked whether the guest is there')
}

/** A guest whose STOP event is on its way is looked at again after so long at the latest. */
const STOP_LOOK_MS = 1000

/** A guest that halts is not to go where its caller says so. */
function troubleOf(domain: QemuDomain, flags: number): Error | undefined {
  if ((flags & FLAGS.VIR_MIGRATE_ABORT_ON_ERROR) === 0) return undefined
  const isHalted = domain.state === VIR_DOMAIN_PAUSED && domain.reason === VIR_DOMAIN_PAUSED_IOERROR
  return isHalted ? fail('VIR_ERR_OPERATION_FAILED', "job 'migration out' failed due to I/O error") : undefined
}

/** Where the guest goes: over a connection of ours, or one that QEMU makes itself as it wants several. */
type Destination = (({ address: Address } | { uri: string }) & { host: string | undefined }) | { stream: PeerStream }

/** @throws VIR_ERR_INTERNAL_ERROR */
export function destinationOf(given: string | undefined, flags: number): Destination {
  if (given === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing migration URI')
  const { scheme, host, port, path } = parseMigrationUri(given)
  if (scheme === '') throw fail('VIR_ERR_INTERNAL_ERROR', `missing scheme in migration URI: ${given}`)
  const isOfQemu = (flags & (FLAGS.VIR_MIGRATE_PARALLEL | FLAGS.VIR_MIGRATE_POSTCOPY)) !== 0
  if (scheme === 'unix') return { host: undefined, ...(isOfQemu ? { uri: `unix:${path}` } : { address: { path } }) }
  return { host, ...(isOfQemu ? { uri: `tcp:${hostInUri(host)}:${port}` } : { address: { host, port } }) }
}

async function start(domain: QemuDomain, job: AsyncJob, to: Destination): Promise<TunnelOut | undefined> {
  const { qmp } = domain
  if ('uri' in to) {
    const { uri } = to
    await job.nested(() => qmp.execute('migrate', { uri }))
    return undefined
  }
  const tunnel = 'stream' in to ? await tunnelTo(to.stream, domain.root.dir) : undefined
  const socket = tunnel?.theirs ?? (await connectTo((to as { address: Address }).address))
  try {
    await job.nested(async () => {
      await qmp.passFile(FD_NAME, socket)
      await qmp.execute('migrate', { uri: `fd:${FD_NAME}` })
    })
    return tunnel
  } catch (error) {
    tunnel?.stop()
    throw error
  } finally {
    socket.destroy()
  }
}

/** XML of the definition that is to be kept there. */
export async function persistentFor(domain: QemuDomain, xml: string | undefined): Promise<string> {
  const { def, newDef = def, context, definitions } = domain
  if (xml === undefined) return formatMigratable(newDef, definitions.newContext ?? context)
  const { loadDomain } = await import('../definition/passes.ts')
  const loaded = await loadDomain(xml, domain.contextFor, { abiUpdate: false })
  return formatMigratable(loaded.def, loaded.context)
}
