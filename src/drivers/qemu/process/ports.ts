// TCP ports of a guest about to start: free ones are found and held until QEMU listens on them itself
// (qemuProcessGraphicsReservePorts, qemuProcessGraphicsAllocatePorts, virPortAllocatorAcquire).
import { createServer, type Server } from 'node:net'
import type { GraphicsDef } from '../../../conf/devices/graphics.ts'
import { listensOnPort } from '../../../conf/devices/graphics-server.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuConfig } from '../context.ts'
import { spicePorts } from '../device/graphics/prepare.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A port that was chosen from a range, and where it goes. */
export interface ChosenPort {
  what: string
  first: number
  last: number
  port: number
  set(port: number): void
}

/**
 * Ports held for one guest. Between finding a port free and QEMU listening on it another shim could find it too, so
 * each is locked by a socket in the abstract namespace, which like the ports themselves is the network namespace's.
 */
export class HeldPorts {
  /** those the definition leaves open */
  readonly chosen: ChosenPort[] = []
  #locks = new Map<number, Server>()
  #used = new Set<number>()

  /** Notes a port that the definition names, so that it is not chosen: QEMU itself fails if it is taken. */
  use(port: number | undefined): void {
    if (port) this.#used.add(port)
  }

  /** The lowest free port of the range. @throws VIR_ERR_INTERNAL_ERROR when there is none */
  async acquire(what: string, first: number, last: number): Promise<number> {
    for (let port = first; port <= last; port++) if (!this.#used.has(port) && (await this.#hold(port))) return port
    throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to find an unused port in range '${what}' (${first}-${last})`)
  }

  /** Acquires a port and puts it to use with `set`; the aggregator, which sees all guests, may change it yet. */
  async choose(what: string, first: number, last: number, set: (port: number) => void): Promise<void> {
    const port = await this.acquire(what, first, last)
    set(port)
    this.chosen.push({ what, first, last, port, set })
  }

  /**
   * Takes others instead of the ports chosen, in their order. For one that is not free the next free one is chosen, and
   * false is given: the aggregator has to agree to that, too.
   */
  async change(ports: readonly number[]): Promise<boolean> {
    let isFree = true
    for (const [i, choice] of this.chosen.entries()) {
      const wanted = ports[i]!
      if (!this.#locks.has(wanted) && !(await this.#hold(wanted))) {
        isFree = false
        choice.port = await this.acquire(choice.what, wanted < choice.last ? wanted + 1 : choice.first, choice.last)
      } else choice.port = wanted
      choice.set(choice.port)
    }
    const kept = new Set(this.chosen.map(({ port }) => port))
    for (const [port, lock] of this.#locks) {
      if (kept.has(port)) continue
      this.#locks.delete(port)
      this.#used.delete(port)
      lock.close()
    }
    return isFree
  }

  /** Those the definition names where somebody listens already: QEMU cannot have them. */
  async taken(): Promise<number[]> {
    const named = [...this.#used].filter(port => !this.#locks.has(port))
    const free = await Promise.all(named.map(isFree))
    return named.filter((_, i) => !free[i])
  }

  /** Lets go of all, once QEMU listens or will not. */
  release(): void {
    for (const lock of this.#locks.values()) lock.close()
    this.#locks.clear()
  }

  /** Holds a port if it is free. */
  async #hold(port: number): Promise<boolean> {
    const lock = await listening(`\0virshim/tcp-port/${port}`)
    if (!lock) return false
    if (!(await isFree(port))) {
      await closed(lock)
      return false
    }
    this.#locks.set(port, lock)
    this.#used.add(port)
    return true
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

async function isFree(port: number): Promise<boolean> {
  const probe = await listening(port)
  await closed(probe)
  return probe !== undefined
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
  const remote = (set: (port: number) => void) =>
    held.choose('display', config.remotePortMin, config.remotePortMax, set)
  if (dev.type === 'vnc' && listensOnPort(dev)) {
    if (dev.autoport) {
      await remote(port => {
        dev.port = port
      })
    }
    if (dev.websocket === -1 || dev.websocketGenerated) {
      await held.choose('webSocket', config.webSocketPortMin, config.webSocketPortMax, port => {
        dev.websocket = port
      })
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
    if (needs.port) {
      await remote(port => {
        dev.port = port
      })
    }
    if (needs.tlsPort) {
      await remote(port => {
        dev.tlsPort = port
      })
    }
  }
}
