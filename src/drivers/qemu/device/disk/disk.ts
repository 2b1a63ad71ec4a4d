// <disk>: QEMU's defaults, its end on the host, and the arguments in their order.
import { type DiskDef, sortDisks } from '../../../../conf/devices/disk.ts'
import { driveOf, isScsiPlaceTaken } from '../../../../conf/drive-address.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { storageChain } from '../../../../conf/storage/chain.ts'
import { isStorageEmpty } from '../../../../conf/storage/source.ts'
import { throttleDisk } from '../../block/throttle.ts'
import type { Builder } from '../../parts/builder.ts'
import { leave, missing, type QemuFamily } from '../family.ts'
import { addDiskBackend, prepareDisk } from './backend.ts'
import { diskDeviceProps, usbBridgeProps } from './guest-device.ts'
import { setHistograms } from './histograms.ts'
import { diskNamed } from './lookup.ts'
import { reservationsHelper } from './pr-helper.ts'
import { makeTransientOverlay, removeTransientOverlay } from './transient.ts'
import { validateQemuDisk } from './validate.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuDisk: QemuFamily<DiskDef> = {
  // qemuDomainDeviceDiskDefPostParse
  postParse({ source, driver, mirror }) {
    driver.name ??= 'qemu'
    if (source.type !== 'volume') source.format ??= 'raw'
    if (mirror) mirror.source.format ??= 'raw'
    for (const { encryption } of storageChain(source)) if (encryption) encryption.engine ??= 'qemu'
  },
  validate: validateQemuDisk,
  prepare: prepareDisk,
  add: addDisk,
  host: {
    async take(disk, guest) {
      await makeTransientOverlay(disk, guest.def, guest.owner)
      await reservationsHelper.take(disk, guest)
    },
    async give(disk, guest) {
      await reservationsHelper.give(disk, guest)
      removeTransientOverlay(disk, guest.def)
    }
  },
  async update(disk, qmp, before) {
    await throttleDisk(disk, qmp, before)
    if (!before || isStorageEmpty(before.source)) await setHistograms(disk, qmp)
  },
  unplug: leave('disks'),
  config: {
    attach(disk, def) {
      if (diskNamed(def, disk.target?.dev, { first: true })) {
        throw fail('VIR_ERR_OPERATION_INVALID', `target ${disk.target?.dev} already exists`)
      }
      if (disk.target?.bus === 'scsi' && isScsiPlaceTaken(def, driveOf(disk))) {
        throw fail('VIR_ERR_OPERATION_INVALID', 'Domain already contains a disk with that address')
      }
      def.devices.disks = sortDisks([...def.devices.disks, disk])
    },
    find: (disk, def) => diskNamed(def, disk.target?.dev),
    noneToDetach: missing(({ target }) => `no target device ${target?.dev}`),
    noneToUpdate: missing(({ target }) => `target ${target?.dev} doesn't exist.`, 'VIR_ERR_INVALID_ARG')
  },
  live: async () => (await import('./live.ts')).liveDisk
}

/** A disk's nodes and its device (qemuBuildDiskCommandLine). */
function addDisk(to: Builder, disk: DiskDef): void {
  // libvirt adds it to the running guest; its overlay is there only when the guest is really started
  if (disk.transient?.shareBacking && to.context.pretend) return
  addDiskBackend(to, disk)
  const bridge = usbBridgeProps(to, disk)
  if (bridge) to.device(bridge)
  if (disk.target?.bus !== 'sd') to.device(diskDeviceProps(to, disk))
}
