// Changes to the screens of a running guest: their passwords; all else is fixed (qemuDomainChangeGraphics).
import { isDeepStrictEqual } from 'node:util'
import type { GraphicsDef, GraphicsOf } from '../../../../conf/devices/graphics.ts'
import type { ListenDef } from '../../../../conf/devices/graphics-listen.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { LiveGuest } from '../family.ts'
import { setGraphicsPassword } from './password.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

type Server = GraphicsOf<'vnc'> | GraphicsOf<'spice'>

/**
 * Gives a server another password, or another time for it to expire. Without one in what is asked for, and in the
 * driver's settings, QEMU keeps the password it has; windows of other kinds stay as they are, which is no error.
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for any other change
 */
export async function changeGraphics(dev: GraphicsDef, there: GraphicsDef, { qmp, log }: LiveGuest): Promise<void> {
  checkListens(dev, there)
  if (!isServer(dev) || !isServer(there)) return
  checkServer(dev, there)
  if (!isPasswordMeant(dev, there)) return
  try {
    await setGraphicsPassword(dev, qmp)
  } catch (error) {
    // it may have the password already, and not its end
    await setGraphicsPassword(there, qmp).catch(failed => log.warn({ err: failed }, 'a password could not be set back'))
    throw error
  }
  if (dev.password) there.password = dev.password
  else delete there.password
}

const isServer = (dev: GraphicsDef): dev is Server => dev.type === 'vnc' || dev.type === 'spice'

/** A time to expire counts anew with each call, and so does the end of connections. */
function isPasswordMeant({ type, password: wanted }: Server, { password: had }: Server): boolean {
  if (wanted?.validTo !== undefined || had?.validTo !== undefined) return true
  if (type === 'spice' && wanted?.connected === 'disconnect') return true
  return !isDeepStrictEqual(wanted, had)
}

/** What says where each kind of place is. */
const PLACES: Record<ListenDef['type'], (listen: ListenDef) => string | undefined> = {
  address: ({ address }) => address,
  network: ({ network }) => network,
  socket: ({ socket }) => socket,
  none: () => undefined
}

function checkListens(dev: GraphicsDef, there: GraphicsDef): void {
  const listens = listensOf(there)
  const wanted = listensOf(dev)
  const fixed = (what: string) =>
    fail('VIR_ERR_OPERATION_UNSUPPORTED', `cannot change ${what} on '${dev.type}' graphics`)
  if (wanted.length !== listens.length) throw fixed('the number of listen addresses')
  for (const [i, listen] of wanted.entries()) {
    const { type } = listen
    if (type !== listens[i]!.type) throw fixed('the type of listen address')
    if (PLACES[type](listen) === PLACES[type](listens[i]!)) continue
    throw fixed(`listen ${type === 'socket' ? 'socket' : 'address'} setting`)
  }
}

const listensOf = (dev: GraphicsDef): readonly ListenDef[] => ('listens' in dev ? dev.listens : [])

function checkServer(dev: Server, there: Server): void {
  const fixed = (what: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', `cannot change ${what} on ${dev.type} graphics`)
  const isSamePort = dev.autoport || (dev.port === there.port && tlsPort(dev) === tlsPort(there))
  if (dev.autoport !== there.autoport || !isSamePort) throw fixed('port settings')
  if (dev.keymap !== there.keymap) throw fixed('keymap setting')
}

const tlsPort = (dev: Server) => (dev.type === 'spice' ? dev.tlsPort : undefined)
