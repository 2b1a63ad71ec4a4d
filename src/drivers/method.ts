// The shape of an API's row: everything that is known of one libvirt API, beside its code.
import { flags, type WireFields, type WireValues } from '../conf/wire.ts'
import type { JobKind } from '../state/job.ts'

/** How a result leaves when it is not plain JSON. */
export interface Stream {
  /** MIME type of a body; absent for two-way streams (WebSocket) */
  mime: string
  body: Buffer
}

/** A two-way byte stream of the guest: console or channel. */
export interface ByteChannel {
  write(data: Buffer): void
  onData(listener: (data: Buffer) => void): void
  onClose(listener: (reason: string) => void): void
  close(): void
}

/** One of those with any number of viewers: everyone sees the output, anyone may type. */
export interface SharedByteChannel {
  view(): ByteChannel
  /** ends all views */
  end(reason: string): void
}

/** One API. `args` and `ret` are in wire order. */
export interface Method<D, A extends WireFields = WireFields, R extends WireFields = WireFields> {
  /** libvirt version that brought it */
  since: string
  on: 'domain' | 'connect'
  /** libvirt's access control permission */
  acl?: string
  /** the job it runs under; absent: it only reads and waits for nobody */
  job?: JobKind
  /** the guest must be running */
  needs?: 'active'
  /** the answer is a body or a two-way stream */
  stream?: 'body' | 'channel'
  args: A
  ret: R
  run(domain: D, args: WireValues<A>): WireValues<R> | Promise<WireValues<R>> | Promise<Stream> | Promise<ByteChannel>
}

/** Row makers for one driver: `const method = methodFor<QemuDomain>()`. */
export function methodFor<D>() {
  return <const A extends WireFields, const R extends WireFields>(row: Method<D, A, R>): Method<D, A, R> => row
}

/** The flags argument of calls that define none. */
export const noFlags = { flags: flags() }
