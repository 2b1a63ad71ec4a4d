// The phases once more, for a migration that has failed in post-copy and is brought on by another connection
// (VIR_MIGRATE_POSTCOPY_RESUME).
//
//   source       postcopy_failed ─► begin_resume ─► perform_resume ─► confirm_resume: QEMU is ended
//   destination  postcopy_failed ─► prepare_resume ─► finish_resume: the guest has come
//
// Whatever fails leads back to postcopy_failed.
import { errorsFrom } from '../../../conf/error.ts'
import type { AsyncJob } from '../../../state/async-job.ts'
import { handleOf } from '../../connection.ts'
import type { MigrationFinished, MigrationPhase, MigrationPrepared } from '../../migration.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { HeldPorts } from '../process/ports.ts'
import { decodeCookie, encodeCookie, formatCookie, parseCookie } from './cookie.ts'
import { completePostcopy, definitionOf, isAwaited, lastCookie, placeFor } from './destination.ts'
import { ownCookie, readerOf, statisticsOf } from './own-cookie.ts'
import { applySettings, settingsFor } from './params.ts'
import { type Asked, attending, enterPhase, type Phase, type PhaseCall, resumableJob } from './phases.ts'
import { failWith, outlivesFailure } from './postcopy.ts'
import { migrationReached, queryMigrate } from './progress.ts'
import { type Begun, definitionFor, destinationOf } from './source.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Time the source's QEMU has to reach the destination's: of a connection that it cannot make it tells nothing. */
const CONNECT_LIMIT_MS = 30_000

/** Works on one phase; the next attempt begins anew if that fails. */
async function inPhase<T>(domain: QemuDomain, job: AsyncJob, phase: Phase, work: () => Promise<T>): Promise<T> {
  enterPhase(job, phase)
  try {
    return await attending(job, work)
  } catch (error) {
    if (!outlivesFailure(domain, job)) job.end(error)
    throw error
  }
}

/** @throws VIR_ERR_OPERATION_INVALID for one that goes on all the same */
async function checkStalled(domain: QemuDomain): Promise<void> {
  if ((await queryMigrate(domain)).status === 'postcopy-paused') return
  throw fail('VIR_ERR_OPERATION_INVALID', 'QEMU reports migration is still running')
}

/** The first phase (qemuMigrationSrcBeginResumePhase). @throws as resumableJob, VIR_ERR_CONFIG_UNSUPPORTED */
export function beginResume(domain: QemuDomain, asked: Asked, connection: AbortSignal | undefined): Promise<Begun> {
  const job = resumableJob(domain, 'migration-out', asked.flags, 'postcopy_failed')
  return inPhase(domain, job, 'begin_resume', async () => {
    const begun = await begunAnew(domain, asked)
    failWith(connection, domain, job)
    return begun
  })
}

/** The first phase's work (qemuMigrationSrcBeginResume). */
export async function begunAnew(domain: QemuDomain, { params }: Asked): Promise<Begun> {
  await checkStalled(domain)
  return {
    xml: await definitionFor(domain, params.destination_xml),
    cookie: formatCookie(
      await ownCookie(domain, 'source', domain.run?.originalCpu ? ['cpu', 'capabilities'] : ['capabilities'])
    )
  }
}

/**
 * Has QEMU wait for its other part (qemuMigrationDstPrepareResume).
 * @throws VIR_ERR_NO_DOMAIN, as resumableJob
 */
export async function prepareResume(
  domain: QemuDomain,
  asked: MigrationPhase,
  { connection }: PhaseCall
): Promise<MigrationPrepared> {
  const place = placeFor(domain.context, asked)
  const { def, context, sourceName } = await definitionOf(asked, domain.contextFor)
  if (def.name !== domain.name || isAwaited(domain)) {
    throw fail('VIR_ERR_NO_DOMAIN', `no domain with matching name '${def.name}'`)
  }
  const job = resumableJob(domain, 'migration-in', asked.flags, 'postcopy_failed')
  return inPhase(domain, job, 'prepare_resume', async () => {
    await checkStalled(domain)
    parseCookie(decodeCookie(asked.cookie), { name: sourceName, uuid: def.uuid }, ['capabilities'])
    const ports = new HeldPorts()
    try {
      await place.choosePort(ports, context)
      domain.running.arrival = { ...domain.running.arrival, sourceName, port: place.port }
      domain.save()
      job.forget('MIGRATION')
      await domain.qmp.execute('migrate-recover', { uri: place.listenUri() })
    } finally {
      ports.release()
    }
    failWith(connection, domain, job)
    const cookie = await ownCookie(domain, 'destination', ['capabilities'], { name: sourceName })
    return { uri: place.answer(), cookie: encodeCookie(formatCookie(cookie)) }
  })
}

/** The phase in which QEMU connects anew (qemuMigrationSrcPerformResume). @returns its cookie */
export function performResume(
  domain: QemuDomain,
  asked: Asked,
  cookie: string | undefined,
  connection: AbortSignal | undefined
): Promise<string> {
  settingsFor(asked.params, asked.flags, 'source')
  const job = resumableJob(domain, 'migration-out', asked.flags, 'begin_resume')
  return inPhase(domain, job, 'perform_resume', async () => {
    const answer = await sendRest(domain, job, asked, cookie)
    failWith(connection, domain, job)
    return answer
  })
}

/** Has QEMU connect to its other part; both are together when this returns (qemuMigrationSrcResume). */
export async function sendRest(
  domain: QemuDomain,
  job: AsyncJob,
  { params, flags }: Asked,
  cookieIn: string | undefined
): Promise<string> {
  const { qmp } = domain
  const to = destinationOf(params.migrate_uri, flags)
  parseCookie(cookieIn, readerOf(domain), ['capabilities'])
  await job.nested(() => applySettings(domain, settingsFor(params, flags, 'source'), flags))
  job.forget('MIGRATION')
  await job.nested(() => qmp.execute('migrate', { uri: (to as { uri: string }).uri, resume: true }))
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    job.tell('MIGRATION_LATE', {})
  }, CONNECT_LIMIT_MS)
  const late = () =>
    isLate ? fail('VIR_ERR_OPERATION_FAILED', "job 'migration out' failed in post-copy phase") : undefined
  try {
    job.status = await migrationReached(domain, job, ['postcopy', 'hypervisor-completed'], late)
  } finally {
    clearTimeout(timer)
  }
  return formatCookie(await ownCookie(domain, 'source', [], { statistics: statisticsOf(job) }))
}

/** The end: all of the guest is here (qemuMigrationDstFinishActive). @throws VIR_ERR_MIGRATE_FINISH_OK, as migrationReached */
export function finishResume(
  domain: QemuDomain,
  { flags, cookie, cancelled }: MigrationPhase & { cancelled: boolean }
): Promise<MigrationFinished> {
  const job = resumableJob(domain, 'migration-in', flags, 'prepare_resume')
  return inPhase(domain, job, 'finish_resume', async () => {
    const sourceName = domain.run?.arrival?.sourceName ?? domain.name
    parseCookie(decodeCookie(cookie), readerOf(domain, sourceName), ['network', 'statistics', 'nbd', 'persistent'])
    if (cancelled) {
      const { status } = await queryMigrate(domain)
      if (status === 'postcopy-paused') job.tell('MIGRATION', { status })
      else throw fail('VIR_ERR_MIGRATE_FINISH_OK')
    }
    await migrationReached(domain, job, ['hypervisor-completed'])
    await completePostcopy(domain, job)
    job.end()
    return { dom: handleOf(domain), cookie: await lastCookie(domain, sourceName) }
  })
}
