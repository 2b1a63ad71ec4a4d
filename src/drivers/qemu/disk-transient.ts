// Transient disks: the guest writes to an overlay that is made when it starts and removed when it ends
// (qemuProcessSetupDisksTransient). libvirt lays it over the running guest's disk; here it is there from the start.
import { chownSync, existsSync, rmSync } from 'node:fs'
import type { DiskDef } from '../../conf/devices/disk.ts'
import type { DomainDef } from '../../conf/domain-def.ts'
import { errorsFrom } from '../../conf/error.ts'
import { storageChain } from '../../conf/storage-chain.ts'
import type { StorageSource } from '../../conf/storage-source.ts'
import { runHostCommand } from './host-command.ts'
import { groupId, userId } from './host-ids.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const suffix = ({ name }: DomainDef): string => `.TRANSIENT-${name}`

/** The overlay a disk writes to, if it has one. */
function overlayOf({ transient, source }: DiskDef, def: DomainDef): string | undefined {
  return transient && source.type === 'file' && source.path?.endsWith(suffix(def)) ? source.path : undefined
}

/**
 * Lays an empty image over each transient disk.
 * @param owner who QEMU runs as
 * @throws VIR_ERR_OPERATION_UNSUPPORTED if the file is there already, VIR_ERR_INTERNAL_ERROR if qemu-img fails
 */
export async function makeTransientOverlays(def: DomainDef, owner: { user?: string; group?: string }): Promise<void> {
  let index = Math.max(0, ...def.devices.disks.flatMap(({ source }) => storageChain(source).map(one => one.index ?? 0)))
  for (const disk of def.devices.disks) {
    const below = disk.source
    if (!disk.transient || below.type !== 'file' || below.path === undefined) continue
    const path = `${below.path}${suffix(def)}`
    if (existsSync(path)) {
      throw fail(
        'VIR_ERR_OPERATION_UNSUPPORTED',
        `Overlay file '${path}' for transient disk '${disk.target?.dev}' already exists`
      )
    }
    const format = below.format ?? 'raw'
    await runHostCommand('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', format, '-b', below.path, path])
    const overlay: StorageSource = { type: 'file', path, format: 'qcow2', index: ++index, backingStore: below }
    disk.source = overlay
    if (owner.user !== undefined) chownSync(path, userId(owner.user), groupId(owner.group ?? owner.user))
  }
}

/** Removes the overlays of a guest that has ended, and what it wrote with them. */
export function removeTransientOverlays(def: DomainDef): void {
  for (const disk of def.devices.disks) {
    const path = overlayOf(disk, def)
    if (path !== undefined) rmSync(path, { force: true })
  }
}
