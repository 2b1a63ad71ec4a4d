// Unix sockets of a daemon. They listen from the start; what serves them is loaded when the first client comes.
import { renameSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log, QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { serverSockets } from '../state/root.ts'
import type { ShimControl } from './http.ts'
import { applyAccess, letPass, OWNER_ONLY, type SocketAccess } from './socket-access.ts'

/** Clients at a time per socket, as libvirtd's max_clients. */
const MAX_CLIENTS = 5000

/**
 * Milliseconds for the answers that are under way when the shim ends: a guest that has gone by itself ends the shim before
 * the call that sent it away is answered, and its client would take that for a failure.
 */
const CLOSE_LIMIT_MS = 10_000

/** A start that takes longer than this shares its time with the clients that have come. */
const START_LIMIT_MS = 500

export interface ApiSockets {
  /** Nobody finds the sockets any more; who has connected is served on. */
  hide(): void
  /** They can be found again. */
  show(): void
  /** Removes the sockets before it returns; settles when the clients have had their answers. */
  close(): Promise<void>
}

/** Server of the connections of one socket. */
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

/** A socket and what serves it. */
export interface Served {
  path: string
  load(): Promise<Service>
  /** absent: its owner alone may use it */
  access?: SocketAccess
}

/** Opens the shim's HTTP and RPC sockets, each for reading and writing and for reading only. */
export function listen(domain: QemuDomain, control: ShimControl, access: SocketAccess): Promise<ApiSockets> {
  const { apiSocket, apiReadOnlySocket, libvirtSocket, libvirtReadOnlySocket } = domain.root
  const http = (readOnly: boolean) => async () => {
    await startOver(domain)
    const { createReportService } = await import('./report-service.ts')
    return createReportService(domain, async () =>
      (await import('./http.ts')).createHttp({ domain, readOnly, control })
    )
  }
  const rpc = (readOnly: boolean) => async () => {
    await startOver(domain)
    return (await import('./rpc/server.ts')).createRpc(domain, readOnly, control.activity)
  }
  const sockets = [
    { path: apiSocket, load: http(false) },
    { path: apiReadOnlySocket, load: http(true) },
    { path: libvirtSocket, load: rpc(false) },
    { path: libvirtReadOnlySocket, load: rpc(true) }
  ].map(socket => ({ ...socket, access }))
  letPass(domain.root.dir, [access])
  return serve(domain.log, sockets, {
    paths: () => serverSockets(domain.root),
    onConnect: () => control.activity.touch()
  })
}

/**
 * An aggregator connects as soon as there is a socket, in the middle of the start: what serves it would take the CPU
 * time that reads QEMU's first answers.
 */
async function startOver({ startDone }: QemuDomain): Promise<void> {
  const limit = new AbortController()
  const { signal } = limit
  await Promise.race([startDone, sleep(START_LIMIT_MS, undefined, { signal }).catch(() => undefined)])
  limit.abort()
  // callers that wait for the guest hear of it first
  await sleep(0)
}

export interface ServeOptions {
  /** the places of the sockets now: a directory that is renamed takes them along */
  paths?(): string[]
  onConnect?(): void
}

/** The name of a socket that is not to be found; as long as that of one not yet ready. */
const hidden = (path: string) => `${path}.old`

/** Opens sockets. */
export async function serve(log: Log, sockets: Served[], options: ServeOptions = {}): Promise<ApiSockets> {
  const { paths = () => sockets.map(({ path }) => path), onConnect = () => {} } = options
  const listeners = await Promise.all(sockets.map(one => listenAt(log, one, onConnect)))
  return {
    hide() {
      for (const path of paths()) renameSync(path, hidden(path))
    },
    show() {
      for (const path of paths()) renameSync(hidden(path), path)
    },
    async close() {
      for (const { server } of listeners) server.close()
      for (const path of paths()) for (const name of [path, hidden(path)]) rmSync(name, { force: true })
      const answered = listeners.map(async ({ service }) => (await service()?.catch(() => undefined))?.close())
      await Promise.race([Promise.all(answered), sleep(CLOSE_LIMIT_MS)])
    }
  }
}

async function listenAt(
  log: Log,
  { path, load, access = OWNER_ONLY }: Served,
  onConnect: () => void
): Promise<Listener> {
  let service: Promise<Service> | undefined
  const server = createServer({ pauseOnConnect: true }, socket => {
    socket.on('error', () => socket.destroy())
    onConnect()
    service ??= load()
    service.then(
      ready => {
        ready.accept(socket)
        socket.resume()
      },
      error => {
        log.error({ err: error, path }, 'what serves this socket cannot be loaded')
        socket.destroy()
      }
    )
  })
  server.maxConnections = MAX_CLIENTS
  // under a name of its own first: once the socket can be seen, it accepts connections
  const unready = `${path}.new`
  rmSync(unready, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', resolve)
    // the socket is made within this call; all of the process shares the mask, so it may not last any longer
    const mask = process.umask(0o177)
    try {
      server.listen(unready)
    } finally {
      process.umask(mask)
    }
  })
  applyAccess(unready, access)
  renameSync(unready, path)
  return { server, service: () => service }
}
