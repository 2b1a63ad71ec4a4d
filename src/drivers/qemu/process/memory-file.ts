// The file that a guest's memory is being written into: status.json names it until it is whole.
import { rmSync } from 'node:fs'
import { type Allocation, targetAllocations } from '../../../state/allocation.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Run } from '../domain/run.ts'
import { type Claimed, claimMore } from './claim.ts'

/** The phase of a job whose file is whole, but for a mark that says so; what is to follow remains. */
export const WRITTEN = 'written'

/**
 * Claims a file before it is emptied and written into: it must be no image of another guest. A path that cannot be looked
 * at is left to who opens it.
 * @throws ResourceTaken, VIR_ERR_RESOURCE_BUSY
 */
export function claimTarget(domain: QemuDomain, path: string): Promise<Claimed> {
  let target: Allocation[] = []
  try {
    target = targetAllocations(path)
  } catch {}
  return claimMore(domain, target)
}

/** The file that was written into is whole, or is not to be touched. */
export function keepMemoryFile(domain: QemuDomain, run: Run | undefined = domain.run): void {
  if (!run?.memoryFile) return
  run.memoryFile = undefined
  if (run === domain.run) domain.save()
}

/** Takes the file away that was written into; one that was there before stays. @param run may be over by now */
export function dropMemoryFile(domain: QemuDomain, run: Run | undefined = domain.run): void {
  const { path, made } = run?.memoryFile ?? {}
  if (path !== undefined && made) rmSync(path, { force: true })
  keepMemoryFile(domain, run)
}
