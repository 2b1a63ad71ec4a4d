// The one path of every call, whichever way it came: access, arguments, state, job, run.
import { errorsFrom } from '../conf/error.ts'
import { fieldsFromJson, fieldsToJson } from '../conf/wire.ts'
import type { ByteChannel, Method, Stream } from '../drivers/method.ts'
import type { QemuDomain } from '../drivers/qemu/domain.ts'
import { findMethod } from '../drivers/qemu/index.ts'

const fail = errorsFrom('VIR_FROM_RPC')

export interface Call {
  api: string
  /** arguments as JSON */
  args: unknown
  /** came in on a read-only connection */
  readOnly: boolean
  signal?: AbortSignal
}

/** The row a call means. @throws VIR_ERR_RPC for an unknown name, VIR_ERR_OPERATION_DENIED on a read-only connection */
export function resolve(api: string, readOnly: boolean): Method<QemuDomain> {
  const method = findMethod(api)
  if (!method) throw fail('VIR_ERR_RPC', `unknown API '${api}'`)
  if (readOnly && !method.readOnly) throw fail('VIR_ERR_OPERATION_DENIED', `read only access prevents ${api}`)
  return method
}

/** Carries out one call; the answer of plain calls is their JSON form. */
export async function dispatch(
  domain: QemuDomain,
  call: Call
): Promise<Record<string, unknown> | Stream | ByteChannel> {
  const { api, readOnly, signal } = call
  const method = resolve(api, readOnly)
  const args = fieldsFromJson(call.args === undefined ? {} : call.args, method.args, api)
  if (readOnly && api === 'virDomainGetXMLDesc' && (Number(args.flags) & 1) !== 0) {
    throw fail('VIR_ERR_OPERATION_DENIED', 'virDomainGetXMLDesc with secure flag')
  }
  const run = async () => {
    if (method.needs === 'active' && method.job !== 'destroy') await domain.startDone
    if (method.needs === 'active') domain.checkActive()
    return method.run(domain, args)
  }
  const result = method.job ? await domain.jobs.run(api, run, signal) : await run()
  return method.stream ? (result as Stream | ByteChannel) : fieldsToJson(result as never, method.ret)
}
