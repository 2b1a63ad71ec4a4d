// The one path of every call, whichever way it came: access, arguments, guest, state, job, run. Their order is libvirt's:
// its library looks at who calls (libvirt-domain.c), its driver at flags, guest and state (qemu_driver.c).
import { API_FACTS, type ApiFact, libraryDomain } from '../conf/api-list.ts'
import {
  virDomainCheckpointXMLFlags,
  virDomainInterfaceAddressesSource,
  virDomainSnapshotXMLFlags,
  virDomainVcpuFlags,
  virDomainXMLFlags
} from '../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../conf/error.ts'
import { fieldsFromJson } from '../conf/wire.ts'
import type { Connect, GuestHandle } from '../drivers/connection.ts'
import { by } from '../drivers/method.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { checkNeeds, needsActive, resolveImpact } from '../drivers/qemu/domain/impact.ts'
import { type Api, findMethod } from '../drivers/qemu/index.ts'
import type { ReceivedFiles } from '../host/received-files.ts'
import type { AsyncJob } from '../state/async-job.ts'
import type { Activity } from './activity.ts'

const fail = errorsFrom('VIR_FROM_RPC')
const failQemu = errorsFrom('VIR_FROM_QEMU')

/** One call, as HTTP and RPC make it from bytes. */
export interface Call {
  row: Api
  /** arguments by name, as JSON or libvirt's protocol has them */
  values?: unknown
  /** it came on a read-only connection */
  readOnly: boolean
  /** the guest it is on: name or uuid, or libvirt's handle; absent where there is but one */
  guest?: string | GuestHandle
  /** the caller is gone */
  signal?: AbortSignal
  /** aborts when the caller's connection closes; absent: it does not outlast the call */
  connection?: AbortSignal
  /** open files that came with it; absent on a transport that brings none */
  files?: ReceivedFiles
}

/** Objects a daemon carries calls out on. */
export interface Served {
  connect: Connect
  /** its guest; absent: guests have daemons of their own */
  domain?: QemuDomain
  /** of a daemon that ends when nobody asks for anything */
  activity?: Activity
  /** rows beside the table's */
  rows?: Readonly<Record<string, Api>>
  /** settles when what clients have done to the guests is in what the connection tells of them */
  settled?(): Promise<void>
}

type Values = Readonly<Record<string, unknown>>

const { VIR_DOMAIN_XML_SECURE, VIR_DOMAIN_XML_MIGRATABLE } = virDomainXMLFlags
const { VIR_DOMAIN_CHECKPOINT_XML_SECURE } = virDomainCheckpointXMLFlags
const { VIR_DOMAIN_VCPU_GUEST } = virDomainVcpuFlags
const { VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT } = virDomainInterfaceAddressesSource

const withFlags = (bits: number) => (values: Values) => (Number(values.flags) & bits) !== 0

/** Arguments that make a reading call one that only writers may make, by API; the message where it is not the usual one. */
const WRITERS_ARGUMENTS: Readonly<Record<string, { given(values: Values): boolean; message?: string }>> = {
  virDomainGetXMLDesc: {
    given: withFlags(VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE),
    message: 'virDomainGetXMLDesc with secure flag'
  },
  virDomainSnapshotGetXMLDesc: {
    given: withFlags(virDomainSnapshotXMLFlags.VIR_DOMAIN_SNAPSHOT_XML_SECURE),
    message: 'virDomainSnapshotGetXMLDesc with secure flag'
  },
  virDomainCheckpointGetXMLDesc: {
    given: withFlags(VIR_DOMAIN_CHECKPOINT_XML_SECURE),
    message: 'virDomainCheckpointGetXMLDesc with secure flag'
  },
  virDomainGetVcpusFlags: { given: withFlags(VIR_DOMAIN_VCPU_GUEST) },
  virDomainInterfaceAddresses: { given: ({ source }) => source === VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT }
}

const denied = (api: string, message = `read only access prevents ${api}`) =>
  errorsFrom(libraryDomain(api))('VIR_ERR_OPERATION_DENIED', message)

const noFiles = (api: string) =>
  errorsFrom(libraryDomain(api))('VIR_ERR_ARGUMENT_UNSUPPORTED', 'fd passing is not supported by this connection')

/** Facts of an API that are known before its code, undefined for a name libvirt does not have. */
export const factOf = (api: string): ApiFact | undefined => (Object.hasOwn(API_FACTS, api) ? API_FACTS[api] : undefined)

