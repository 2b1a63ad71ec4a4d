// A migration that its source drives: it talks to the other host's daemon itself, over all phases
// (qemuMigrationSrcPerformPeer2Peer3).
import { virDomainMigrateFlags, virDomainState } from '../../../conf/enums.ts'
import { errorsFrom, toVirError, type VirError } from '../../../conf/error.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import type { MigrationParams, MigrationPrepared, Peer, PeerStream } from '../../migration.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { confirm, isUnsettled } from './confirm.ts'
import { decodeCookie, encodeCookie } from './cookie.ts'
import { destinationParams, settingsFor } from './params.ts'
import {
  type Asked,
  attending,
  enterPhase,
  isResume,
  type PhaseCall,
  resumableJob,
  startMigrationJob
} from './phases.ts'
import { outlivesFailure } from './postcopy.ts'
import { begunAnew, sendRest } from './resume.ts'
import { begin, send } from './source.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_ARGUMENT_UNSUPPORTED', message)

const FLAGS = virDomainMigrateFlags
/** virDrvFeature */
const FEATURE = { p2p: 4, v3: 6, offline: 12, params: 13 }

/** What the other side is not told of: it is this side's own business. */
const OWN = FLAGS.VIR_MIGRATE_ABORT_ON_ERROR | FLAGS.VIR_MIGRATE_AUTO_CONVERGE

/**
 * Moves the guest to the host of that daemon.
 * @throws what either side says, VIR_ERR_OPERATION_FAILED when the other one is lost; the guest runs on here then
 */
export function migrateToPeer(
  domain: QemuDomain,
  asked: Asked,
  dconnuri: string | undefined,
  { api }: PhaseCall
): Promise<void> {
  const { params } = asked
  const flags = asked.flags & ~FLAGS.VIR_MIGRATE_CHANGE_PROTECTION
  const move = async (job: AsyncJob) => {
    if ((flags & FLAGS.VIR_MIGRATE_TUNNELLED) !== 0) checkTunnel(params)
    if (!domain.openPeer || dconnuri === undefined) throw fail('VIR_ERR_NO_CONNECT', dconnuri ?? '')
    const peer = await domain.openPeer(dconnuri)
    // whatever waits looks again
    peer.onLost(() => job.tell('PEER_LOST', {}))
    try {
      await checkPeer(peer, flags)
      await migrate(domain, job, peer, { params, flags })
    } finally {
      peer.close()
    }
  }
  const attended = async (job: AsyncJob) => {
    try {
      await attending(job, () => move(job))
    } catch (error) {
      if (!outlivesFailure(domain, job) && !isUnsettled(job)) job.end(error)
      throw error
    }
    job.end()
  }
  if (!isResume(asked)) return startMigrationJob(domain, 'migration-out', { api, flags: asked.flags }, attended)
  const job = resumableJob(domain, 'migration-out', asked.flags, 'postcopy_failed')
  enterPhase(job, 'begin_resume')
  return attended(job)
}

/** Checks parameters of a tunnel. @throws VIR_ERR_ARGUMENT_UNSUPPORTED for what it has no use for */
export function checkTunnel({ migrate_uri: uri, listen_address: address, disks_port: port }: MigrationParams): void {
  if (uri !== undefined) throw unsupported('migration URI is not supported by tunnelled migration')
  if (address !== undefined) throw unsupported('listen address is not supported by tunnelled migration')
  if (port) throw unsupported('disk port address is not supported by tunnelled migration')
}

/** Checks that the other side can take the guest from this one. @throws VIR_ERR_OPERATION_FAILED, VIR_ERR_ARGUMENT_UNSUPPORTED */
export async function checkPeer(peer: Peer, flags: number): Promise<void> {
  if (!(await peer.supports(FEATURE.p2p))) {
    throw fail('VIR_ERR_OPERATION_FAILED', 'Destination libvirt does not support peer-to-peer migration protocol')
  }
  if (!(await peer.supports(FEATURE.v3)) || !(await peer.supports(FEATURE.params))) {
    throw unsupported('Migration APIs with extensible parameters are not supported but extended parameters were passed')
  }
  if ((flags & FLAGS.VIR_MIGRATE_OFFLINE) !== 0 && !(await peer.supports(FEATURE.offline))) {
    throw unsupported('offline migration is not supported by the destination host')
  }
}

