// Media of CD and floppy drives, changed while the guest runs (qemuDomainChangeEjectableMedia). The new image is opened
// before the drive, and the old one closed when the new one is in it: until then all can be taken back, also by the
// next process, which finds in status.json what was under way.
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import { hasIoTuneLimits } from '../../../../conf/devices/disk-iotune.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { isStorageEmpty } from '../../../../conf/storage/source.ts'
import { determineDiskChain } from '../../block/chain.ts'
import { diskQomPath, throttleArguments } from '../../block/throttle.ts'
import type { QmpEvent, QmpMonitor } from '../../monitor/qmp.ts'
import type { LiveGuest } from '../family.ts'
import { addDiskBackend, prepareDisk } from './backend.ts'
import { diskNode } from './guest-device.ts'
import { diskOfDevice } from './lookup.ts'
import { reservationsHelper } from './pr-helper.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Time a guest has to open its drive (CHANGE_MEDIA_TIMEOUT of libvirt). */
const TRAY_LIMIT_MS = 5000

/** A drive of query-block. */
export interface QmpDrive {
  qdev?: string
  removable: boolean
  inserted?: { 'node-name'?: string }
  /** absent for a drive without a tray */
  tray_open?: boolean
}

/**
 * Puts the medium of another description into a drive, or none.
 * @param force takes the old one out although the guest has locked it
 * @throws VIR_ERR_OPERATION_FAILED for a tray the guest keeps shut, VIR_ERR_INTERNAL_ERROR with QEMU's words and others;
 *   the old medium is in the drive then
 */
export async function changeMedium(
  drive: DiskDef,
  { source }: DiskDef,
  guest: LiveGuest,
  { force }: { force: boolean }
): Promise<void> {
  const { def, nextNode } = guest
  if (drive.mirror) {
    const message = "can't change media while a block job is running on the device"
    throw fail('VIR_ERR_OPERATION_UNSUPPORTED', message)
  }
  const from = { ...drive }
  const to = { ...drive, source, throttlefilters: drive.throttlefilters?.map(filter => ({ ...filter })) }
  await guest.findStorage(to)
  determineDiskChain(to, { context: guest.context, nextNode })
  prepareDisk(to, def, guest.context, nextNode)
  const claimed = await guest.claim('disks', to)
  guest.noteMedium(drive, { from, to })
  const next = guest.parts(builder => addDiskBackend(builder, to))
  try {
    await reservationsHelper.take(to, guest)
    await guest.admit(to)
    await next.add()
    try {
      await exchange(drive, to, guest, force)
    } catch (error) {
      await next.remove()
      throw error
    }
  } catch (error) {
    await reservationsHelper.give(to, guest)
    await guest.dismiss(to)
    await claimed.release()
    guest.noteMedium(drive)
    throw error
  }
  Object.assign(drive, { source: to.source, throttlefilters: to.throttlefilters })
  await guest.removeParts(builder => addDiskBackend(builder, from))
  await reservationsHelper.give(from, guest)
  await guest.dismiss(from)
  guest.noteMedium(drive)
}

/** Takes one medium out of a drive and puts another in. @throws where that fails; the first one is in it again */
async function exchange(from: DiskDef, to: DiskDef, guest: LiveGuest, force: boolean): Promise<void> {
  const { qmp, def } = guest
  const id = diskQomPath(from)
  const tray = (await driveStates(qmp, def)).get(from)?.tray_open
  if (tray === false) await openTray(qmp, def, from, force)
  let isOut = false
  try {
    await qmp.execute('blockdev-remove-medium', { id })
    isOut = true
    await insertMedium(to, guest)
    if (tray !== undefined) await qmp.execute('blockdev-close-tray', { id })
  } catch (error) {
    if (isOut) {
      await reopen(qmp, id)
      await qmp.execute('blockdev-remove-medium', { id }).catch(() => undefined)
      await insertMedium(from, guest).catch(failed => guest.log.warn({ err: failed }, 'a drive has lost its medium'))
    }
    if (tray === false) await qmp.execute('blockdev-close-tray', { id }).catch(() => undefined)
    throw error
  }
}

