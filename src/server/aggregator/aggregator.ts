// Parts of the aggregator, as they share them.
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import type { Changes } from './changes.ts'
import type { Discovery } from './discovery.ts'
import type { GuestEvents } from './events.ts'
import type { HostEvents } from './host-events.ts'
import type { Layout } from './layout.ts'
import type { Registry } from './registry.ts'
import type { Resources } from './resources.ts'
import type { AggregatorConnect } from './rows.ts'

export interface Aggregator {
  layout: Layout
  registry: Registry
  discovery: Discovery
  /** guests whose reports may be behind what clients know */
  changes: Changes
  /** the holders of the host's resources */
  resources: Resources
  /** all guests, as connection-level APIs ask for them */
  connect: AggregatorConnect
  /**
   * API socket of a guest's shim, by name or uuid.
   * @throws VIR_ERR_NO_DOMAIN, VIR_ERR_OPERATION_INVALID when there is none
   */
  socketOf(guest: string): Promise<string>
  /** events of all guests, one source for all clients; loaded when the first one wants it */
  events(): Promise<GuestEvents>
  /** the same in one numbered stream */
  hostEvents(): Promise<HostEvents>
  log: Log
}