async function migrate(domain: QemuDomain, job: AsyncJob, peer: Peer, asked: Asked): Promise<void> {
  const isOffline = (asked.flags & FLAGS.VIR_MIGRATE_OFFLINE) !== 0
  const resumes = isResume(asked)
  const begun = await (resumes ? begunAnew(domain, asked) : begin(domain, asked, job))
  const there = destinationPhase(domain, asked, begun.xml)
  const isTunnelled = (asked.flags & FLAGS.VIR_MIGRATE_TUNNELLED) !== 0
  const told = { ...there, cookie: encodeCookie(begun.cookie) }
  const prepared: Partial<MigrationPrepared> & { cookie: Uint8Array; stream?: PeerStream } = isTunnelled
    ? await peer.prepareTunnel(told)
    : await peer.prepare(told)
  const uri = prepared.uri ?? asked.params.migrate_uri
  let failure: VirError | undefined
  let cookie: Uint8Array | undefined
  if (!isOffline) {
    try {
      if (uri === undefined && !isTunnelled)
        throw fail('VIR_ERR_INTERNAL_ERROR', 'domainMigratePrepare3 did not set uri')
      enterPhase(job, resumes ? 'perform_resume' : 'perform3')
      const lost = () =>
        peer.isLost ? fail('VIR_ERR_OPERATION_FAILED', 'Lost connection to destination host') : undefined
      const params = uri === undefined ? asked.params : { ...asked.params, migrate_uri: uri }
      const heard = decodeCookie(prepared.cookie)
      const there = { ...asked, params }
      const answer = resumes
        ? await sendRest(domain, job, there, heard)
        : await send(domain, job, there, heard, lost, prepared.stream)
      cookie = encodeCookie(answer)
      if (!resumes) enterPhase(job, 'perform3_done')
    } catch (error) {
      failure = toVirError(error)
      prepared.stream?.abort()
    }
  }
  const finish = {
    ...there,
    params: {
      ...there.params,
      ...(uri !== undefined && { migrate_uri: uri }),
      destination_name: asked.params.destination_name ?? domain.name
    },
    cookie,
    cancelled: failure !== undefined
  }
  const finished = await peer.finish(finish).catch(error => toVirError(error))
  const cancelled = !('dom' in finished)
  if (cancelled) failure = failure ? both(failure, finished) : finished
  if (isOffline && cancelled) throw failure
  const last = cancelled ? undefined : decodeCookie(finished.cookie)
  await confirm(domain, job, { flags: asked.flags, cookie: last, cancelled })
  if (failure) throw failure
}

/** What this side and the other have to say of one failure. */
function both(here: VirError, there: VirError): VirError {
  const isOurs = here.domain === 'VIR_FROM_QEMU' && here.code === 'VIR_ERR_OPERATION_FAILED'
  if (!isOurs || there.domain !== 'VIR_FROM_QEMU' || there.code === 'VIR_ERR_MIGRATE_FINISH_OK') return here
  return fail(
    'VIR_ERR_OPERATION_FAILED',
    `migration failed. Message from the source host: ${here.message}. Message from the destination host: ${there.message}`
  )
}

/** What the other side is asked for. */
function destinationPhase(domain: QemuDomain, { params, flags }: Asked, xml: string): Asked {
  const settings = settingsFor(params, flags, 'source')
  const tuned = destinationParams(settings, params, flags)
  const isPaused = domain.state === virDomainState.VIR_DOMAIN_PAUSED && !isResume({ flags })
  const { destination_name, migrate_uri, bandwidth, graphics_uri, listen_address, migrate_disks } = params
  const { migrate_disks_detect_zeroes, disks_port, disks_uri } = params
  const given = {
    destination_name,
    migrate_uri,
    bandwidth,
    graphics_uri,
    listen_address,
    migrate_disks,
    migrate_disks_detect_zeroes,
    disks_port,
    disks_uri
  }
  const named = Object.entries(given).filter(([, value]) => value !== undefined)
  return {
    params: { destination_xml: xml, ...Object.fromEntries(named), ...tuned.params },
    flags: (tuned.flags | (isPaused ? FLAGS.VIR_MIGRATE_PAUSED : 0)) & ~OWN
  }
}
