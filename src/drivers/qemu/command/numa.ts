// -numa: the guest's cells, their distances, latencies, bandwidths and caches (qemuBuildNumaCommandLine).
import {
  cellCpus,
  cellDistance,
  hasHmat,
  LOCAL_DISTANCE,
  type NumaCell,
  type NumaDef,
  numaCells,
  REMOTE_DISTANCE
} from '../../../conf/domain/numa.ts'
import type { NumaCache } from '../../../conf/domain/numa-cache.ts'
import { numatuneNodesets } from '../../../conf/domain/numatune.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { checkHostNodes } from '../../../host/memory.ts'
import { addMemoryObject, machineMemory, memoryObject, usesMemPath } from '../device/memory/backend.ts'
import { keyValue, type Props } from '../parts/props.ts'
import type { Command } from './command.ts'
import { memPathArgs } from './memory.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The cells with their memory. @throws VIR_ERR_CONFIG_UNSUPPORTED where no cell has CPUs */
export function numaArgs(command: Command): void {
  const { def } = command
  const cells = numaCells(def)
  if (cells.length === 0) return
  for (const nodes of numatuneNodesets(def)) checkHostNodes(nodes)
  const hmat = hasHmat(def)
  const objects = machineMemory(command).map(memory => memoryObject(command, memory.alias, memory))
  const useObjects = !usesMemPath(command)
  if (!useObjects) memPathArgs(command)
  const firstWithCpus = cells.findIndex(({ cpus }) => cpus !== undefined)
  if (firstWithCpus < 0) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'At least one NUMA node has to have CPUs')
  cells.forEach((cell, node) => {
    if (useObjects) addMemoryObject(command, objects[node]!)
    const cpus = cellCpus(cell) === 0n ? '' : `,cpus=${cell.cpus!.replaceAll(',', ',cpus=')}`
    const initiator = hmat ? `,initiator=${initiatorOf(def.cpu!.numa!, node) ?? firstWithCpus}` : ''
    const memory = useObjects ? `memdev=ram-node${node}` : `mem=${Math.floor(cell.memoryKiB / 1024)}`
    command.add('-numa', `node,nodeid=${node}${cpus}${initiator},${memory}`)
  })
  distanceArgs(command, cells)
  if (hmat) hmatArgs(command, def.cpu!.numa!)
}

/** All distances are told as soon as one is not the default. */
function distanceArgs(command: Command, cells: NumaCell[]): void {
  const isDefault = (value: number) => value === LOCAL_DISTANCE || value === REMOTE_DISTANCE
  const unusual = cells.some(
    ({ distances }) => distances && cells.some((_, other) => !isDefault(distances[other] ?? 0))
  )
  if (!unusual) return
  cells.forEach((_, src) => {
    cells.forEach((_, dst) => {
      command.add('-numa', keyValue('dist', { src, dst, val: cellDistance(cells, src, dst) }))
    })
  })
}

/** The cell whose CPUs are nearest to a cell's memory (virDomainNumaGetNodeInitiator). */
function initiatorOf({ cells, interconnects }: NumaDef, node: number): number | undefined {
  if (cells[node]?.cpus !== undefined) return node
  const to = interconnects.filter(({ target }) => target === node)
  const best = (kind: string, better: (a: bigint, b: bigint) => boolean) =>
    to
      .filter(one => one.kind === kind)
      .reduce<(typeof to)[number] | undefined>((a, b) => (a && !better(b.value, a.value) ? a : b), undefined)
  return (best('latency', (a, b) => a < b) ?? best('bandwidth', (a, b) => a > b))?.initiator
}

/** Names of the memory itself and of the caches before it, by level. */
const HIERARCHY = ['memory', 'first-level', 'second-level', 'third-level']
const ASSOCIATIVITY: Record<NumaCache['associativity'], string> = { none: 'none', direct: 'direct', full: 'complex' }
const POLICY: Record<NumaCache['policy'], string> = {
  none: 'none',
  writeback: 'write-back',
  writethrough: 'write-through'
}

function hmatArgs(command: Command, { cells, interconnects }: NumaDef): void {
  const add = (head: string, props: Props) => command.add('-numa', keyValue(head, props))
  for (const { kind, initiator, target, cache, access, value } of interconnects) {
    const amount = kind === 'latency' ? String(value) : `${value}K`
    const hierarchy = HIERARCHY[cache]
    add('hmat-lb', { initiator, target, hierarchy, 'data-type': `${access}-${kind}`, [kind]: amount })
  }
  cells.forEach(({ caches }, node) => {
    for (const { level, sizeKiB, line, associativity, policy } of caches) {
      add('hmat-cache', {
        'node-id': node,
        size: `${sizeKiB}K`,
        level,
        associativity: ASSOCIATIVITY[associativity],
        policy: POLICY[policy],
        line: line > 0 ? line : undefined
      })
    }
  })
}
