// Snapshots and checkpoints of a guest on disk, in libvirt's own files.
import { existsSync, readdirSync } from 'node:fs'

/** Files of moments that are kept in a directory. */
export function countMoments(directory: string): number {
  // most guests have none, which is told without making an error
  if (!existsSync(directory)) return 0
  try {
    return readdirSync(directory).filter(name => name.endsWith('.xml')).length
  } catch {
    return 0
  }
}
