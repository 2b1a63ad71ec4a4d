// Another host's daemon over libvirt's protocol: a connection of a guest's that goes there by itself.
import { errorsFrom, type VirError } from '../../conf/error.ts'
import { type TypedValue, typed } from '../../conf/wire.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import type { MigrationPhase, Peer, PeerStream } from '../../drivers/migration.ts'
import { type Address, connectTo } from '../../host/connect-to.ts'
import {
  type Frame,
  frameKey,
  type Header,
  MessageStatus,
  MessageType,
  makeFrame,
  makeRawFrame,
  REMOTE_PROGRAM,
  readError,
  readerOf
} from './frame.ts'
import { Link } from './link.ts'
import { findProcedure } from './procedures.ts'

const fail = errorsFrom('VIR_FROM_NONE')

const SUPPORTS_FEATURE = 60
/** The daemon then asks whether we are there, and ends what waits for us if we are not. */
const KEEPALIVE_FEATURE = 10
const PREPARE3_PARAMS = 303
const PREPARE_TUNNEL3_PARAMS = 304
const FINISH3_PARAMS = 306

/** libvirtd's port for TCP without TLS. */
const TCP_PORT = 16509
const SYSTEM_SOCKET = '/run/libvirt/libvirt-sock'
/** A guest goes through one stream at a time. */
const EARLY_MAX = 4

/**
 * Where the daemon of a connection URI is: this host's or another's, by socket or TCP.
 * @throws VIR_ERR_INVALID_ARG for what is no URI, VIR_ERR_NO_CONNECT for a way there is none of
 */
export function daemonOf(uri: string): Address {
  const parts = /^qemu(?:\+([a-z0-9]+))?:\/\/(\[[^\]/]*\]|[^:/?#]*)(?::(\d{1,5}))?(\/[^?#]*)?(?:\?(.*))?$/.exec(uri)
  if (!parts) throw fail('VIR_ERR_INVALID_ARG', `unable to parse URI ${uri}`)
  const [, transport, server = '', port, , query = ''] = parts
  const host = server.replace(/^\[|\]$/g, '')
  const socket = new URLSearchParams(query).get('socket')
  if (transport === 'unix' || (transport === undefined && host === '')) return { path: socket ?? SYSTEM_SOCKET }
  if (transport === 'tcp' && host !== '') return { host, port: Number(port ?? TCP_PORT) }
  throw fail('VIR_ERR_NO_CONNECT', uri)
}

/** Connects to the daemon of a URI. @throws as daemonOf, VIR_ERR_SYSTEM_ERROR, VIR_ERR_OPERATION_FAILED */
export async function openPeer(uri: string): Promise<Peer> {
  const socket = await connectTo(daemonOf(uri))
  const listeners: (() => void)[] = []
  const streams = new Map<string, StreamOut>()
  /** ends of streams that came together with the answer to the call that opens them */
  const early = new Map<string, Frame>()
  let lostBy: VirError | undefined
  const link = new Link(
    { socket: uri, connection: socket, uri: 'qemu:///system', readOnly: false, asksForAuth: true, what: `'${uri}'` },
    {
      frame(frame) {
        const key = frameKey(frame)
        const stream = streams.get(key)
        if (stream) stream.heard(frame)
        else if (frame.type === MessageType.STREAM && early.size < EARLY_MAX) early.set(key, frame)
      },
      ended(error) {
        lostBy = error
        for (const stream of streams.values()) stream.lost(error)
        for (const listener of listeners) listener()
      },
      drained() {
        for (const stream of streams.values()) stream.drained()
      },
      // between two calls the guest is on its way
      isWaiting: true
    }
  )
  await link.opened()
  const call = (procedure: number, args: Record<string, unknown>) =>
    link.call({ program: REMOTE_PROGRAM, procedure, layout: findProcedure(REMOTE_PROGRAM, procedure)! }, args)
  const supports = async (feature: number) => Boolean((await call(SUPPORTS_FEATURE, { feature })).supported)
  await supports(KEEPALIVE_FEATURE)
  return {
    supports,
    async prepare(phase) {
      const { cookie_out: cookie, uri_out: given } = await call(PREPARE3_PARAMS, argumentsOf(phase))
      return { cookie: cookie as Uint8Array, uri: (given as string | null) ?? undefined }
    },
    async prepareTunnel(phase) {
      const called = { program: REMOTE_PROGRAM, procedure: PREPARE_TUNNEL3_PARAMS }
      const layout = findProcedure(REMOTE_PROGRAM, PREPARE_TUNNEL3_PARAMS)!
      const { header, results } = await link.callWithStream({ ...called, layout }, argumentsOf(phase))
      const key = frameKey(header)
      const stream = new StreamOut(link, header, () => streams.delete(key))
      streams.set(key, stream)
      const end = early.get(key)
      early.clear()
      if (end) stream.heard(end)
      else if (lostBy) stream.lost(lostBy)
      return { cookie: results.cookie_out as Uint8Array, stream }
    },
    async finish({ cancelled, ...phase }) {
      const args = { ...argumentsOf(phase), cancelled: Number(cancelled) }
      const { dom, cookie_out: cookie } = await call(FINISH3_PARAMS, args)
      return { dom: dom as GuestHandle, cookie: cookie as Uint8Array }
    },
    get isLost() {
      return lostBy !== undefined
    },
    onLost: listener => void listeners.push(listener),
    close: () => link.close()
  }
}

/** A stream of ours: bytes go, and its end comes back. */
class StreamOut implements PeerStream {
  readonly #link: Link
  readonly #header: Header
  readonly #ended: Promise<void>
  readonly #forget: () => void
  #settle: (error?: VirError) => void = () => {}
  #drained = () => {}

  constructor(link: Link, header: Header, forget: () => void) {
    this.#link = link
    this.#header = { ...header, type: MessageType.STREAM }
    this.#forget = forget
    this.#ended = new Promise((done, refuse) => {
      this.#settle = error => (error ? refuse(error) : done())
    })
    this.#ended.catch(() => undefined)
  }

  write(data: Buffer): boolean {
    const packets = makeRawFrame({ ...this.#header, status: MessageStatus.CONTINUE }, data)
    for (const packet of packets) this.#link.send(packet)
    return !this.#link.isBusy
  }

  onDrain(listener: () => void): void {
    this.#drained = listener
  }

  finish(): Promise<void> {
    this.#link.send(makeFrame({ ...this.#header, status: MessageStatus.OK }))
    return this.#ended
  }

  abort(): void {
    this.#link.send(makeFrame({ ...this.#header, status: MessageStatus.ERROR }))
    this.#forget()
  }

  drained(): void {
    this.#drained()
  }

  heard(frame: Frame): void {
    if (frame.status === MessageStatus.CONTINUE) return
    this.#forget()
    this.#settle(frame.status === MessageStatus.ERROR ? readError(readerOf(frame)) : undefined)
    this.#drained()
  }

  lost(error: VirError): void {
    this.#settle(error)
    this.#drained()
  }
}

/** A phase's arguments as the protocol has them: a parameter that is a list comes once for each. */
function argumentsOf({ params, flags, cookie }: MigrationPhase): Record<string, unknown> {
  const each = Object.entries(params).flatMap(([name, given]) =>
    (Array.isArray(given) ? given : [given]).map(value => ({ [name]: typedOf(value) }))
  )
  return { params: each, cookie_in: cookie ?? Buffer.alloc(0), flags }
}

const typedOf = (value: string | number | bigint): TypedValue =>
  typeof value === 'string' ? typed.string(value) : typeof value === 'bigint' ? typed.ullong(value) : typed.int(value)
