// Memory objects: where QEMU takes guest memory from (qemuBuildMemoryBackendProps).
import { type Bitmap, bitsOf, parseBitmap } from '../../../../conf/bitmap.ts'
import type { MemoryDef, MemoryModel, MemorySource } from '../../../../conf/devices/memory.ts'
import { initialMemoryKiB } from '../../../../conf/domain/memory.ts'
import { hasHmat, type MemoryAccess, numaCells } from '../../../../conf/domain/numa.ts'
import { type NumatuneMode, numatuneMode, numatuneNodeset } from '../../../../conf/domain/numatune.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { checkHostNodes, systemPageKiB } from '../../../../host/memory.ts'
import type { Builder, ObjectProps } from '../../parts/builder.ts'
import type { Props } from '../../parts/props.ts'
import { defaultHugepageKiB, hugepageDirectory, pageSizes } from './pages.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A piece of guest memory that needs an object: all of it, that of a NUMA cell, or a memory device's. */
export interface Memory {
  /** name of the object's file, for memory of files without a path */
  alias: string
  sizeKiB: number
  /** guest NUMA cell */
  node?: number
  model?: MemoryModel
  access?: MemoryAccess
  discard?: boolean
  source?: MemorySource
  /** the memory the machine starts with, whose object has a name of its own in migration streams */
  isSystem?: boolean
}

const POLICY: Record<NumatuneMode, string> = {
  strict: 'bind',
  preferred: 'preferred',
  interleave: 'interleave',
  restrictive: 'restricted'
}

const bytes = (kib: number) => {
  const exact = BigInt(kib) * 1024n
  return exact <= Number.MAX_SAFE_INTEGER ? Number(exact) : exact
}

export const memoryBytes = bytes

/** The memory of a memory device. */
export function deviceMemory({ alias = '', model, access, discard, source, target }: MemoryDef): Memory {
  return { alias, sizeKiB: target.sizeKiB, node: target.node, model, access, discard, source }
}

/** The definition and surroundings that memory objects follow from. */
type Guest = Pick<Builder, 'def' | 'context'>

/** The memory the machine starts with: a piece a NUMA cell, or one where the machine has a name for it. */
export function machineMemory({ def, context }: Guest): Memory[] {
  const cells = numaCells(def)
  if (cells.length > 0)
    return cells.map(({ memoryKiB }, node) => ({ alias: `ram-node${node}`, sizeKiB: memoryKiB, node }))
  const alias = context.qemu.machine(def.os.machine!)?.defaultRamId
  return alias === undefined ? [] : [{ alias, sizeKiB: initialMemoryKiB(def), isSystem: true }]
}

/** Its memory is given by -mem-path and the like, rather than by objects. */
export function usesMemPath(guest: Guest): boolean {
  const { def, context } = guest
  const machine = context.qemu.machine(def.os.machine!)
  if (numaCells(def).length === 0) return machine?.defaultRamId === undefined
  if (!machine?.numaMemSupported || hasHmat(def)) return false
  return !machineMemory(guest).some(memory => needsObject(def, memory))
}

/** The directory and file of -mem-path, if it is given, and whether -mem-prealloc is (qemuBuildMemPathStr). */
export function memPath({ def, context }: Guest): { directory?: string; path?: string; prealloc: boolean } {
  const { hugepages, source, allocation } = def.memoryBacking ?? {}
  const immediate = allocation?.mode === 'immediate'
  const sizeKiB = hugepages?.[0]?.sizeKiB
  if (hugepages && sizeKiB !== systemPageKiB()) {
    const directory = hugepageDirectory(context, sizeKiB ?? defaultHugepageKiB())
    return { directory, path: directory, prealloc: true }
  }
  if (source !== 'file') return { prealloc: immediate }
  const directory = context.paths.memoryBackingDir
  return { directory, path: `${directory}/ram`, prealloc: immediate }
}

/** -mem-prealloc is given: memory objects need not say it again. */
const hasMemPrealloc = (guest: Guest) => usesMemPath(guest) && memPath(guest).prealloc

/** Directories the machine's memory lies in, to be there before QEMU opens its files. */
export function machineMemoryDirectories(guest: Guest): Set<string> {
  const all = usesMemPath(guest)
    ? [memPath(guest).directory]
    : machineMemory(guest).map(memory => memoryDirectory(guest, memory))
  return new Set(all.filter(directory => directory !== undefined))
}

/** The directory a piece of memory lies in, if it is a file of ours. */
export function memoryDirectory({ def, context }: Guest, memory: Memory): string | undefined {
  const pages = pageSizes(def, memory)
  if (memory.source?.path !== undefined || backendKind(def, memory, pages.use) !== 'file') return undefined
  return pages.use ? hugepageDirectory(context, pages.sizeKiB) : context.paths.memoryBackingDir
}

/** Access of other processes to a piece of memory, and the discarding of its pages as QEMU ends. */
function sharing({ memoryBacking, cpu }: DomainDef, { node, access, discard }: Memory) {
  const cell = node === undefined ? undefined : cpu?.numa?.cells[node]
  return {
    access: access ?? cell?.memAccess ?? memoryBacking?.access,
    discard: discard ?? cell?.discard ?? memoryBacking?.discard
  }
}

