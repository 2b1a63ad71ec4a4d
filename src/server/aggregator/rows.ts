// APIs that only the aggregator has.
import { text } from '../../conf/wire.ts'
import { type Connect, domainHandle, type GuestHandle } from '../../drivers/connection.ts'
import { methodFor } from '../../drivers/method.ts'
import type { MigrationPhase } from '../../drivers/migration.ts'
import type { Api } from '../../drivers/qemu/index.ts'
import type { Served } from '../dispatch.ts'
import type { Aggregator } from './aggregator.ts'

/** All guests, as connection-level APIs ask for them. */
export interface AggregatorConnect extends Connect {
  /** Makes a shim known that was not started here. @throws VIR_ERR_OPERATION_FAILED when nobody answers at the socket */
  add(socket: string): Promise<GuestHandle>
  /** Has a guest waited for by its shim, which is then called. */
  arriving<T>(phase: MigrationPhase, call: (guest: GuestHandle) => Promise<T>): Promise<T>
}

const method = methodFor<AggregatorConnect>()

export const aggregatorRows: Readonly<Record<string, Api>> = {
  /** Makes the aggregator aware of a shim it did not start; it is remembered as long as its socket is there. */
  virDomainQemuReconnect: {
    name: 'virDomainQemuReconnect',
    ...method({
      since: '0.1.0',
      on: 'connect',
      acl: 'connect:write',
      args: { socket: text("path of the shim's API socket") },
      ret: { dom: domainHandle },
      run: async (connect, { socket }) => ({ dom: await connect.add(socket) })
    }),
    on: 'connect'
  }
}

/** What calls on the aggregator itself are carried out on, whichever way they come. */
export const servedBy = ({ connect, changes }: Aggregator): Served => ({
  connect,
  rows: aggregatorRows,
  settled: () => changes.settled()
})
