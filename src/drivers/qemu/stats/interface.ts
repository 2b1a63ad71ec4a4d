// Statistics of network interfaces, of their host side.
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import { interfaceCounters } from '../../../host/proc.ts'
import { actualSource } from '../device/interface/network-port.ts'

/** Counters from the guest's side: packets a tap device receives are those the guest has sent; a macvtap sends them. */
export function interfaceStats(net: InterfaceDef): Record<string, bigint> | undefined {
  const host = net.target?.dev && interfaceCounters(net.target.dev)
  if (!host) return undefined
  if (actualSource(net).type === 'direct') return host
  return Object.fromEntries(
    Object.entries(host).map(([name, value]) => [name.replace(/^[rt]x/, way => (way === 'rx' ? 'tx' : 'rx')), value])
  )
}
