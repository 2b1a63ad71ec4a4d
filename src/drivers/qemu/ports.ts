// TCP ports of a guest about to start: free ones are found and held until QEMU listens on them itself
// (qemuProcessGraphicsReservePorts, qemuProcessGraphicsAllocatePorts, virPortAllocatorAcquire).
import { createServer, type Server } from 'node:net'
import type { GraphicsDef } from '../../conf/devices/graphics.ts'
import { listensOnPort } from '../../conf/devices/graphics-server.ts'
import type { DomainDef } from '../../conf/domain-def.ts'
import { errorsFrom } from '../../conf/error.ts'
import type { QemuConfig } from './context.ts'
import { spicePorts } from './prepare-graphics.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/**
 * Ports held for one guest. Between finding a port free and QEMU listening on it another shim could find it too, so
 * each is locked by a socket in the abstract namespace, which like the ports themselves is the network namespace's.
 */
export class HeldPorts {
  #locks: Server[] = []
  #used = new Set<number>()

  /** The guest names this port itself: QEMU will say if it is taken. */
  use(port: number | undefined): void {
    if (port) this.#used.add(port)
  }

  /** The lowest free port of the range. @throws VIR_ERR_INTERNAL_ERROR when there is none */
  async acquire(what: string, first: number, last: number): Promise<number> {
    for (let port = first; port <= last; port++) {
      if (this.#used.has(port)) continue
      const lock = await listening(`\0virshim/tcp-port/${port}`)
      if (!lock) continue
      const probe = await listening(port)
      await closed(probe)
      if (probe) {
        this.#locks.push(lock)
        this.#used.add(port)
        return port
      }
      await closed(lock)
    }
    throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to find an unused port in range '${what}' (${first}-${last})`)
  }

  /** Lets go of all, once QEMU listens or will not. */
  release(): void {
    for (const lock of this.#locks.splice(0)) lock.close()
  }
}

/** A server there, or undefined if the place is taken or not ours to take. */
function listening(place: string | number): Promise<Server | undefined> {
  const server = createServer(socket => socket.destroy())
  return new Promise(done => {
    server.once('error', () => done(undefined))
    server.listen(typeof place === 'number' ? { port: place, exclusive: true } : { path: place }, () => done(server))
  })
}

const closed = (server: Server | undefined) => new Promise<void>(done => (server ? server.close(() => done()) : done()))

/**
 * Chooses the ports a definition leaves open; those it names are left alone and not chosen for others.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for an encrypted Spice server where TLS is off
 */
export async function allocatePorts({ devices }: DomainDef, config: QemuConfig): Promise<HeldPorts> {
  const held = new HeldPorts()
  try {
    for (const dev of devices.graphics) useNamedPorts(dev, held)
    for (const dev of devices.graphics) await choosePorts(dev, held, config)
    return held
  } catch (error) {
    held.release()
    throw error
  }
}

function useNamedPorts(dev: GraphicsDef, held: HeldPorts): void {
  if ((dev.type !== 'vnc' && dev.type !== 'spice') || !listensOnPort(dev)) return
  if (!dev.autoport) held.use(dev.port)
  if (dev.type === 'vnc' && !dev.websocketGenerated) held.use(dev.websocket)
  if (dev.type === 'spice' && !dev.autoport) held.use(dev.tlsPort)
}

async function choosePorts(dev: GraphicsDef, held: HeldPorts, config: QemuConfig): Promise<void> {
  const remote = () => held.acquire('display', config.remotePortMin, config.remotePortMax)
  if (dev.type === 'vnc' && listensOnPort(dev)) {
    if (dev.autoport) dev.port = await remote()
    if (dev.websocket === -1 || dev.websocketGenerated) {
      dev.websocket = await held.acquire('webSocket', config.webSocketPortMin, config.webSocketPortMax)
      dev.websocketGenerated = true
    }
  }
  if (dev.type === 'spice' && listensOnPort(dev)) {
    const needs = spicePorts(dev, config.spiceTls)
    if (needs.tlsPort && !config.spiceTls) {
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        'Auto allocation of spice TLS port requested but spice TLS is disabled in qemu.conf'
      )
    }
    if (needs.port) dev.port = await remote()
    if (needs.tlsPort) dev.tlsPort = await remote()
  }
}
