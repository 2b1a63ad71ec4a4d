// Prometheus metrics of the guest and of this process.
import { Counter, Gauge, Registry } from 'prom-client'
import type { WireValue } from '../conf/wire.ts'
import type { statsRecord } from '../drivers/connection.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { recordOf } from '../drivers/qemu/stats/record.ts'

/** Labels, by the kind of thing a field's number counts. */
type Part = 'device' | 'vcpu'

/** Statistics field to metric; its number stands for a part of the guest. A name in `_total` is a counter's. */
const METRICS: { field: RegExp; of?: Part; name: string; help: string; scale?: number }[] = [
  { field: /^state\.state$/, name: 'state', help: 'virDomainState of the guest' },
  { field: /^cpu\.time$/, name: 'cpu_seconds_total', help: 'CPU time used by QEMU', scale: 1e-9 },
  { field: /^balloon\.current$/, name: 'memory_bytes', help: 'Memory given to the guest', scale: 1024 },
  { field: /^balloon\.maximum$/, name: 'memory_max_bytes', help: 'Memory the guest may have', scale: 1024 },
  { field: /^balloon\.rss$/, name: 'rss_bytes', help: 'Resident memory of QEMU', scale: 1024 },
  { field: /^vcpu\.current$/, name: 'vcpus', help: 'vCPUs of the guest' },
  { field: /^vcpu\.(\d+)\.time$/, of: 'vcpu', name: 'vcpu_seconds_total', help: 'CPU time of a vCPU', scale: 1e-9 },
  { field: /^block\.(\d+)\.rd\.bytes$/, of: 'device', name: 'block_read_bytes_total', help: 'Bytes read from disk' },
  { field: /^block\.(\d+)\.wr\.bytes$/, of: 'device', name: 'block_write_bytes_total', help: 'Bytes written to disk' },
  { field: /^block\.(\d+)\.rd\.reqs$/, of: 'device', name: 'block_read_requests_total', help: 'Reads from a disk' },
  { field: /^block\.(\d+)\.wr\.reqs$/, of: 'device', name: 'block_write_requests_total', help: 'Writes to a disk' },
  { field: /^net\.(\d+)\.rx\.bytes$/, of: 'device', name: 'net_receive_bytes_total', help: 'Bytes the guest received' },
  { field: /^net\.(\d+)\.tx\.bytes$/, of: 'device', name: 'net_transmit_bytes_total', help: 'Bytes the guest sent' }
]

/** The text Prometheus scrapes, with its MIME type. */
export interface Scrape {
  type: string
  text: string
}

/**
 * Adds the metrics of some guests to a registry, from their statistics. A disk is told by its target, an interface by
 * the host's end of it: numbers change their meaning with the definition.
 */
export function addGuests(registry: Registry, records: WireValue<typeof statsRecord>[]): void {
  for (const { field: pattern, of, name, help, scale = 1 } of METRICS) {
    const labelNames = ['domain', 'uuid', ...(of ? [of] : [])]
    const config = { name: `virshim_domain_${name}`, help, labelNames, registers: [registry] }
    const metric = name.endsWith('_total') ? new Counter(config) : new Gauge(config)
    for (const { dom, params } of records) {
      for (const [field, { value }] of Object.entries(params)) {
        const match = pattern.exec(field)
        if (!match) continue
        const [, number] = match
        const part = of === 'device' ? params[`${field.split('.')[0]}.${number}.name`]?.value : number
        metric.inc({ domain: dom.name, uuid: dom.uuid, ...(of && { [of]: String(part) }) }, Number(value) * scale)
      }
    }
  }
}

/** Metrics of a shim and its guest. */
export async function metrics(domain: QemuDomain): Promise<Scrape> {
  const registry = new Registry()
  addGuests(registry, [await recordOf(domain, 0)])
  new Gauge({ name: 'virshim_shim_rss_bytes', help: 'Resident memory of this shim', registers: [registry] }).set(
    process.memoryUsage.rss()
  )
  return { type: registry.contentType, text: await registry.metrics() }
}
