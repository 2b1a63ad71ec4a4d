// Addresses of the host's RDMA device behind a paravirtual one.
import { runHostCommand } from './command.ts'

/** Gives or takes the address a GID stands for (processRdmaGidStatusChangedEvent). Both halves are in network order. */
export async function setRdmaAddress(netdev: string, add: boolean, prefix: bigint, interfaceId: bigint): Promise<void> {
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64LE(BigInt.asUintN(64, prefix))
  bytes.writeBigUInt64LE(BigInt.asUintN(64, interfaceId), 8)
  const groups = bytes.toString('hex').match(/.{4}/g) ?? []
  const address = prefix === 0n ? `${[...bytes.subarray(12)].join('.')}/24` : `${groups.join(':')}/64`
  await runHostCommand('ip', ['address', add ? 'add' : 'del', address, 'dev', netdev])
}
