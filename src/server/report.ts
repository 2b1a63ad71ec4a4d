// What this shim tells the aggregator: identity, state, sockets, and every host resource the guest holds.

import { VERSION } from '../conf/version.ts'
import type { QemuDomain } from '../drivers/qemu/domain.ts'
import { allocations } from '../state/allocation.ts'

/** The report of `GET /v1/report`; schemas/report.json is its form. */
export function report(domain: QemuDomain): Record<string, unknown> {
  const { root, context } = domain
  return {
    name: domain.name,
    uuid: domain.uuid,
    id: domain.id,
    state: domain.state,
    reason: domain.reason,
    persistent: domain.isPersistent,
    autostart: domain.autostart,
    generation: domain.generation,
    pids: { shim: process.pid, qemu: domain.process?.pid ?? null },
    versions: { virshim: VERSION, qemu: dotted(context.qemu.version), node: process.version },
    sockets: {
      api: root.apiSocket,
      apiReadOnly: root.apiReadOnlySocket,
      libvirt: root.libvirtSocket,
      libvirtReadOnly: root.libvirtReadOnlySocket
    },
    allocations: allocations(domain.def, { active: domain.isActive, id: domain.id, cgroups: domain.cgroups })
  }
}

/** libvirt's version number in the form people write: 7002022 is 7.2.22. */
const dotted = (version: number) =>
  [Math.floor(version / 1_000_000), Math.floor(version / 1000) % 1000, version % 1000].join('.')
