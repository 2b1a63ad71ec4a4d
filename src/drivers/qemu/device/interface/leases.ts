// Addresses that libvirt's networks have given to a guest's interfaces.
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import type { Lease } from '../../../secondary-drivers.ts'
import type { QemuContext } from '../../context.ts'

/**
 * The leases of each interface on a network.
 * Differs from libvirt: a guest without such interfaces has none, a network driver or not.
 * @throws what the network driver says, VIR_ERR_NO_CONNECT without one
 */
export async function interfaceLeases(
  { devices: { interfaces } }: DomainDef,
  { drivers }: Pick<QemuContext, 'drivers'>
): Promise<{ net: InterfaceDef; leases: Lease[] }[]> {
  const nets = interfaces.flatMap(net =>
    net.source.type === 'network' ? [{ net, network: net.source.network, mac: net.mac }] : []
  )
  if (nets.length === 0 || !drivers) return []
  const leases = await (await drivers()).leases(nets)
  return nets.map(({ net }, i) => ({ net, leases: leases[i]! }))
}
