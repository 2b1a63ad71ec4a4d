// Memory objects: where QEMU takes guest memory from (qemuBuildMemoryBackendProps).
import { type Bitmap, bitsOf, parseBitmap } from '../../../../conf/bitmap.ts'
import type { MemoryDef, MemoryModel, MemorySource } from '../../../../conf/devices/memory.ts'
import type { HugePage } from '../../../../conf/domain/memory-backing.ts'
import { type MemoryAccess, numaCells } from '../../../../conf/domain/numa.ts'
import { type NumatuneMode, numatuneMode, numatuneNodeset } from '../../../../conf/domain/numatune.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { checkHostNodes, hugetlbMounts, systemPageKiB } from '../../../../host/memory.ts'
import type { Command } from '../../command/command.ts'
import type { Props } from '../../parts/props.ts'

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

export type MemoryObject = Props & { 'qom-type': string; id: string }

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

/**
 * The object for a piece of memory, and whether it is needed for what the user asks or the machine could do without.
 * @throws VIR_ERR_INTERNAL_ERROR, VIR_ERR_CONFIG_UNSUPPORTED for what the host or QEMU does not have
 */
export function memoryObject(command: Command, id: string, memory: Memory): { object: MemoryObject; needed: boolean } {
  const { def, qemu } = command
  const { source = {}, node } = memory
  const cell = node === undefined ? undefined : numaCells(def)[node]
  const access = memory.access ?? cell?.memAccess ?? def.memoryBacking?.access
  const discard = memory.discard ?? cell?.discard ?? def.memoryBacking?.discard
  const pages = pageSizes(def, memory)
  const kind = backendKind(def, memory, pages.use, access)
  const share = access === undefined ? undefined : access === 'shared'
  const oldId = qemu.has('memory-backend-file.x-use-canonical-path-for-ramblock-id') && memory.isSystem
  const path = kind === 'file' ? memoryPath(command, memory, pages) : undefined
  if (source.pmem && !qemu.has('memory-backend-file.pmem')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'nvdimm pmem property is not available with this QEMU binary')
  }
  const nodes = hostNodes(def, memory)
  const bind = nodes !== 0n && numatuneMode(def, node) !== 'restrictive'
  const prealloc = memory.model === 'sgx-epc' ? !command.memPrealloc || pages.prealloc : pages.prealloc
  const object: MemoryObject = {
    'qom-type': `memory-backend-${kind}`,
    id,
    ...(kind === 'memfd' && pages.use && { hugetlb: true, hugetlbsize: bytes(pages.sizeKiB) }),
    ...(kind === 'file' && {
      'mem-path': path,
      'discard-data': source.path === undefined ? discard : undefined
    }),
    ...((kind === 'file' || kind === 'memfd') && {
      share,
      'x-use-canonical-path-for-ramblock-id': oldId ? false : undefined
    }),
    ...preallocProps(command, memory, prealloc),
    size: bytes(memory.sizeKiB),
    align: source.alignsizeKiB === undefined ? undefined : bytes(source.alignsizeKiB),
    pmem: source.pmem,
    'host-nodes': bind ? bitsOf(nodes) : undefined,
    policy: bind ? POLICY[numatuneMode(def, node)] : undefined
  }
  const bound = def.numatune?.memnodes.some(({ cellid }) => cellid === node) ?? false
  const backing = def.memoryBacking?.source
  const needed =
    pages.need ||
    source.nodemask !== undefined ||
    bound ||
    source.path !== undefined ||
    access !== undefined ||
    backing === 'file' ||
    backing === 'memfd'
  if (needed && kind === 'memfd' && !qemu.has('memory-backend-memfd')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "this qemu doesn't support the memory-backend-memfd object")
  }
  return { object, needed }
}

function backendKind(def: DomainDef, { model, source }: Memory, huge: boolean, access: MemoryAccess | undefined) {
  const backing = def.memoryBacking?.source
  if (model === 'sgx-epc') return 'epc'
  if (source?.path === undefined && backing === 'memfd') return 'memfd'
  return huge || source?.path !== undefined || access !== undefined || backing === 'file' ? 'file' : 'ram'
}

/** The file or directory the memory lies in. */
function memoryPath(command: Command, memory: Memory, { use, sizeKiB }: PageSizes): string {
  return memory.source?.path ?? (use ? hugepagePath(command, sizeKiB) : filePath(command, memory))
}

