// APIs that only the aggregator has.
import { virDomainMigrateFlags } from '../../conf/enums.ts'
import { bytes, flags, type JsonValues, optional, text } from '../../conf/wire.ts'
import { type Connect, domainHandle, type GuestHandle } from '../../drivers/connection.ts'
import { type ArrivingGuest, methodFor } from '../../drivers/method.ts'
import { type Finding, findings, type MigrationPhase, migrationParams } from '../../drivers/migration.ts'
import type { Served } from '../dispatch.ts'
import { named } from '../rows.ts'
import type { Aggregator } from './aggregator.ts'

/** All guests, as connection-level APIs ask for them. */
export interface AggregatorConnect extends Connect {
  /** Makes a shim known that was not started here. @throws VIR_ERR_OPERATION_FAILED when nobody answers at the socket */
  add(socket: string): Promise<GuestHandle>
  /** Has a guest waited for by its shim, which is then called. */
  arriving<T>(guest: ArrivingGuest, call: (guest: GuestHandle) => Promise<T>): Promise<T>
  /**
   * Calls the shim of a guest that is waited for, or has come, or the one that has followed it.
   * @param call throws an error that is no libvirt error where there is no answer
   */
  arrived<T>(guest: ArrivingGuest, call: (guest: GuestHandle) => Promise<T>): Promise<T>
  /** Looks at all that would keep a guest from coming; no shim is started for it. */
  checkArrival(phase: MigrationPhase): Promise<Finding[]>
}

const method = methodFor<AggregatorConnect>()

const rows = {
  /** Makes the aggregator aware of a shim it did not start; it is remembered as long as its socket is there. */
  virDomainQemuReconnect: method({
    since: '0.1.0',
    on: 'connect',
    acl: 'connect:write',
    args: { socket: text("path of the shim's API socket") },
    ret: { dom: domainHandle },
    run: async (connect, { socket }) => ({ dom: await connect.add(socket) })
  }),

  /**
   * The dry run of a migration at its destination, with what virDomainQemuMigrateCheckBegin gave at the source: all that
   * speaks against it. Nothing is started, made or claimed.
   */
  virDomainQemuMigrateCheckPrepare: method({
    since: '0.1.0',
    on: 'connect',
    acl: 'domain:migrate',
    args: {
      params: migrationParams,
      cookie_in: optional(bytes("the source's cookie, <qemu-migration>, ended by a NUL")),
      flags: flags(virDomainMigrateFlags)
    },
    ret: { findings },
    run: async (connect, { cookie_in: cookie, ...asked }) => ({
      findings: await connect.checkArrival({ ...asked, cookie })
    })
  })
}

export const aggregatorRows = named(rows)

type Row = (typeof rows)['virDomainQemuMigrateCheckPrepare']
export type CheckPrepareArgs = JsonValues<Row['args']>
export type CheckPrepareRet = JsonValues<Row['ret']>

/** What calls on the aggregator itself are carried out on, whichever way they come. */
export const servedBy = ({ connect, changes }: Aggregator): Served => ({
  connect,
  rows: aggregatorRows,
  settled: () => changes.settled()
})
