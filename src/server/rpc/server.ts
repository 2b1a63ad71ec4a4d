// RPC on one of the shim's sockets. Loaded with its first client.
import type { Socket } from 'node:net'
import type { QemuDomain } from '../../drivers/qemu/domain.ts'
import type { Service } from '../sockets.ts'
import { RpcClient } from './client.ts'
import { ShimCalls } from './shim-calls.ts'

/** Serves clients until they go. */
export function createRpc(domain: QemuDomain, readOnly: boolean): Service {
  const clients = new Set<RpcClient>()
  return {
    accept(socket: Socket) {
      const client = new RpcClient(socket, domain.log, of => new ShimCalls(domain, of, readOnly))
      clients.add(client)
      socket.once('close', () => clients.delete(client))
    },
    async close() {
      await Promise.all([...clients].map(client => client.finish()))
    }
  }
}
