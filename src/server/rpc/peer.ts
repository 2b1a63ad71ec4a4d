// Another host's daemon over libvirt's protocol: a connection of a guest's that goes there by itself.
import { errorsFrom } from '../../conf/error.ts'
import { type TypedValue, typed } from '../../conf/wire.ts'
import type { GuestHandle } from '../../drivers/connection.ts'
import type { MigrationPhase, Peer } from '../../drivers/migration.ts'
import { type Address, connectTo } from '../../host/connect-to.ts'
import { REMOTE_PROGRAM } from './frame.ts'
import { Link } from './link.ts'
import { findProcedure } from './procedures.ts'

const fail = errorsFrom('VIR_FROM_NONE')

const SUPPORTS_FEATURE = 60
const PREPARE3_PARAMS = 303
const FINISH3_PARAMS = 306

/** libvirtd's port for TCP without TLS. */
const TCP_PORT = 16509
const SYSTEM_SOCKET = '/run/libvirt/libvirt-sock'

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
  let isLost = false
  const link = new Link(
    { socket: uri, connection: socket, uri: 'qemu:///system', readOnly: false, asksForAuth: true, what: `'${uri}'` },
    {
      frame: () => undefined,
      ended() {
        isLost = true
        for (const listener of listeners) listener()
      }
    }
  )
  await link.opened()
  const call = (procedure: number, args: Record<string, unknown>) =>
    link.call({ program: REMOTE_PROGRAM, procedure, layout: findProcedure(REMOTE_PROGRAM, procedure)! }, args)
  return {
    supports: async feature => Boolean((await call(SUPPORTS_FEATURE, { feature })).supported),
    async prepare(phase) {
      const { cookie_out: cookie, uri_out: given } = await call(PREPARE3_PARAMS, argumentsOf(phase))
      return { cookie: cookie as Uint8Array, uri: (given as string | null) ?? undefined }
    },
    async finish({ cancelled, ...phase }) {
      const args = { ...argumentsOf(phase), cancelled: Number(cancelled) }
      const { dom, cookie_out: cookie } = await call(FINISH3_PARAMS, args)
      return { dom: dom as GuestHandle, cookie: cookie as Uint8Array }
    },
    get isLost() {
      return isLost
    },
    onLost: listener => void listeners.push(listener),
    close: () => link.close()
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
