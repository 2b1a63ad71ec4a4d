// Disks of a guest that runs: those that can come and go, and what of one can change (qemuDomainAttachDeviceDiskLive,
// qemuDomainDetachPrepDisk, qemuDomainChangeDiskLive).
import { type DiskDef, sortDisks } from '../../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { driveOf, isScsiPlaceTaken } from '../../../../conf/drive-address.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { isStorageEmpty, sameLocation, storagePath } from '../../../../conf/storage/source.ts'
import { determineDiskChain } from '../../block/chain.ts'
import { ensureScsiController } from '../controller/live.ts'
import { type LiveGuest, type LiveRules, missing } from '../family.ts'
import { prepareDisk } from './backend.ts'
import { checkSameFields } from './change.ts'
import { changeMedium } from './media.ts'
import { chooseTransientOverlay } from './transient.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failConf = errorsFrom('VIR_FROM_DOMAIN')
const unsupported = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)

const PLUGGABLE: readonly unknown[] = ['virtio', 'usb', 'scsi']

export const liveDisk: LiveRules<DiskDef> = {
  attach: attachDisk,
  attachAsChange: insertIntoDrive,
  prepare(disk, guest) {
    const { def, context, nextNode } = guest
    if (isStorageEmpty(disk.source)) return
    prepareDisk(disk, def, context, nextNode)
    determineDiskChain(disk, guest)
    chooseTransientOverlay(disk, def, nextNode)
  },
  insert(disk, { devices }) {
    devices.disks = sortDisks([...devices.disks, disk])
  },
  find: sameTarget,
  noneToDetach: missing(({ target }) => `disk ${target?.dev} not found`),
  detach(disk, guest) {
    const { device, target } = disk
    const isDrive = device === 'cdrom' || device === 'floppy'
    if (isDrive && (device === 'floppy' || (target?.bus !== 'usb' && target?.bus !== 'scsi'))) {
      throw unsupported(`disk device type '${device}' cannot be detached`)
    }
    if (!isDrive && !PLUGGABLE.includes(target?.bus)) throw unsupported('This type of disk cannot be hot unplugged')
    guest.checkNoBlockJob(disk)
  },
  findToUpdate: sameTarget,
  noneToUpdate: missing(({ target }) => `disk '${target?.dev}' not found`, 'VIR_ERR_INTERNAL_ERROR'),
  update: updateDisk
}

function sameTarget({ target }: DiskDef, { devices }: DomainDef): DiskDef | undefined {
  return devices.disks.find(one => one.target?.dev === target?.dev)
}

/** A drive that is there gets the medium. */
async function insertIntoDrive(disk: DiskDef, guest: LiveGuest): Promise<boolean> {
  const there = sameTarget(disk, guest.def)
  if (!there || (disk.device !== 'cdrom' && disk.device !== 'floppy')) return false
  await changeMedium(there, disk, guest, { force: false })
  guest.changed()
  return true
}

/** Refuses what QEMU cannot plug in, and plugs in the controllers that a SCSI disk needs. */
async function attachDisk(disk: DiskDef, guest: LiveGuest): Promise<void> {
  const { def } = guest
  const { device, target, address } = disk
  const there = sameTarget(disk, def)
  if (device === 'floppy') throw unsupported("floppy device hotplug isn't supported")
  await guest.findStorage(disk)
  if (there) {
    const [a, b] = [there, disk].map(({ source }) => storagePath(source) ?? '<null>')
    throw failConf('VIR_ERR_XML_ERROR', `target '${target?.dev}' duplicated for disk sources '${a}' and '${b}'`)
  }
  if (!PLUGGABLE.includes(target?.bus)) throw unsupported(`disk bus '${target?.bus}' cannot be hotplugged.`)
  if (target?.bus === 'usb' && device === 'lun') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "disk device='lun' is not supported for usb bus")
  }
  if (target?.bus === 'virtio' && device === 'cdrom') throw unsupported("cdrom device with virtio bus isn't supported")
  if (target?.bus === 'scsi') {
    const place = driveOf(disk)
    if (!place) throw fail('VIR_ERR_INTERNAL_ERROR', `unexpected disk address type ${address?.type ?? 'none'}`)
    if (isScsiPlaceTaken(def, place)) {
      throw fail('VIR_ERR_OPERATION_INVALID', 'Domain already contains a disk with that address')
    }
    await ensureScsiController(place.controller, guest)
  }
}

async function updateDisk(disk: DiskDef, there: DiskDef, guest: LiveGuest, force: boolean): Promise<void> {
  checkSameFields(disk, there)
  if (!sameLocation(disk.source, there.source)) {
    if (there.device !== 'cdrom' && there.device !== 'floppy') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'disk source can be changed only in removable drives')
    }
    await changeMedium(there, disk, guest, { force })
  }
  // of its image, and what is libvirt's own
  for (const field of ['startupPolicy', 'snapshot'] as const) {
    if (disk[field] === undefined) delete there[field]
    else Object.assign(there, { [field]: disk[field] })
  }
}
