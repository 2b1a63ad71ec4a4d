// RPC on one of a daemon's sockets. Loaded with its first client.
import type { Socket } from 'node:net'
import type { Log, QemuDomain } from '../../drivers/qemu/domain/domain.ts'
import type { Service } from '../sockets.ts'
import { RpcClient, type RpcHandler } from './client.ts'
import { ShimCalls } from './shim-calls.ts'

/** Serves a shim's clients until they go. */
export function createRpc(domain: QemuDomain, readOnly: boolean): Service {
  const service = serveRpc(domain.log, of => new ShimCalls(domain, of, readOnly))
  return {
    ...service,
    accept(socket) {
      socket.once('close', domain.activity.hold())
      service.accept(socket)
    }
  }
}

/** Serves clients until they go, each by a handler of its own. */
export function serveRpc(log: Log, makeHandler: (client: RpcClient) => RpcHandler): Service {
  const clients = new Set<RpcClient>()
  return {
    accept(socket: Socket) {
      const client = new RpcClient(socket, log, makeHandler)
      clients.add(client)
      socket.once('close', () => clients.delete(client))
    },
    async close() {
      await Promise.all([...clients].map(client => client.finish()))
    }
  }
}
