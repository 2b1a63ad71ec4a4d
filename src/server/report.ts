// The report to the aggregator: identity, state, sockets, and every host resource the guest holds.

import { VERSION } from '../conf/version.ts'
import type { GuestEntry } from '../drivers/connection.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import type { Run } from '../drivers/qemu/domain/run.ts'
import { type Allocation, allocations, targetAllocations } from '../state/allocation.ts'
import { type Namespaces, ownNamespaces } from '../state/claim.ts'
import { entryOf } from './connection.ts'

/** State of one guest and everything it holds; schemas/report.json says the same. */
export interface Report extends GuestEntry {
  /** the state's reason, of the enumeration libvirt has for it */
  reason: number
  /** grows with every change */
  generation: number
  pids: { shim: number | null; qemu: number | null }
  versions: Record<string, string>
  /** paths by kind, as the shim sees them */
  sockets: Record<string, string>
  allocations: Allocation[]
  /** claims at the aggregator that the allocations speak for; absent from shims of older versions, as namespaces are */
  claims?: readonly string[]
  namespaces?: Namespaces
}

/** The report of `GET /v1/report`. */
export function report(domain: QemuDomain): Report {
  const { root, context } = domain
  return {
    ...entryOf(domain),
    reason: domain.reason,
    generation: domain.generation,
    pids: { shim: process.pid, qemu: domain.process?.pid ?? null },
    versions: { virshim: VERSION, qemu: dotted(context.qemu.version), node: process.version },
    sockets: {
      api: root.apiSocket,
      apiReadOnly: root.apiReadOnlySocket,
      libvirt: root.libvirtSocket,
      libvirtReadOnly: root.libvirtReadOnlySocket
    },
    allocations: [
      ...allocations(domain.def, {
        active: domain.isActive && domain.phase !== undefined,
        id: domain.id,
        cgroups: domain.run?.cgroups ?? [],
        ports: portsOf(domain.run),
        user: domain.run?.ownership
      }),
      ...writtenInto(domain)
    ],
    claims: domain.claims?.held ?? [],
    namespaces: ownNamespaces()
  }
}

/** The file the guest's memory is being written into, which no definition has. */
function writtenInto({ run }: QemuDomain): Allocation[] {
  try {
    return run?.memoryFile ? targetAllocations(run.memoryFile.path) : []
  } catch {
    return []
  }
}

/** The ports at which a guest and its disks are waited for, and its source is answered. */
const portsOf = ({ arrival, diskServer }: Partial<Run> = {}): number[] =>
  [arrival?.port, arrival?.witness?.port, arrival?.witness?.qemu, diskServer?.port].filter(one => one !== undefined)

/** libvirt's version number in the form people write: 7002022 is 7.2.22. */
const dotted = (version: number) =>
  [Math.floor(version / 1_000_000), Math.floor(version / 1000) % 1000, version % 1000].join('.')
