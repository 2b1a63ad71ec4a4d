// The table of device families as QEMU has them.
import type { AnyDevice, DeviceKind, Devices } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import { qemuAudio } from './audio.ts'
import { qemuChannel, qemuConsole, qemuParallel, qemuSerial } from './chardev/chardev.ts'
import { qemuController } from './controller/controller.ts'
import { qemuCrypto } from './crypto.ts'
import { qemuDisk } from './disk/disk.ts'
import type { LiveRules, QemuFamily } from './family.ts'
import { qemuFilesystem } from './filesystem/filesystem.ts'
import { qemuGraphics } from './graphics/graphics.ts'
import { qemuHostdev } from './hostdev/hostdev.ts'
import { qemuHub } from './hub.ts'
import { qemuInput } from './input.ts'
import { qemuInterface } from './interface/interface.ts'
import { qemuIommu } from './iommu.ts'
import { qemuLease } from './lease.ts'
import { qemuMemballoon } from './memballoon.ts'
import { qemuMemory } from './memory/memory.ts'
import { qemuNvram } from './nvram.ts'
import { qemuPanic } from './panic.ts'
import { qemuPstore } from './pstore.ts'
import { qemuRedirdev } from './redirdev.ts'
import { qemuRng } from './rng.ts'
import { qemuShmem } from './shmem.ts'
import { qemuSmartcard } from './smartcard.ts'
import { qemuSound } from './sound.ts'
import { qemuTpm } from './tpm/tpm.ts'
import { qemuVideo } from './video.ts'
import { qemuVsock } from './vsock.ts'
import { qemuWatchdog } from './watchdog.ts'

/** The QEMU side of each device family. */
const families: { [K in DeviceKind]?: QemuFamily<Devices[K][number]> } = {
  disks: qemuDisk,
  controllers: qemuController,
  filesystems: qemuFilesystem,
  interfaces: qemuInterface,
  smartcards: qemuSmartcard,
  serials: qemuSerial,
  parallels: qemuParallel,
  consoles: qemuConsole,
  channels: qemuChannel,
  tpms: qemuTpm,
  inputs: qemuInput,
  audios: qemuAudio,
  graphics: qemuGraphics,
  videos: qemuVideo,
  sounds: qemuSound,
  watchdogs: qemuWatchdog,
  leases: qemuLease,
  redirdevs: qemuRedirdev,
  hostdevs: qemuHostdev,
  memories: qemuMemory,
  memballoons: qemuMemballoon,
  rngs: qemuRng,
  nvrams: qemuNvram,
  panics: qemuPanic,
  shmems: qemuShmem,
  vsocks: qemuVsock,
  cryptos: qemuCrypto,
  pstores: qemuPstore,
  iommus: qemuIommu,
  hubs: qemuHub
}

/** The row of a list of devices; filters of redirection have none. */
export function qemuFamily(kind: DeviceKind): QemuFamily<AnyDevice> | undefined {
  return families[kind] as QemuFamily<AnyDevice> | undefined
}

/** The rules for devices of a list of a guest that runs. */
export async function liveRules(kind: DeviceKind): Promise<LiveRules<AnyDevice>> {
  const live = qemuFamily(kind)?.live ?? {}
  return typeof live === 'function' ? live() : live
}

/** Tells QEMU what the parts of the devices of a list could not say; all at once. @throws VIR_ERR_INTERNAL_ERROR */
export function updateDevices(kind: DeviceKind, { devices }: DomainDef, qmp: QmpMonitor): Promise<void>[] {
  const family = qemuFamily(kind)
  return (devices[kind] as AnyDevice[]).flatMap(dev => family?.update?.(dev, qmp) ?? [])
}
