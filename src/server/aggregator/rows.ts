// APIs that only the aggregator has, and where its other connection-level APIs are looked up.
import { API_FACTS } from '../../conf/api-list.ts'
import { errorsFrom } from '../../conf/error.ts'
import { fieldsFromJson, text } from '../../conf/wire.ts'
import { domainHandle } from '../../drivers/connection.ts'
import { type Method, methodFor } from '../../drivers/method.ts'
import { findMethod } from '../../drivers/qemu/index.ts'
import type { Call } from '../dispatch.ts'
import type { Aggregator } from './aggregator.ts'

const fail = errorsFrom('VIR_FROM_RPC')
const method = methodFor<Aggregator>()

export const aggregatorRows = {
  /** Makes the aggregator aware of a shim it did not start; it is remembered as long as its socket is there. */
  virDomainQemuReconnect: method({
    since: '0.1.0',
    on: 'connect',
    acl: 'connect:write',
    args: { socket: text("path of the shim's API socket") },
    ret: { dom: domainHandle },
    async run({ discovery }, { socket }) {
      const { name, uuid, id } = (await discovery.add(socket)).report
      return { dom: { name, uuid, id } }
    }
  })
} satisfies Record<string, Method<Aggregator>>

/** A connection-level API, bound to this aggregator. */
export interface HostApi {
  row: Method<never>
  readOnly: boolean
  run(args: Record<string, unknown>): unknown
}

/** The connection-level API of that name, undefined if there is none. */
export function findHostApi(aggregator: Aggregator, name: string): HostApi | undefined {
  const readOnly = API_FACTS[name]?.readOnly ?? false
  if (Object.hasOwn(aggregatorRows, name)) {
    const row: Method<Aggregator> = aggregatorRows[name as keyof typeof aggregatorRows]
    return { row, readOnly, run: args => row.run(aggregator, args) }
  }
  const row = findMethod(name)
  return row?.on === 'connect' ? { row, readOnly, run: args => row.run(aggregator.host, args) } : undefined
}

/**
 * Carries out a connection-level API; gives what its row gives, and how that is written.
 * @throws VIR_ERR_RPC for an unknown name, VIR_ERR_OPERATION_DENIED on a read-only connection
 */
export async function runHostApi(
  aggregator: Aggregator,
  { api, args, readOnly }: Omit<Call, 'signal'>
): Promise<{ row: HostApi['row']; result: Record<string, unknown> }> {
  const found = findHostApi(aggregator, api)
  if (!found) {
    if (findMethod(api)) throw fail('VIR_ERR_INVALID_ARG', `'${api}' is of a guest: /v1/domains/GUEST/${api}`)
    throw fail('VIR_ERR_RPC', `unknown API '${api}'`)
  }
  if (readOnly && !found.readOnly) throw fail('VIR_ERR_OPERATION_DENIED', `read only access prevents ${api}`)
  const values = fieldsFromJson(args === undefined ? {} : args, found.row.args, api)
  return { row: found.row, result: (await found.run(values)) as Record<string, unknown> }
}
