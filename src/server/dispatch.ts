// The one path of every call, whichever way it came: access, arguments, state, job, run.
import { errorsFrom } from '../conf/error.ts'
import { fieldsFromJson, fieldsToJson } from '../conf/wire.ts'
import type { Host } from '../drivers/connection.ts'
import type { ByteChannel, Stream } from '../drivers/method.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { type Api, findMethod } from '../drivers/qemu/index.ts'
import { hostOf } from './connection.ts'

const fail = errorsFrom('VIR_FROM_RPC')
const failQemu = errorsFrom('VIR_FROM_QEMU')

export interface Call {
  api: string
  /** arguments as JSON */
  args: unknown
  /** came in on a read-only connection */
  readOnly: boolean
  signal?: AbortSignal
}

/** Flags that make a reading call one that only writers may make, by API. */
const WRITERS_FLAGS: Record<string, [bits: number, name: string]> = {
  virDomainGetXMLDesc: [1, 'virDomainGetXMLDesc with secure flag']
}

/** The row a call means. @throws VIR_ERR_RPC for an unknown name, VIR_ERR_OPERATION_DENIED on a read-only connection */
export function resolve(api: string, readOnly: boolean): Api {
  const method = findMethod(api)
  if (!method) throw fail('VIR_ERR_RPC', `unknown API '${api}'`)
  if (readOnly && !method.readOnly) throw fail('VIR_ERR_OPERATION_DENIED', `read only access prevents ${api}`)
  return method
}

/** The row and the arguments of a call that may be made. */
function prepared({ api, args: given, readOnly }: Call) {
  const method = resolve(api, readOnly)
  const args = fieldsFromJson(given === undefined ? {} : given, method.args, api)
  const [bits = 0, what] = WRITERS_FLAGS[api] ?? []
  if (readOnly && (Number(args.flags) & bits) !== 0) throw fail('VIR_ERR_OPERATION_DENIED', what)
  return { method, args }
}

/** Carries out one call of a whole connection; gives what its row gives. @throws VIR_ERR_INVALID_ARG for a guest's API */
export async function runOnHost(host: Host, call: Call): Promise<unknown> {
  const { method, args } = prepared(call)
  if (method.on !== 'connect') throw fail('VIR_ERR_INVALID_ARG', `'${call.api}' is called on a domain`)
  return method.run(host, args)
}

/** Carries out one call; gives what its row gives. */
export async function run(domain: QemuDomain, call: Call): Promise<unknown> {
  const { method, args } = prepared(call)
  const release = domain.activity.hold()
  try {
    return await runOn(domain, method, args, call)
  } finally {
    release()
  }
}

async function runOn(
  domain: QemuDomain,
  method: Api,
  args: Record<string, unknown>,
  { api, signal }: Call
): Promise<unknown> {
  if (method.on === 'connect') return method.run(hostOf(domain), args)
  const work = async () => {
    if (domain.removed) {
      throw failQemu('VIR_ERR_NO_DOMAIN', `no domain with matching uuid '${domain.uuid}' (${domain.name})`)
    }
    if (method.needs === 'active') {
      // what ends a guest does not wait until its start is over
      if (method.job !== 'destroy') await domain.startDone
      domain.checkActive()
    }
    return method.run(domain, args)
  }
  return method.job ? domain.jobs.run(api, work, signal) : work()
}

/** Carries out one call; the answer of plain calls is their JSON form. */
export async function dispatch(
  domain: QemuDomain,
  call: Call
): Promise<Record<string, unknown> | Stream | ByteChannel> {
  const { stream, ret } = resolve(call.api, call.readOnly)
  const result = await run(domain, call)
  return stream ? (result as Stream | ByteChannel) : fieldsToJson(result as never, ret)
}
