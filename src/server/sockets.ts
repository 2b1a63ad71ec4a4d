// The guest's sockets. They listen from the start; what serves them is loaded when the first client comes.
import { renameSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { QemuDomain } from '../drivers/qemu/domain.ts'
import { serverSockets } from '../state/root.ts'
import type { ShimControl } from './http.ts'

/** Clients at a time per socket, as libvirtd's max_clients. */
const MAX_CLIENTS = 5000

export interface ApiSockets {
  close(): void
}

/** Takes over connections of one socket. */
type Accept = (socket: Socket) => void

/** Opens the HTTP and RPC sockets, each for reading and writing and for reading only, for their owner only. */
export async function listen(domain: QemuDomain, control: ShimControl): Promise<ApiSockets> {
  const { apiSocket, apiReadOnlySocket, libvirtSocket, libvirtReadOnlySocket } = domain.root
  const http = (readOnly: boolean) => async () =>
    (await (await import('./http.ts')).createHttp({ domain, readOnly, control })).accept
  const rpc = (readOnly: boolean) => async () => {
    const { serveRpc } = await import('./rpc/server.ts')
    return (socket: Socket) => serveRpc(domain, socket, readOnly)
  }
  const servers = await Promise.all([
    listenAt(apiSocket, domain, http(false)),
    listenAt(apiReadOnlySocket, domain, http(true)),
    listenAt(libvirtSocket, domain, rpc(false)),
    listenAt(libvirtReadOnlySocket, domain, rpc(true))
  ])
  return {
    close() {
      for (const server of servers) server.close()
      for (const path of serverSockets(domain.root)) rmSync(path, { force: true })
    }
  }
}

async function listenAt(path: string, domain: QemuDomain, load: () => Promise<Accept>): Promise<Server> {
  let loading: Promise<Accept> | undefined
  const server = createServer({ pauseOnConnect: true }, socket => {
    socket.on('error', () => socket.destroy())
    loading ??= load()
    loading.then(
      accept => {
        accept(socket)
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
  return server
}
