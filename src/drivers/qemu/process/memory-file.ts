// The file that a guest's memory is being written into: status.json names it until it is whole.
import { rmSync } from 'node:fs'
import type { QemuDomain } from '../domain/domain.ts'

/** The file that was written into is whole, or is not to be touched. */
export function keepMemoryFile(domain: QemuDomain): void {
  if (!domain.run?.memoryFile) return
  domain.run.memoryFile = undefined
  domain.save()
}

/** Takes the file away that was written into; one that was there before stays. */
export function dropMemoryFile(domain: QemuDomain): void {
  const { path, made } = domain.run?.memoryFile ?? {}
  if (path !== undefined && made) rmSync(path, { force: true })
  keepMemoryFile(domain)
}
