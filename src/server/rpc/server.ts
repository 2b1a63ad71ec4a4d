// RPC on one of the shim's sockets. Loaded with its first client.
import type { Socket } from 'node:net'
import type { QemuDomain } from '../../drivers/qemu/domain.ts'
import { ShimCalls } from './calls.ts'
import { RpcClient } from './client.ts'

/** Serves one client until it goes. */
export function serveRpc(domain: QemuDomain, socket: Socket, readOnly: boolean): void {
  new RpcClient(socket, domain.log, client => new ShimCalls(domain, client, readOnly))
}
