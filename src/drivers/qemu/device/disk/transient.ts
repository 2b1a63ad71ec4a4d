// Transient disks: the guest writes to an overlay that is made when it starts and removed when it ends
// (qemuProcessSetupDisksTransient). libvirt lays it over the running guest's disk; here it is there from the start.
import { closeSync, existsSync, openSync, rmSync } from 'node:fs'
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { StorageSource } from '../../../../conf/storage/source.ts'
import { runHostCommand } from '../../../../host/command.ts'
import { giveTo, type ProcessOwner } from '../../../../host/owner.ts'
import { capacityOf, readHeader } from '../../block/image-header.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const suffix = ({ name }: DomainDef): string => `.TRANSIENT-${name}`

/** The overlay a disk writes to, if it has one. */
function overlayOf({ transient, source }: DiskDef, def: DomainDef): string | undefined {
  return transient && source.type === 'file' && source.path?.endsWith(suffix(def)) ? source.path : undefined
}

/**
 * Puts an overlay into the definition of each transient disk.
 * @param nextNode numbers its block nodes
 * @throws VIR_ERR_OPERATION_UNSUPPORTED if a file of its name is there already
 */
export function chooseTransientOverlays(def: DomainDef, nextNode: () => number): void {
  for (const disk of def.devices.disks) chooseTransientOverlay(disk, def, nextNode)
}

/** The same for one disk. @throws as chooseTransientOverlays */
export function chooseTransientOverlay(disk: DiskDef, def: DomainDef, nextNode: () => number): void {
  const below = disk.source
  if (!disk.transient || below.type !== 'file' || below.path === undefined) return
  const path = `${below.path}${suffix(def)}`
  if (existsSync(path)) {
    throw fail(
      'VIR_ERR_OPERATION_UNSUPPORTED',
      `Overlay file '${path}' for transient disk '${disk.target?.dev}' already exists`
    )
  }
  const overlay: StorageSource = { type: 'file', path, format: 'qcow2', index: nextNode(), backingStore: below }
  disk.source = overlay
}

/**
 * Makes the chosen overlay of a disk, empty.
 * @param owner who QEMU runs as
 * @throws VIR_ERR_INTERNAL_ERROR if qemu-img fails
 */
export async function makeTransientOverlay(disk: DiskDef, def: DomainDef, owner: ProcessOwner): Promise<void> {
  const path = overlayOf(disk, def)
  const below = disk.source.backingStore
  if (path === undefined || below?.type !== 'file' || below.path === undefined) return
  const format = below.format ?? 'raw'
  makeEmpty(path)
  const create = ['create', '-q', '-f', 'qcow2', '-F', format, '-b', below.path]
  // asked for the size itself, qemu-img opens the file that a header names for the data
  const size = below.dataStore && capacityOf(readHeader(below.path), format)
  await runHostCommand('qemu-img', size === undefined ? [...create, path] : [...create, '-u', path, String(size)])
  giveTo(path, owner)
}

/** Makes a file that was not there: beside an image others may have laid a link. @throws VIR_ERR_SYSTEM_ERROR */
function makeEmpty(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot create overlay '${path}': ${(error as Error).message}`, error)
  }
}

/** Removes the overlay of a disk QEMU has let go of, and what it wrote with it; the disk is again what it was. */
export function removeTransientOverlay(disk: DiskDef, def: DomainDef): void {
  const path = overlayOf(disk, def)
  if (path === undefined) return
  rmSync(path, { force: true })
  if (disk.source.backingStore) disk.source = disk.source.backingStore
}
