// Host CPUs and nodes of memory that a definition gives to each of the guest's threads.
import { formatBitmap } from '../../../../conf/bitmap.ts'
import { cellCpus } from '../../../../conf/domain/numa.ts'
import { numatuneNodesets } from '../../../../conf/domain/numatune.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import type { ThreadKind } from './threads.ts'

/** The CPUs a thread is pinned to by itself, as a list. */
export function ownPin({ cputune }: DomainDef, kind: ThreadKind, id: number): string | undefined {
  if (kind === 'emulator') return cputune?.emulatorpin
  if (kind === 'vcpu') return cputune?.vcpupins.find(({ vcpu }) => vcpu === id)?.cpuset
  return cputune?.iothreadpins.find(({ iothread }) => iothread === id)?.cpuset
}

/** The CPUs it may use, with those of the whole guest; undefined: all (qemuDomainEvaluateCPUMask). */
export const pinOf = (def: DomainDef, kind: ThreadKind, id: number): string | undefined =>
  ownPin(def, kind, id) ?? def.vcpu.cpuset

/** The CPUs QEMU is started on; its threads inherit them. */
export const cpusAtStart = (def: DomainDef): string | undefined => pinOf(def, 'emulator', 0)

/**
 * Nodes that a thread may take memory from, as a list. QEMU's own allocates for all cells, so strict has every node that
 * is named; restrictive binds each vCPU to the nodes of its cell.
 */
export function nodesOf(def: DomainDef, kind: ThreadKind, id: number): string | undefined {
  const { numatune, cpu } = def
  const cell = kind === 'vcpu' ? cpu?.numa?.cells.findIndex(one => ((cellCpus(one) >> BigInt(id)) & 1n) === 1n) : -1
  const ofCell = numatune?.memnodes.find(({ cellid, mode }) => cellid === cell && mode === 'restrictive')
  if (ofCell) return ofCell.nodeset
  if (numatune?.memory?.mode === 'restrictive') return numatune.memory.nodeset
  if (numatune?.memory?.mode !== 'strict') return undefined
  const all = numatuneNodesets(def).reduce((sum, bits) => sum | bits, 0n)
  return all === 0n ? undefined : formatBitmap(all)
}
