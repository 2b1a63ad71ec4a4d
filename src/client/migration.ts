// A migration that the client leads: source and destination do what they are told, and learn of each other by the cookies
// that the client hands on (virDomainMigrateVersion3Full).
import { virDomainMigrateFlags, virDomainState } from '../conf/enums.ts'
import { ERROR_CODES, ERROR_DOMAINS } from '../conf/error-table.ts'
import type { Finding } from '../drivers/migration.ts'
import type { ArgsOf } from '../drivers/qemu/index.ts'
import type { CheckPrepareArgs, CheckPrepareRet } from '../server/aggregator/rows.ts'
import type { CheckBeginArgs, CheckBeginRet } from '../server/rows.ts'
import type { Connection } from './connection.ts'
import { ApiError, ClientError } from './failure.ts'

const {
  VIR_MIGRATE_ABORT_ON_ERROR,
  VIR_MIGRATE_AUTO_CONVERGE,
  VIR_MIGRATE_CHANGE_PROTECTION,
  VIR_MIGRATE_OFFLINE,
  VIR_MIGRATE_PAUSED,
  VIR_MIGRATE_POSTCOPY_RESUME
} = virDomainMigrateFlags
const [OPERATION_FAILED] = ERROR_CODES.VIR_ERR_OPERATION_FAILED
const [QEMU] = ERROR_DOMAINS.VIR_FROM_QEMU
const [MIGRATE_FINISH_OK] = ERROR_CODES.VIR_ERR_MIGRATE_FINISH_OK

/** Parameters by their names, VIR_MIGRATE_PARAM_*. */
export type MigrationParams = NonNullable<ArgsOf<'virDomainMigrateBegin3Params'>['params']>

export interface Move {
  /** the guest, where it is */
  source: Connection
  /** the daemon it goes to */
  destination: Connection
  /** its name at the source */
  name: string
  params: MigrationParams
  /** virDomainMigrateFlags */
  flags: number
}

/**
 * Moves a guest; it is at the destination when this returns. When something fails both sides are told, so that the guest
 * goes on where it was.
 * @throws the error of the phase that failed first
 */
export async function lead({ source, destination, name, params: wanted, flags: given }: Move): Promise<void> {
  const begin = { params: wanted, flags: given | VIR_MIGRATE_CHANGE_PROTECTION }
  // both sides give it up when this process is gone
  const begun = await source.callTied('virDomainMigrateBegin3Params', begin)
  const flags = await flagsFor(source, given)
  const here = flags | VIR_MIGRATE_CHANGE_PROTECTION
  const there = flags & ~OWN_FLAGS
  let params: MigrationParams = { ...wanted, destination_xml: begun.xml }
  let cookie: string | undefined = begun.cookie_out
  let failure: unknown

  /** True when the call of a phase has succeeded; the next one then has its cookie. */
  const succeeds = async (call: Promise<{ cookie_out: string; uri_out?: string | undefined }>): Promise<boolean> => {
    try {
      const { cookie_out, uri_out } = await call
      cookie = cookie_out
      if (uri_out) params = { ...params, migrate_uri: uri_out }
      return true
    } catch (error) {
      cookie = undefined
      failure = combined(failure, error)
      return false
    }
  }
  const prepare = () =>
    destination.callTied('virDomainMigratePrepare3Params', { params, cookie_in: cookie, flags: there })
  const perform = () => source.callJob('virDomainMigratePerform3Params', { params, cookie_in: cookie, flags: here })
  const finish = (cancelled: number) => {
    const named = { destination_name: name, ...params }
    return destination.callJob('virDomainMigrateFinish3Params', {
      params: named,
      cookie_in: cookie,
      flags: there,
      cancelled
    })
  }
  const confirm = (cancelled: number) =>
    source.callJob('virDomainMigrateConfirm3Params', { params, cookie_in: cookie, flags: here, cancelled })

  const isPrepared = await succeeds(prepare())
  let isArrived = false
  let isSourceWaiting = true
  if (isPrepared) {
    let isSent = false
    if (params.migrate_uri === undefined) {
      failure = new ClientError('internal error: domainMigratePrepare3 did not set uri')
    } else if (flags & VIR_MIGRATE_OFFLINE) {
      cookie = undefined
      isSent = true
    } else {
      isSent = await succeeds(perform())
      // it knows of its own failure
      isSourceWaiting = isSent
    }
    isArrived = (await succeeds(finish(isSent ? 0 : 1))) && isSent
  }
  // the worst of its failures is a guest left paused at the source
  if (isSourceWaiting) await confirm(isArrived ? 0 : 1).catch(() => undefined)
  if (failure !== undefined) throw failure
}

/** The source's own business. */
const OWN_FLAGS = VIR_MIGRATE_ABORT_ON_ERROR | VIR_MIGRATE_AUTO_CONVERGE

/** The flags asked for; a guest that is paused stays so. */
async function flagsFor(source: Connection, flags: number): Promise<number> {
  const { state } = await source.call('virDomainGetState').catch(() => ({ state: undefined }))
  const isPaused = state === virDomainState.VIR_DOMAIN_PAUSED && !(flags & VIR_MIGRATE_POSTCOPY_RESUME)
  return isPaused ? flags | VIR_MIGRATE_PAUSED : flags
}

/** A migration to look at. */
export interface Rehearsal extends Omit<Move, 'destination'> {
  /** absent: the daemon it would go to cannot be asked */
  destination: Connection | undefined
  /** URI of that daemon, for a guest that would drive its migration itself */
  dconnuri: string | undefined
}

/** All that either side has to say against a migration. Nothing is started there, and the guest does not notice. */
export async function rehearse({ source, destination, params, flags: given, dconnuri }: Rehearsal): Promise<Finding[]> {
  const begin: CheckBeginArgs = { params, flags: given, ...(dconnuri !== undefined && { dconnuri }) }
  const flags = await flagsFor(source, given)
  const begun = (await source.post(source.pathOf('virDomainQemuMigrateCheckBegin'), begin)) as CheckBeginRet
  if (begun.xml === undefined || !destination) return begun.findings
  const prepare: CheckPrepareArgs = {
    params: { ...params, destination_xml: begun.xml },
    cookie_in: begun.cookie_out,
    flags: flags & ~OWN_FLAGS
  }
  const path = destination.pathOf('virDomainQemuMigrateCheckPrepare')
  const there = (await destination.post(path, prepare)) as CheckPrepareRet
  return [...begun.findings, ...there.findings]
}

/** The first failure; with what the destination says beside it, where either may be the cause of the other. */
function combined(first: unknown, later: unknown): unknown {
  if (first === undefined) return later
  const isOfQemu = (error: unknown): error is ApiError => error instanceof ApiError && error.domain === QEMU
  if (!isOfQemu(first) || first.code !== OPERATION_FAILED) return first
  if (!isOfQemu(later) || later.code === MIGRATE_FINISH_OK) return first
  const [here, there] = [first.message, later.message]
  return new ApiError(
    `operation failed: migration failed. Message from the source host: ${here}. Message from the destination host: ${there}`,
    OPERATION_FAILED,
    QEMU
  )
}