/** virtio-mem allocates block by block: nothing is reserved or allocated ahead by its object. */
function preallocProps({ qemu, def, memPrealloc }: Command, { model }: Memory, prealloc: boolean): Props {
  if (model === 'virtio-mem') {
    return {
      prealloc: memPrealloc && !qemu.has('virtio-mem-pci.prealloc') ? false : undefined,
      reserve: qemu.has('memory-backend-file.reserve') ? false : undefined
    }
  }
  if (memPrealloc) return {}
  return { prealloc: prealloc || undefined, 'prealloc-threads': def.memoryBacking?.allocation?.threads }
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

interface PageSizes {
  sizeKiB: number
  /** a file of huge pages must be used */
  need: boolean
  /** huge pages are used if the memory gets an object at all */
  use: boolean
  prealloc: boolean
}

/** Pages the memory consists of, and whether they are allocated ahead (qemuBuildMemoryGetPagesize). */
export function pageSizes(def: DomainDef, { model, source = {}, node }: Memory): PageSizes {
  const own = source.pagesizeKiB
  const chosen = own === undefined ? findHugepages(def, node) : { page: { sizeKiB: own }, specific: true }
  let use = chosen !== undefined
  let sizeKiB = chosen?.page?.sizeKiB ?? 0
  let need = chosen?.specific ?? false
  if (sizeKiB === systemPageKiB()) {
    sizeKiB = 0
    need = false
    use = false
  } else if (use && sizeKiB === 0) sizeKiB = defaultHugepageKiB()
  const ahead = def.memoryBacking?.allocation?.mode === 'immediate'
  const contents = source.path !== undefined
  const prealloc = ahead || (contents ? !source.pmem && model !== 'virtio-pmem' : use)
  return { sizeKiB, need, use, prealloc }
}

/** The `<page>` for a guest node: its own, else the one without nodes; `page` undefined: the default size. */
function findHugepages(def: DomainDef, node?: number): { page?: HugePage; specific: boolean } | undefined {
  const pages = def.memoryBacking?.hugepages
  if (!pages) return undefined
  if (pages.length === 0) return { specific: false }
  const own =
    node === undefined
      ? undefined
      : pages.find(({ nodeset }) => nodeset !== undefined && (parseBitmap(nodeset) & (1n << BigInt(node))) !== 0n)
  if (own) return { page: own, specific: true }
  const master = pages.findLast(({ nodeset }) => nodeset === undefined)
  return master && { page: master, specific: false }
}

/** Size of the host's huge pages where the user does not say. @throws VIR_ERR_INTERNAL_ERROR */
export function defaultHugepageKiB(): number {
  const [mount] = hugetlbMounts()
  if (!mount) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'hugetlbfs filesystem is not mounted or disabled by administrator config')
  }
  return mount.pageKiB
}

/** This guest's directory on the hugetlbfs of that page size. @throws VIR_ERR_INTERNAL_ERROR */
export function hugepagePath({ context, memoryDirs }: Command, sizeKiB: number): string {
  defaultHugepageKiB()
  const mount = hugetlbMounts().find(({ pageKiB }) => pageKiB === sizeKiB)
  if (mount) {
    const dir = `${mount.dir}/${context.paths.hugepageSubdir}`
    memoryDirs.add(dir)
    return dir
  }
  throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to find any usable hugetlbfs mount for ${sizeKiB} KiB`)
}

/** The file of memory that lies in a file. */
export function filePath({ context, memoryDirs }: Command, { alias }: Pick<Memory, 'alias'>): string {
  const { memoryBackingDir } = context.paths
  memoryDirs.add(memoryBackingDir)
  return `${memoryBackingDir}/${alias}`
}

/**
 * Adds a memory object; where its memory is bound to host nodes and allocated ahead, also the threads that do so there
 * (qemuBuildThreadContextProps).
 */
export function addMemoryObject(command: Command, object: MemoryObject): void {
  const nodes = object['host-nodes']
  if (!nodes || object.prealloc !== true || !command.qemu.has('thread-context')) {
    command.object(object)
    return
  }
  const context = `tc-${object.id}`
  command.object({ 'qom-type': 'thread-context', id: context, 'node-affinity': nodes })
  command.object({ ...object, 'prealloc-context': context })
}