/** Tells that the user's wishes for a piece of memory take an object. */
export function needsObject(def: DomainDef, memory: Memory): boolean {
  const { source = {}, node } = memory
  const backing = def.memoryBacking?.source
  return (
    pageSizes(def, memory).need ||
    source.nodemask !== undefined ||
    (def.numatune?.memnodes.some(({ cellid }) => cellid === node) ?? false) ||
    source.path !== undefined ||
    sharing(def, memory).access !== undefined ||
    backing === 'file' ||
    backing === 'memfd'
  )
}

/**
 * The object for a piece of memory.
 * @throws VIR_ERR_INTERNAL_ERROR, VIR_ERR_CONFIG_UNSUPPORTED for what the host or QEMU does not have
 */
export function memoryObject(guest: Guest, id: string, memory: Memory): ObjectProps {
  const { def, context } = guest
  const { qemu } = context
  const { source = {}, node } = memory
  const { access, discard } = sharing(def, memory)
  const pages = pageSizes(def, memory)
  const kind = backendKind(def, memory, pages.use)
  const share = access === undefined ? undefined : access === 'shared'
  const oldId = qemu.has('memory-backend-file.x-use-canonical-path-for-ramblock-id') && memory.isSystem
  const directory = memoryDirectory(guest, memory)
  if (source.pmem && !qemu.has('memory-backend-file.pmem')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'nvdimm pmem property is not available with this QEMU binary')
  }
  const nodes = hostNodes(def, memory)
  const bind = nodes !== 0n && numatuneMode(def, node) !== 'restrictive'
  if (kind === 'memfd' && !qemu.has('memory-backend-memfd') && needsObject(def, memory)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "this qemu doesn't support the memory-backend-memfd object")
  }
  return {
    'qom-type': `memory-backend-${kind}`,
    id,
    ...(kind === 'memfd' && pages.use && { hugetlb: true, hugetlbsize: bytes(pages.sizeKiB) }),
    ...(kind === 'file' && {
      'mem-path': directory === undefined || pages.use ? (source.path ?? directory) : `${directory}/${memory.alias}`,
      'discard-data': source.path === undefined ? discard : undefined
    }),
    ...((kind === 'file' || kind === 'memfd') && {
      share,
      'x-use-canonical-path-for-ramblock-id': oldId ? false : undefined
    }),
    ...preallocProps(guest, memory, pages.prealloc),
    size: bytes(memory.sizeKiB),
    align: source.alignsizeKiB === undefined ? undefined : bytes(source.alignsizeKiB),
    pmem: source.pmem,
    'host-nodes': bind ? bitsOf(nodes) : undefined,
    policy: bind ? POLICY[numatuneMode(def, node)] : undefined
  }
}

function backendKind(def: DomainDef, memory: Memory, huge: boolean) {
  const { model, source } = memory
  const { access } = sharing(def, memory)
  const backing = def.memoryBacking?.source
  if (model === 'sgx-epc') return 'epc'
  if (source?.path === undefined && backing === 'memfd') return 'memfd'
  return huge || source?.path !== undefined || access !== undefined || backing === 'file' ? 'file' : 'ram'
}

/** virtio-mem allocates block by block: nothing is reserved or allocated ahead by its object. */
function preallocProps(guest: Guest, { model }: Memory, ahead: boolean): Props {
  const { def, context } = guest
  const { qemu } = context
  const given = hasMemPrealloc(guest)
  if (model === 'virtio-mem') {
    return {
      prealloc: given && !qemu.has('virtio-mem-pci.prealloc') ? false : undefined,
      reserve: qemu.has('memory-backend-file.reserve') ? false : undefined
    }
  }
  if (given) return {}
  const prealloc = ahead || model === 'sgx-epc' || undefined
  return { prealloc, 'prealloc-threads': def.memoryBacking?.allocation?.threads }
}

/** Host nodes the memory is bound to, 0 for none. */
function hostNodes(def: DomainDef, { source, node }: Memory): Bitmap {
  if (source?.nodemask === undefined && def.numatune?.memory?.placement === 'auto') {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'Advice from numad is needed in case of automatic numa placement')
  }
  const text = source?.nodemask ?? numatuneNodeset(def, node)
  const nodes = text === undefined ? 0n : parseBitmap(text)
  checkHostNodes(nodes)
  return nodes
}

/**
 * Adds a memory object; where its memory is bound to host nodes and allocated ahead, also the threads that do so there
 * (qemuBuildThreadContextProps).
 */
export function addMemoryObject(to: Builder, object: ObjectProps): void {
  const nodes = object['host-nodes']
  if (!nodes || object.prealloc !== true || !to.qemu.has('thread-context')) {
    to.object(object)
    return
  }
  const context = `tc-${object.id}`
  to.object({ 'qom-type': 'thread-context', id: context, 'node-affinity': nodes })
  to.object({ ...object, 'prealloc-context': context })
}
