// The guest's sockets. They listen from the start; what serves them is loaded when the first client comes.
import { renameSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { QemuDomain } from '../drivers/qemu/domain.ts'
import { serverSockets } from '../state/root.ts'
import type { ShimControl } from './http.ts'

/** Clients at a time per socket, as libvirtd's max_clients. */
const MAX_CLIENTS = 5000

/** Milliseconds clients have to take the answers that are under way when the shim ends. */
const CLOSE_LIMIT_MS = 1000

export interface ApiSockets {
  /** Stops listening; settles when the clients have had their answers. */
  close(): Promise<void>
}

/** What serves the connections of one socket. */
export interface Service {
  accept(socket: Socket): void
  /** settles when calls under way are answered and all connections are closed */
  close(): Promise<void>
}

interface Listener {
  server: Server
  /** once a client has come */
  service(): Promise<Service> | undefined
}

/** Opens the HTTP and RPC sockets, each for reading and writing and for reading only, for their owner only. */
export async function listen(domain: QemuDomain, control: ShimControl): Promise<ApiSockets> {
  const { apiSocket, apiReadOnlySocket, libvirtSocket, libvirtReadOnlySocket } = domain.root
  const http = (readOnly: boolean) => async () => (await import('./http.ts')).createHttp({ domain, readOnly, control })
  const rpc = (readOnly: boolean) => async () => (await import('./rpc/server.ts')).createRpc(domain, readOnly)
  const listeners = await Promise.all([
    listenAt(apiSocket, domain, http(false)),
    listenAt(apiReadOnlySocket, domain, http(true)),
    listenAt(libvirtSocket, domain, rpc(false)),
    listenAt(libvirtReadOnlySocket, domain, rpc(true))
  ])
  return {
    async close() {
      for (const { server } of listeners) server.close()
      for (const path of serverSockets(domain.root)) rmSync(path, { force: true })
      const answered = listeners.map(async ({ service }) => (await service()?.catch(() => undefined))?.close())
      await Promise.race([Promise.all(answered), sleep(CLOSE_LIMIT_MS)])
    }
  }
}

async function listenAt(path: string, domain: QemuDomain, load: () => Promise<Service>): Promise<Listener> {
  let service: Promise<Service> | undefined
  const server = createServer({ pauseOnConnect: true }, socket => {
    socket.on('error', () => socket.destroy())
    service ??= load()
    service.then(
      ready => {
        ready.accept(socket)
        socket.resume()
      },
      error => {
        domain.log.error({ err: error, path }, 'what serves this socket cannot be loaded')
        socket.destroy()
      }
    )
  })
  server.maxConnections = MAX_CLIENTS
  // under a name of its own first: once the socket can be seen, it accepts connections
  const unready = `${path}.new`
  rmSync(unready, { force: true })
  const mask = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(unready, resolve)
    })
    renameSync(unready, path)
  } finally {
    process.umask(mask)
  }
  return { server, service: () => service }
}
