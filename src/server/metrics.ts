// Prometheus metrics of the guest and of this process.
import { Gauge, Registry } from 'prom-client'
import type { QemuDomain } from '../drivers/qemu/domain.ts'
import { stats } from '../drivers/qemu/stats.ts'

type StatsReply = { retStats: { params: Record<string, { value: number | bigint | string | boolean }> }[] }

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

/** The text Prometheus scrapes, with its MIME type. */
export async function metrics(domain: QemuDomain): Promise<{ type: string; text: string }> {
  const registry = new Registry()
  const gauges = new Map(
    METRICS.map(([, name, help]) => [
      name,
      new Gauge({ name, help, labelNames: ['domain', 'uuid', 'index'], registers: [registry] })
    ])
  )
  const reply = (await stats.virDomainListGetStats.run(domain, { stats: 0, flags: 0 })) as unknown as StatsReply
  for (const [field, { value }] of Object.entries(reply.retStats[0]!.params)) {
    for (const [pattern, name, , scale] of METRICS) {
      const match = pattern.exec(field)
      if (match)
        gauges.get(name)!.set({ domain: domain.name, uuid: domain.uuid, index: match[1] ?? '' }, Number(value) * scale)
    }
  }
  new Gauge({ name: 'virshim_shim_rss_bytes', help: 'Resident memory of this shim', registers: [registry] }).set(
    process.memoryUsage.rss()
  )
  return { type: registry.contentType, text: await registry.metrics() }
}
