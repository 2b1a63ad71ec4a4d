// Limit of the memory a guest's QEMU may lock.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import type { StorageType } from '../../../conf/storage/source.ts'
import { runHostCommand } from '../../../host/command.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { PRLIMIT } from './privilege.ts'

/** Memory that devices take on top of the guest's, in KiB. */
const DEVICES_KIB = 1024 * 1024

/**
 * Memory QEMU has to lock: bytes, 'unlimited', or undefined where the usual limit will do
 * (qemuDomainGetMemLockLimitBytes).
 *
 * Differs from libvirt: only for x86 guests, and a hard limit does not raise the other where nothing has to be locked:
 * in a container we may not have the right to.
 */
export function memoryLockLimit(def: DomainDef): number | 'unlimited' | undefined {
  const { hardLimitKiB } = def.memtune ?? {}
  const wanted = hardLimitKiB === undefined ? undefined : hardLimitKiB * 1024
  if (def.memoryBacking?.locked) return wanted ?? 'unlimited'
  const { disks, hostdevs, interfaces, iommus } = def.devices
  const disksOn = (type: StorageType) =>
    disks.filter(({ source }) => storageChain(source).some(image => image.type === type)).length
  const vfio = hostdevs.filter(({ source }) => source.type === 'pci' || source.type === 'mdev').length
  const vdpa = interfaces.filter(({ type }) => type === 'vdpa').length + disksOn('vhostvdpa')
  const times = vdpa + disksOn('nvme') + (iommus.length > 0 ? vfio : Math.min(vfio, 1))
  return times === 0 ? undefined : (wanted ?? (times * (def.memoryKiB ?? 0) + DEVICES_KIB) * 1024)
}

/**
 * Lets a QEMU that runs lock what it needs with a device that it is about to get (qemuDomainAdjustMaxMemLock). The limit
 * stays when the device is gone.
 * @param before the limit without the device
 * @throws VIR_ERR_INTERNAL_ERROR where we have no right to raise it
 */
export async function raiseMemoryLock(
  { def, process }: Pick<QemuDomain, 'def' | 'process'>,
  before: ReturnType<typeof memoryLockLimit>
): Promise<void> {
  const limit = memoryLockLimit(def)
  if (!process || limit === undefined || limit === before) return
  await runHostCommand(PRLIMIT, ['--pid', `${process.pid}`, `--memlock=${limit}:${limit}`])
}
