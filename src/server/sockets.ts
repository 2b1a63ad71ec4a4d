// The guest's API sockets. They listen from the start; HTTP is loaded when the first client comes.
import { renameSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { QemuDomain } from '../drivers/qemu/domain.ts'
import type { ShimControl } from './http.ts'

/** Clients at a time per socket, as libvirtd's max_clients. */
const MAX_CLIENTS = 5000

export interface ApiSockets {
  close(): void
}

/** Opens api.sock and api-ro.sock, for their owner only. */
export async function listen(domain: QemuDomain, control: ShimControl): Promise<ApiSockets> {
  const { apiSocket, apiReadOnlySocket } = domain.root
  const servers = await Promise.all([
    listenAt(apiSocket, domain, control, false),
    listenAt(apiReadOnlySocket, domain, control, true)
  ])
  return {
    close() {
      for (const server of servers) server.close()
      for (const path of [apiSocket, apiReadOnlySocket]) rmSync(path, { force: true })
    }
  }
}

async function listenAt(path: string, domain: QemuDomain, control: ShimControl, readOnly: boolean): Promise<Server> {
  let http: Promise<{ accept(socket: Socket): void }> | undefined
  const server = createServer({ pauseOnConnect: true }, socket => {
    socket.on('error', () => socket.destroy())
    http ??= import('./http.ts').then(({ createHttp }) => createHttp({ domain, readOnly, control }))
    http.then(
      ({ accept }) => {
        accept(socket)
        socket.resume()
      },
      error => {
        domain.log.error({ err: error }, 'HTTP cannot be loaded')
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
