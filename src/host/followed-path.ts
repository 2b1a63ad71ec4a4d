// A path with the links it leads over.
import { lstatSync, readlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface FollowedPath {
  /** where it leads, without any link */
  real: string
  /** the links on the way: where each lies, itself without links, and what it says */
  links: { at: string; to: string }[]
}

/** The kernel's limit. */
const LINKS_MAX = 40

/** True for the directory itself too. */
export const isWithin = (path: string, dir: string): boolean => path === dir || path.startsWith(`${dir}/`)

/** Follows an absolute path; undefined for one that leads nowhere. @param lastMayLack the last part need not be there */
export function followPath(path: string, { lastMayLack = false } = {}): FollowedPath | undefined {
  const links: FollowedPath['links'] = []
  let at = '/'
  let left = partsOf(path)
  while (left.length > 0) {
    const [part, ...rest] = left as [string, ...string[]]
    left = rest
    if (part === '..') at = dirname(at)
    if (part === '..') continue
    const next = join(at, part)
    const found = look(next)
    if (!found) return lastMayLack && left.length === 0 ? { real: next, links } : undefined
    if (!found.isSymbolicLink()) {
      at = next
      continue
    }
    const to = readlinkSync(next)
    if (links.push({ at: next, to }) > LINKS_MAX) return undefined
    if (to.startsWith('/')) at = '/'
    left = [...partsOf(to), ...left]
  }
  return { real: at, links }
}

const partsOf = (path: string) => path.split('/').filter(part => part !== '' && part !== '.')

function look(path: string) {
  try {
    return lstatSync(path)
  } catch {
    return undefined
  }
}
