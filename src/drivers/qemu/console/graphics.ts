// Connections to a guest's screen, a client's or our own: QEMU is handed a socket it serves (qemuDomainOpenGraphics).
import type { Socket } from 'node:net'
import { virDomainOpenGraphicsFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { socketPair } from '../../../host/pass-descriptor.ts'
import type { ReceivedFile } from '../../../host/received-files.ts'
import type { FileChannel } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Name of the descriptor in QEMU until it is used. */
const FDNAME = 'graphicsfd'

/** Kinds of screens that take a client's connection, and QEMU's names of them. */
const PROTOCOLS: Readonly<Record<string, string>> = { vnc: 'vnc', spice: 'spice', dbus: '@dbus-display' }

/**
 * Has QEMU serve a screen over a connection it is handed.
 * @param index of the `<graphics>` element
 * @param flags virDomainOpenGraphicsFlags
 * @throws VIR_ERR_INTERNAL_ERROR for a screen there is not, VIR_ERR_CONFIG_UNSUPPORTED for one of another kind
 */
export async function connectScreen(
  { def, qmp }: QemuDomain,
  index: number,
  flags: number,
  file: Socket | ReceivedFile
): Promise<void> {
  const screen = def.devices.graphics[index]
  if (!screen) throw fail('VIR_ERR_INTERNAL_ERROR', `No graphics backend with index ${index}`)
  const protocol = PROTOCOLS[screen.type]
  if (protocol === undefined) {
    const which = `Can only open VNC, SPICE or D-Bus p2p graphics backends, not ${screen.type}`
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', which)
  }
  const skipauth = (flags & virDomainOpenGraphicsFlags.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH) !== 0
  await qmp.passFile(FDNAME, file)
  try {
    await qmp.execute('add_client', { protocol, fdname: FDNAME, skipauth })
  } catch (error) {
    await qmp.execute('closefd', { fdname: FDNAME }).catch(() => undefined)
    throw error
  }
}

/** Opens a screen by a connection of our own. @throws as connectScreen */
export async function openScreen(domain: QemuDomain, index: number, flags: number): Promise<FileChannel> {
  const [ours, theirs] = await socketPair(domain.root.dir)
  try {
    await connectScreen(domain, index, flags, theirs)
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
