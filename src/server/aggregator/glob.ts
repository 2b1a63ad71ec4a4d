// Paths with *, ? and [...] in their segments, as shells have them. Sockets are what is looked for.
import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

const MAGIC = /[*?[]/

/** Paths that exist and match. `*` matches no leading dot. */
export function glob(pattern: string): string[] {
  let found = ['/']
  for (const segment of resolve(pattern).split('/').filter(Boolean)) {
    if (!MAGIC.test(segment)) {
      found = found.map(directory => join(directory, segment))
      continue
    }
    const matches = segmentPattern(segment)
    found = found.flatMap(directory =>
      entriesOf(directory)
        .filter(name => matches.test(name))
        .map(name => join(directory, name))
    )
  }
  return found.filter(existsSync)
}

/** The directories in which a pattern's first variable segment lies: a change there may bring new matches. */
export function globBase(pattern: string): string {
  const segments = resolve(pattern).split('/')
  const first = segments.findIndex(segment => MAGIC.test(segment))
  return segments.slice(0, first < 0 ? -1 : first).join('/') || '/'
}

function segmentPattern(segment: string): RegExp {
  const body = segment.replace(/\[!?[^\]]+\]|[\s\S]/g, part => {
    if (part === '*') return '.*'
    if (part === '?') return '.'
    if (part.length > 1) return part.replace(/^\[!/, '[^').replaceAll('\\', '\\\\')
    return part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  })
  return new RegExp(`^${/^[*?]/.test(segment) ? '(?!\\.)' : ''}${body}$`, 's')
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