/** Opens a drive that a guest may have shut while it was empty. */
async function reopen(qmp: QmpMonitor, id: string): Promise<void> {
  await qmp.execute('blockdev-open-tray', { id, force: true }).catch(() => undefined)
}

/** Puts a medium into an open drive, with the drive's limits. */
async function insertMedium(disk: DiskDef, { qmp, context }: Pick<LiveGuest, 'qmp' | 'context'>): Promise<void> {
  const node = diskNode(disk, context.qemu)
  if (isStorageEmpty(disk.source) || node === undefined) return
  await qmp.execute('blockdev-insert-medium', { id: diskQomPath(disk), 'node-name': node })
  if (hasIoTuneLimits(disk.iotune)) await qmp.execute('block_set_io_throttle', throttleArguments(disk, disk.iotune!))
}

/** The drives as QEMU has them. */
async function driveStates(qmp: QmpMonitor, def: DomainDef): Promise<Map<DiskDef, QmpDrive>> {
  const drives = await qmp.execute<QmpDrive[]>('query-block')
  return new Map(
    drives.flatMap(drive => {
      const disk = drive.qdev === undefined ? undefined : diskOfDevice(def, drive.qdev)
      return disk ? [[disk, drive] as const] : []
    })
  )
}

/** Opens a drive; a guest that has locked it is asked, and may take its time. @throws VIR_ERR_OPERATION_FAILED */
async function openTray(qmp: QmpMonitor, def: DomainDef, drive: DiskDef, force: boolean): Promise<void> {
  let settle = (_opened: boolean): void => undefined
  const opened = new Promise<boolean>(resolve => {
    settle = resolve
  })
  const listen = ({ event, data }: QmpEvent) => {
    const isOpen = event === 'DEVICE_TRAY_MOVED' && data['tray-open'] === true
    if (isOpen && diskOfDevice(def, String(data.device || data.id || '')) === drive) settle(true)
  }
  const limit = setTimeout(() => settle(false), TRAY_LIMIT_MS)
  qmp.on('event', listen)
  try {
    await qmp.execute('blockdev-open-tray', { id: diskQomPath(drive), force })
    if (force || (await opened)) return
    throw fail('VIR_ERR_OPERATION_FAILED', `timed out waiting to open tray of '${drive.target?.dev}'`)
  } finally {
    clearTimeout(limit)
    qmp.off('event', listen)
  }
}

/**
 * Settles a change of medium that a process before this one has begun, by what is in the drive: one that is found empty
 * on the way to another medium gets back what it had.
 */
export async function settleMedium(drive: DiskDef, from: DiskDef, to: DiskDef, guest: LiveGuest): Promise<void> {
  const { qmp, def, context } = guest
  const state = (await driveStates(qmp, def)).get(drive)
  const there = state?.inserted?.['node-name']
  const nodeOf = (disk: DiskDef) => (isStorageEmpty(disk.source) ? undefined : diskNode(disk, context.qemu))
  const isDone = there === nodeOf(to)
  const [kept, other] = isDone ? [to, from] : [from, to]
  Object.assign(drive, { source: kept.source, throttlefilters: kept.throttlefilters })
  const id = diskQomPath(drive)
  const isLost = !isDone && there === undefined && !isStorageEmpty(drive.source)
  if (isLost) {
    if (state?.tray_open === false) await reopen(qmp, id)
    await insertMedium(drive, guest)
  }
  const wasShut = from.target?.tray !== 'open'
  const isOpen = state?.tray_open || (isLost && state?.tray_open === false)
  if (wasShut && isOpen) await qmp.execute('blockdev-close-tray', { id })
  await guest.removeParts(builder => addDiskBackend(builder, other))
  await reservationsHelper.give(other, guest)
  await guest.dismiss(other)
  guest.noteMedium(drive)
}
