// Neighbours the kernel has heard of: IPv4 addresses on the host's networks, and the MAC addresses behind them.
import { runHostCommand } from './command.ts'

export interface Neighbour {
  addr: string
  mac: string
}

interface IpNeighbour {
  dst?: string
  lladdr?: string
}

/**
 * The table as far as libvirt looks at it: what is reachable or was a while ago. Source: virArpTableGet, 9.0.0.
 * @throws VIR_ERR_INTERNAL_ERROR where ip(8) does
 */
export async function neighbours(): Promise<Neighbour[]> {
  const text = await runHostCommand('ip', ['-json', '-4', 'neigh', 'show', 'nud', 'reachable', 'nud', 'stale'])
  const table = JSON.parse(text || '[]') as IpNeighbour[]
  return table.flatMap(({ dst, lladdr }) =>
    dst === undefined || lladdr === undefined ? [] : [{ addr: dst, mac: lladdr.toLowerCase() }]
  )
}
