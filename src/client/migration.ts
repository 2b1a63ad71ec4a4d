// A migration that the client leads: source and destination do what they are told, and learn of each other by the cookies
// that the client hands on (virDomainMigrateVersion3Full).
import { virDomainMigrateFlags, virDomainState } from '../conf/enums.ts'
import { ERROR_CODES, ERROR_DOMAINS } from '../conf/error-table.ts'
import type { ArgsOf } from '../drivers/qemu/index.ts'
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
  const flags = (await isPaused(source, given)) ? given | VIR_MIGRATE_PAUSED : given
  const here = flags | VIR_MIGRATE_CHANGE_PROTECTION
  const there = flags & ~(VIR_MIGRATE_ABORT_ON_ERROR | VIR_MIGRATE_AUTO_CONVERGE)
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

/** A guest that is paused stays so. */
async function isPaused(source: Connection, flags: number): Promise<boolean> {
  const { state } = await source.call('virDomainGetState').catch(() => ({ state: undefined }))
  return state === virDomainState.VIR_DOMAIN_PAUSED && !(flags & VIR_MIGRATE_POSTCOPY_RESUME)
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
