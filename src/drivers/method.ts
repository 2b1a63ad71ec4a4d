// The shape of an API's row: everything that is known of one libvirt API, beside its code.

import type { Socket } from 'node:net'
import type { DomainDef } from '../conf/domain-def.ts'
import { argumentErrorsFrom, type ErrorDomain } from '../conf/error.ts'
import { flags, type WireFields, type WireValues } from '../conf/wire.ts'
import type { ReceivedFiles } from '../host/received-files.ts'
import type { AsyncJob } from '../state/async-job.ts'
import type { Job } from '../state/job.ts'

/** The form of a result that is not plain JSON. */
export interface Stream {
  /** MIME type of a body; absent for two-way streams (WebSocket) */
  mime: string
  body: Buffer
}

/** A two-way byte stream of the guest: console or channel. */
export interface ByteChannel {
  /** @returns false when the guest is behind: no more is to be sent until it has caught up */
  write(data: Buffer): boolean
  onData(listener: (data: Buffer) => void): void
  /** the guest has caught up */
  onDrain(listener: () => void): void
  onClose(listener: (reason: string) => void): void
  close(): void
}

/** A connection that can be handed on as a whole. */
export interface FileChannel extends ByteChannel {
  file: Socket
}

/** One of those with any number of viewers: everyone sees the output, anyone may type. */
export interface SharedByteChannel {
  view(): ByteChannel
  /** ends all views */
  end(reason: string): void
}

/** What a caller is answered who goes on to send bytes. */
export interface Upload {
  /** results, as the row has them */
  [result: string]: unknown
  channel: ByteChannel
}

/** The state a guest must be in; a text is libvirt's error where the API has one of its own. */
export type Needs = 'active' | 'inactive' | { active: string } | { inactive: string }

/** The definitions that VIR_DOMAIN_AFFECT_* may name: one of live and persistent, or either or both. */
export type Impact = 'one' | 'both'

/** The definitions a call means: each is there exactly if it is meant. */
export interface Meant {
  /** of the running guest */
  live?: DomainDef
  /** the persistent one */
  config?: DomainDef
}

/** Circumstances of a call, for its handler: all it is told beside its arguments. */
export type CallOf<I> = {
  api: string
  /** the caller is gone */
  signal?: AbortSignal
  /** aborts when the caller's connection (virConnect) closes; absent: it has none that outlasts the call */
  connection?: AbortSignal
  /** the job it runs under, if that is an async one */
  job?: AsyncJob
  /** open files that came with the call, until it is over; there if the row takes any */
  files?: ReceivedFiles
} & (I extends 'one' ? Meant & { def: DomainDef } : I extends 'both' ? Meant : object)

/** A method, as `run` is: rows of all arguments stand in one table. */
interface Chosen<A extends WireFields, T> {
  by(args: WireValues<A>): T | undefined
}

/** A field of a row that may depend on the call's arguments. */
export type By<A extends WireFields, T> = T | Chosen<A, T>['by']

/** A guest that comes from another host. */
export interface ArrivingGuest {
  /** absent once it is waited for */
  destination_xml?: string | undefined
  /** absent where it is that of its XML */
  destination_name?: string | undefined
  /** virDomainMigrateFlags */
  flags: number
}

/**
 * One API. `args` and `ret` are in wire order. Fields are looked at in this order: args, check, tied, job, needs, impact.
 */
export interface Method<
  D,
  A extends WireFields = WireFields,
  R extends WireFields = WireFields,
  I = Impact | undefined
> {
  /** libvirt version that brought it */
  since: string
  on: 'domain' | 'connect'
  /** libvirt's access control permission */
  acl?: string
  /** refuses arguments that do not go together, as libvirt's public functions do */
  check?(args: WireValues<A>): void
  /** what it does ends with its caller's connection: there must be one that outlasts the call */
  tied?(args: WireValues<A>): boolean
  /** what it begins is given up when its caller's connection closes, if it has one that outlasts the call */
  keeps?(args: WireValues<A>): boolean
  /** the guest it brings: where that has a daemon of its own, the call goes there */
  brings?(args: WireValues<A>): ArrivingGuest
  /** the job it runs under; absent: it only reads and waits for nobody */
  job?: By<A, Job>
  /** the state the guest must be in */
  needs?: By<A, Needs>
  /** VIR_DOMAIN_AFFECT_* of its flags are resolved before it runs */
  impact?: I
  /**
   * the answer is a body, a two-way stream, or one that is handed over as a descriptor where that can be; or it is an
   * answer like others behind which its caller, by libvirt's protocol alone, sends bytes
   */
  stream?: 'body' | 'channel' | 'file' | 'upload'
  /** it is given open files, which libvirt's protocol alone brings */
  takesFiles?: true
  args: A
  ret: R
  run(
    domain: D,
    args: WireValues<A>,
    call: CallOf<I>
  ): WireValues<R> | Promise<WireValues<R>> | Promise<Stream> | Promise<ByteChannel> | Promise<Upload>
}

/** A call of it gives a stream both ways. */
export const isTwoWay = ({ stream }: Pick<Method<never>, 'stream'>) => stream === 'channel' || stream === 'file'

/** Row makers for one driver: `const method = methodFor<QemuDomain>()`. */
export function methodFor<D>() {
  return <const A extends WireFields, const R extends WireFields, const I extends Impact | undefined = undefined>(
    row: Method<D, A, R, I>
  ): Method<D, A, R> => row
}

/** A field of a row as it is for a call's arguments. */
export const by = <A extends WireFields, T extends Job | Needs>(
  field: By<A, T> | undefined,
  args: WireValues<A>
): T | undefined => (typeof field === 'function' ? field(args) : field)

/** The flags argument of calls that define none. */
export const noFlags = { flags: flags() }

type FlagBits = Readonly<Record<string, number>>

/**
 * Refuses flags of which only one may be given.
 * @param domain of the file of libvirt's that does @throws VIR_ERR_INVALID_ARG (VIR_EXCLUSIVE_FLAGS_GOTO)
 */
export function exclusive(bits: number, among: FlagBits, domain: ErrorDomain = 'VIR_FROM_DOMAIN'): void {
  const [first, second] = Object.keys(among).filter(name => (bits & among[name]!) !== 0)
  if (second === undefined) return
  throw argumentErrorsFrom(domain)(`Flags '${first}' and '${second}' are mutually exclusive`)
}

/** Refuses the first of two flags without the second. @throws VIR_ERR_INVALID_ARG (VIR_REQUIRE_FLAG_GOTO) */
export function requires(bits: number, pair: FlagBits, domain: ErrorDomain = 'VIR_FROM_DOMAIN'): void {
  const [flag, other] = Object.keys(pair) as [string, string]
  if ((bits & pair[flag]!) !== 0 && (bits & pair[other]!) === 0) {
    throw argumentErrorsFrom(domain)(`Flag '${other}' is required by flag '${flag}'`)
  }
}
