// Pages guest memory consists of: ordinary ones, or huge ones of a hugetlbfs of the host's.
import { parseBitmap } from '../../../../conf/bitmap.ts'
import type { HugePage } from '../../../../conf/domain/memory-backing.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { hugetlbMounts, systemPageKiB } from '../../../../host/memory.ts'
import type { QemuContext } from '../../context.ts'
import type { Memory } from './backend.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export interface PageSizes {
  sizeKiB: number
  /** a file of huge pages must be used */
  need: boolean
  /** huge pages are used if the memory gets an object at all */
  use: boolean
  prealloc: boolean
}

/** Pages the memory consists of, and whether they are allocated ahead (qemuBuildMemoryGetPagesize). */
export function pageSizes(
  def: DomainDef,
  { model, source = {}, node }: Pick<Memory, 'model' | 'source' | 'node'>
): PageSizes {
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
export function hugepageDirectory({ paths }: QemuContext, sizeKiB: number): string {
  defaultHugepageKiB()
  const mount = hugetlbMounts().find(({ pageKiB }) => pageKiB === sizeKiB)
  if (mount) return `${mount.dir}/${paths.hugepageSubdir}`
  throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to find any usable hugetlbfs mount for ${sizeKiB} KiB`)
}
