// A connection of our own to a guest's screen, made by QEMU out of a socket that is handed to it (qemuDomainOpenGraphics).
import type { Socket } from 'node:net'
import { virDomainOpenGraphicsFlags } from '../../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../../conf/error.ts'
import { socketPair } from '../../../host/pass-descriptor.ts'
import type { FileChannel } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = argumentErrorsFrom('VIR_FROM_QEMU')

/** Name of the descriptor in QEMU until it is used. */
const FDNAME = 'graphicsfd'

/** Kinds of screens that take a client's connection, as QEMU names them too. */
const PROTOCOLS: readonly string[] = ['vnc', 'spice']

/**
 * Opens a screen.
 * @param index of the `<graphics>` element
 * @param flags virDomainOpenGraphicsFlags
 * @throws VIR_ERR_INTERNAL_ERROR for a screen there is not, VIR_ERR_INVALID_ARG for one of another kind
 */
export async function openGraphics(domain: QemuDomain, index: number, flags: number): Promise<FileChannel> {
  const { def, qmp, root } = domain
  const screen = def.devices.graphics[index]
  if (!screen) throw fail('VIR_ERR_INTERNAL_ERROR', `No graphics backend with index ${index}`)
  const { type: protocol } = screen
  if (!PROTOCOLS.includes(protocol)) {
    throw badArgument(`Can only open VNC, SPICE or D-Bus p2p graphics backends, not ${protocol}`)
  }
  const skipauth = (flags & virDomainOpenGraphicsFlags.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH) !== 0
  const [ours, theirs] = await socketPair(root.dir)
  try {
    await qmp.passFile(FDNAME, theirs)
    try {
      await qmp.execute('add_client', { protocol, fdname: FDNAME, skipauth })
    } catch (error) {
      await qmp.execute('closefd', { fdname: FDNAME }).catch(() => undefined)
      throw error
    }
    return channelOf(ours)
  } catch (error) {
    ours.destroy()
    throw error
  } finally {
    theirs.destroy()
  }
}

/** The connection as a stream, for those who cannot be handed a file. */
function channelOf(file: Socket): FileChannel {
  file.on('error', () => file.destroy())
  return {
    file,
    write: data => file.write(data),
    // it was not read before, so that it could be handed on
    onData: listener => file.on('data', listener).resume(),
    onDrain: listener => file.on('drain', listener),
    onClose: listener => file.on('close', () => listener('the screen was closed')),
    close: () => file.destroy()
  }
}
