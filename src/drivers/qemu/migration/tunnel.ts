// A migration through libvirt's own connection: its bytes go in packets of a stream between the daemons, and each side's
// QEMU has a socket that ends here. Neither side reads faster than the other one takes (qemuMigrationIOFunc).
import type { Socket } from 'node:net'
import { socketPair } from '../../../host/pass-descriptor.ts'
import type { ByteChannel } from '../../method.ts'
import type { PeerStream } from '../../migration.ts'

/** What leaves QEMU. */
export interface TunnelOut {
  /** for QEMU; to be closed here once it has it */
  theirs: Socket
  /** Settles once the other side has taken all. @throws what it says */
  sent: Promise<void>
  stop(): void
}

/** @param directory ours alone */
export async function tunnelTo(stream: PeerStream, directory: string): Promise<TunnelOut> {
  const [ours, theirs] = await socketPair(directory)
  stream.onDrain(() => void ours.resume())
  ours.on('data', chunk => {
    if (!stream.write(chunk)) ours.pause()
  })
  ours.on('error', () => undefined)
  const sent = new Promise<void>((done, refuse) => {
    ours.once('close', () => stream.finish().then(done, refuse))
  })
  sent.catch(() => undefined)
  ours.resume()
  return {
    theirs,
    sent,
    stop() {
      ours.removeAllListeners('close')
      ours.destroy()
      stream.abort()
    }
  }
}

/** What QEMU is to take. @param directory ours alone */
export async function tunnelFrom(directory: string): Promise<{ theirs: Socket; channel: ByteChannel }> {
  const [ours, theirs] = await socketPair(directory)
  ours.on('error', () => undefined)
  const channel: ByteChannel = {
    write: data => ours.destroyed || ours.write(data),
    // QEMU says nothing on it
    onData: () => ours.resume(),
    onDrain: listener => void ours.on('drain', listener),
    onClose: listener => void ours.once('close', () => listener('QEMU has what it was to have')),
    close: () => void ours.end()
  }
  return { theirs, channel }
}
