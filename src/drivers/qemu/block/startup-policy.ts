// Disks whose image is missing when the guest starts: refused, emptied or left out, as their startup policy says.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'

/**
 * Starts without a missing image if the disk's policy lets it: a drive is emptied, another disk taken out of the
 * definition (qemuDomainCheckDiskStartupPolicy).
 * @param missing thrown if the image must be there
 */
export function applyStartupPolicy(def: DomainDef, disk: DiskDef, missing: Error): void {
  if (disk.startupPolicy !== 'optional') throw missing
  if (disk.device === 'cdrom' || disk.device === 'floppy') {
    disk.source = { type: 'file' }
    // it spoke of the image that is gone
    delete disk.startupPolicy
  } else def.devices.disks = def.devices.disks.filter(one => one !== disk)
}
