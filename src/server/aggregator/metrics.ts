// Prometheus metrics of all guests and of the aggregator.
import { Gauge, Registry } from 'prom-client'
import { addGuests, type Scrape } from '../metrics.ts'
import type { Aggregator } from './aggregator.ts'

/** Metrics of all shims that answer in time; a guest whose shim does not is `virshim_domain_up` 0. */
export async function aggregatorMetrics({ connect, registry: guests }: Aggregator): Promise<Scrape> {
  const registry = new Registry()
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers: [registry] })
  addGuests(registry, await connect.stats(connect.guests(), 0))
  const up = gauge('virshim_domain_up', "The guest's shim answers; 0 is also a guest without one", ['domain', 'uuid'])
  const byState = gauge('virshim_guests', 'Guests by virDomainState', ['state'])
  for (const { report, socket, unreachableSince } of guests.guests()) {
    const { name, uuid, state } = report
    up.set({ domain: name, uuid }, socket !== undefined && unreachableSince === undefined ? 1 : 0)
    byState.inc({ state })
  }
  gauge('virshim_aggregator_rss_bytes', 'Resident memory of the aggregator').set(process.memoryUsage.rss())
  return { type: registry.contentType, text: await registry.metrics() }
}
