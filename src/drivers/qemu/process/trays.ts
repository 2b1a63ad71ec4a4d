// The trays of CD and floppy drives, which the guest opens and closes as it likes.
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { virDomainEventTrayChangeReason } from '../../../conf/enums.ts'
import { diskOfDevice } from '../device/disk/lookup.ts'
import type { QmpDrive } from '../device/disk/media.ts'
import type { QemuDomain } from '../domain/domain.ts'

/** Puts the state of a drive's tray into the definition; closed is not written. */
export function setTray(disk: DiskDef, open: boolean): void {
  disk.target = { ...disk.target, tray: open ? 'open' : undefined }
}

/** Brings drives up to QEMU's state: after a start, a reset, and a reattach (qemuProcessRefreshDisks). */
export async function refreshTrays(domain: QemuDomain): Promise<void> {
  const isDrive = ({ device }: DiskDef) => device === 'cdrom' || device === 'floppy'
  if (!domain.isActive || !domain.def.devices.disks.some(isDrive)) return
  let changed = false
  const drives = await domain.qmp.execute<QmpDrive[]>('query-block')
  for (const { qdev, removable, inserted, tray_open: open } of drives) {
    const disk = qdev === undefined || !removable ? undefined : diskOfDevice(domain.def, qdev)
    if (!disk?.alias) continue
    // of an image that is no longer in the drive nothing is kept, neither format nor number
    if (!inserted && Object.keys(disk.source).length > 1) {
      disk.source = { type: 'file' }
      changed = true
    }
    if (open === undefined || open === (disk.target?.tray === 'open')) continue
    setTray(disk, open)
    changed = true
    const { VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN, VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE } = virDomainEventTrayChangeReason
    const reason = open ? VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN : VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE
    domain.events.emit('VIR_DOMAIN_EVENT_ID_TRAY_CHANGE', { devAlias: disk.alias, reason })
  }
  if (changed) domain.changed()
}