/** @throws VIR_ERR_OPERATION_DENIED for what a read-only connection may not call (virCheckReadOnlyGoto) */
export function checkAccess(api: string, readOnly: boolean): void {
  if (readOnly && !factOf(api)?.readOnly) throw denied(api)
}

/**
 * The row of an API that may be called.
 * @param isKnown libvirt has it, if only within its protocol
 * @throws VIR_ERR_RPC for what neither libvirt nor we have, VIR_ERR_OPERATION_DENIED, VIR_ERR_NO_SUPPORT for what of
 * libvirt's is not there
 */
export function rowFor(
  { rows = {} }: Pick<Served, 'rows'>,
  api: string,
  readOnly: boolean,
  isKnown = factOf(api) !== undefined
): Api {
  const row = Object.hasOwn(rows, api) ? rows[api] : findMethod(api)
  if (!row && !isKnown) throw fail('VIR_ERR_RPC', `unknown procedure: ${api}`)
  checkAccess(api, readOnly)
  if (!row) throw errorsFrom(libraryDomain(api))('VIR_ERR_NO_SUPPORT', api)
  return row
}

/**
 * Carries out one call; gives what its row gives.
 * @throws VIR_ERR_INVALID_ARG, also for what ends with a connection and has none, VIR_ERR_OPERATION_DENIED for arguments
 * of writers, VIR_ERR_NO_DOMAIN, what the state of the guest forbids, what the row throws
 */
export async function dispatch(served: Served, call: Call): Promise<unknown> {
  const { row, values = {}, readOnly, guest, signal, connection, files } = call
  const args = fieldsFromJson(values, row.args, row.name)
  const writers = WRITERS_ARGUMENTS[row.name]
  if (readOnly && writers?.given(args)) throw denied(row.name, writers.message)
  row.check?.(args)
  // files come over a connection: those who have none are told so once their guest is found
  if (row.tied?.(args) && !connection && !row.takesFiles) throw untied(row.name)
  const { connect, domain } = served
  const release = served.activity?.hold()
  try {
    if (row.on === 'connect') {
      await served.settled?.()
      return await row.run(connect, args, { api: row.name, signal, connection })
    }
    if (!domain) throw fail('VIR_ERR_INVALID_ARG', `'${row.name}' is of a guest: /v1/domains/GUEST/${row.name}`)
    if (guest !== undefined) checkGuest(domain, guest)
    return await runOn(domain, row, args, { signal, connection, files })
  } finally {
    release?.()
  }
}

/** The error for a call that is to end with its caller's connection, of a caller that keeps none open. */
const untied = (api: string) =>
  argumentErrorsFrom(libraryDomain(api))(
    `VIR_DOMAIN_START_AUTODESTROY in ${api} needs a connection that stays open: over HTTP, 'Accept: text/event-stream'`
  )

/** @throws VIR_ERR_NO_DOMAIN unless the guest is the one that is meant */
export function checkGuest({ name, uuid }: QemuDomain, meant: string | GuestHandle): void {
  if (typeof meant === 'string' && meant !== name && meant.toLowerCase() !== uuid) {
    throw failQemu('VIR_ERR_NO_DOMAIN', `no domain with matching name or uuid '${meant}'`)
  }
  if (typeof meant === 'object' && meant.uuid !== uuid) throw noDomain(meant)
}

/** The error for a guest that is not there, or not any more (qemuDomObjFromDomain). */
export const noDomain = ({ name, uuid }: Pick<GuestHandle, 'name' | 'uuid'>) =>
  failQemu('VIR_ERR_NO_DOMAIN', `no domain with matching uuid '${uuid}' (${name})`)

async function runOn(
  domain: QemuDomain,
  method: Api & { on: 'domain' },
  args: Record<string, unknown>,
  { signal, connection, files }: Pick<Call, 'signal' | 'connection' | 'files'>
): Promise<unknown> {
  const api = method.name
  const job = by(method.job, args)
  const needs = by(method.needs, args)
  // calls that end a guest do not wait until its start is over
  if (needsActive(needs) && job !== 'destroy') await domain.startDone
  const work = async (asyncJob?: AsyncJob) => {
    if (domain.removed) throw noDomain(domain)
    if (needs) checkNeeds(domain, needs)
    if (method.takesFiles && !files) throw noFiles(api)
    const meant = method.impact && resolveImpact(domain, method.impact, Number(args.flags))
    return method.run(domain, args, { api, signal, connection, files, job: asyncJob, ...meant })
  }
  return job ? domain.jobs.run(job, { api, flags: Number(args.flags ?? 0), signal }, work) : work()
}
