// Prometheus metrics of the guest and of this process.
import { Gauge, Registry } from 'prom-client'
import type { WireValue } from '../conf/wire.ts'
import type { statsRecord } from '../drivers/connection.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import { recordOf } from '../drivers/qemu/stats/record.ts'

/** Statistics field to metric; `*` stands for a disk, interface or vCPU number. */
const METRICS: [field: RegExp, name: string, help: string, scale: number][] = [
  [/^state\.state$/, 'virshim_domain_state', 'virDomainState of the guest', 1],
  [/^cpu\.time$/, 'virshim_domain_cpu_seconds_total', 'CPU time used by QEMU', 1e-9],
  [/^balloon\.current$/, 'virshim_domain_memory_bytes', 'Memory given to the guest', 1024],
  [/^balloon\.maximum$/, 'virshim_domain_memory_max_bytes', 'Memory the guest may have', 1024],
  [/^balloon\.rss$/, 'virshim_domain_rss_bytes', 'Resident memory of QEMU', 1024],
  [/^vcpu\.current$/, 'virshim_domain_vcpus', 'vCPUs of the guest', 1],
  [/^vcpu\.(\d+)\.time$/, 'virshim_domain_vcpu_seconds_total', 'CPU time of one vCPU', 1e-9],
  [/^block\.(\d+)\.rd\.bytes$/, 'virshim_domain_block_read_bytes_total', 'Bytes read from a disk', 1],
  [/^block\.(\d+)\.wr\.bytes$/, 'virshim_domain_block_write_bytes_total', 'Bytes written to a disk', 1],
  [/^block\.(\d+)\.rd\.reqs$/, 'virshim_domain_block_read_requests_total', 'Reads from a disk', 1],
  [/^block\.(\d+)\.wr\.reqs$/, 'virshim_domain_block_write_requests_total', 'Writes to a disk', 1],
  [/^net\.(\d+)\.rx\.bytes$/, 'virshim_domain_net_receive_bytes_total', 'Bytes the guest received', 1],
  [/^net\.(\d+)\.tx\.bytes$/, 'virshim_domain_net_transmit_bytes_total', 'Bytes the guest sent', 1]
]

const LABELS = ['domain', 'uuid', 'index'] as const

/** The text Prometheus scrapes, with its MIME type. */
export interface Scrape {
  type: string
  text: string
}

/** Adds the metrics of some guests to a registry, from their statistics. */
export function addGuests(registry: Registry, records: WireValue<typeof statsRecord>[]): void {
  const gauges = METRICS.map(([, name, help]) => new Gauge({ name, help, labelNames: LABELS, registers: [registry] }))
  for (const { dom, params } of records) {
    for (const [field, { value }] of Object.entries(params)) {
      METRICS.forEach(([pattern, , , scale], i) => {
        const match = pattern.exec(field)
        if (match) gauges[i]!.set({ domain: dom.name, uuid: dom.uuid, index: match[1] ?? '' }, Number(value) * scale)
      })
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
