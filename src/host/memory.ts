// Properties of the host's memory: page sizes, huge page mounts, NUMA nodes. Read from the kernel once, then kept.
import { readFileSync, statfsSync } from 'node:fs'
import { type Bitmap, bitsOf, parseBitmap } from '../conf/bitmap.ts'
import { errorsFrom } from '../conf/error.ts'
import { hostFile } from './root.ts'

const fail = errorsFrom('VIR_FROM_NONE')

const AT_PAGESZ = 6n
const DEFAULT_PAGE_KIB = 4
const DEFAULT_THP_KIB = 2048

/** A mounted hugetlbfs. */
export interface HugetlbMount {
  dir: string
  pageKiB: number
}

const once = <T>(read: () => T): (() => T) => {
  let value: { is: T } | undefined
  return () => {
    value ??= { is: read() }
    return value.is
  }
}

const readOr = <T>(fallback: T, read: () => T): T => {
  try {
    return read()
  } catch {
    return fallback
  }
}

/** Size of an ordinary page, from the auxiliary vector the kernel gave this process. */
export const systemPageKiB = once(() =>
  readOr(DEFAULT_PAGE_KIB, () => {
    const auxv = readFileSync(hostFile('/proc/self/auxv'))
    for (let at = 0; at + 16 <= auxv.length; at += 16) {
      if (auxv.readBigUInt64LE(at) === AT_PAGESZ) return Number(auxv.readBigUInt64LE(at + 8)) / 1024
    }
    return DEFAULT_PAGE_KIB
  })
)

/** Size of a transparent huge page (virHostMemGetTHPSize). */
export const transparentHugePageKiB = once(() =>
  readOr(
    DEFAULT_THP_KIB,
    () => Number(readFileSync(hostFile('/sys/kernel/mm/transparent_hugepage/hpage_pmd_size'), 'utf8')) / 1024
  )
)

/** hugetlbfs mounts, the kernel's default page size first. */
export const hugetlbMounts = once((): HugetlbMount[] =>
  readOr([], () => {
    const defaultKiB = Number(/^Hugepagesize:\s+(\d+) kB/m.exec(readFileSync(hostFile('/proc/meminfo'), 'utf8'))?.[1])
    const mounts = readFileSync(hostFile('/proc/mounts'), 'utf8')
      .split('\n')
      .map(line => line.split(' '))
      .filter(([, , type]) => type === 'hugetlbfs')
      .map(([, dir = '']) => ({ dir, pageKiB: statfsSync(dir).bsize / 1024 }))
    return mounts.sort((a, b) => Number(b.pageKiB === defaultKiB) - Number(a.pageKiB === defaultKiB))
  })
)

/** Nodes that are online; node 0 on hosts without NUMA. */
const hostNodes = once(() =>
  readOr(1n, () => parseBitmap(readFileSync(hostFile('/sys/devices/system/node/online'), 'utf8').trim()))
)

/** Checks that the host has every node of the set (virNumaNodesetIsAvailable). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function checkHostNodes(nodes: Bitmap): void {
  const [missing] = bitsOf(nodes & ~hostNodes())
  if (missing !== undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `NUMA node ${missing} is unavailable`)
}
