// Device aliases: the ids QEMU knows the devices by (qemuAssignDeviceAliases).
import type { ControllerDef } from '../../conf/devices/controller.ts'
import type { DiskDef } from '../../conf/devices/disk.ts'
import { diskIndex } from '../../conf/devices/disk-name.ts'
import type { DeviceKind } from '../../conf/devices/index.ts'
import type { DomainDef } from '../../conf/domain-def.ts'
import { assignMemoryAliases } from './command/memory-device.ts'
import type { QemuContext } from './context.ts'

/** Families whose devices are numbered in order: `net0`, `video1`, … */
const PREFIXES: Partial<Record<DeviceKind, string>> = {
  interfaces: 'net',
  filesystems: 'fs',
  smartcards: 'smartcard',
  serials: 'serial',
  parallels: 'parallel',
  channels: 'channel',
  inputs: 'input',
  tpms: 'tpm',
  sounds: 'sound',
  videos: 'video',
  hostdevs: 'hostdev',
  redirdevs: 'redir',
  hubs: 'hub',
  watchdogs: 'watchdog',
  memballoons: 'balloon',
  rngs: 'rng',
  panics: 'panic',
  shmems: 'shmem',
  vsocks: 'vsock'
}

/** Gives every device that has none its alias. */
export function assignAliases(def: DomainDef, _context: QemuContext): void {
  const { devices } = def
  for (const [kind, prefix] of Object.entries(PREFIXES) as [DeviceKind, string][]) {
    const list = devices[kind] as { alias?: string }[]
    list.forEach((dev, i) => {
      dev.alias ??= `${prefix}${i}`
    })
  }
  assignMemoryAliases(def)
  for (const disk of devices.disks) disk.alias ??= diskAlias(disk, def)
  for (const one of devices.controllers) one.alias ??= controllerAlias(one, def)
  devices.consoles.forEach((console, i) => {
    const twin = console.target?.type === 'serial' ? devices.serials[i] : undefined
    console.alias ??= twin?.alias ?? `console${i}`
    if (twin) console.source = twin.source
  })
}

function diskAlias({ address, target }: DiskDef, def: DomainDef): string {
  const bus = target?.bus
  if (address?.type === 'drive') {
    const { controller, bus: channel, target: id, unit } = address
    if (bus === 'scsi') {
      const model = def.devices.controllers.find(one => one.type === 'scsi' && one.index === controller)?.model
      return model === 'lsilogic'
        ? `scsi${controller}-${channel}-${unit}`
        : `scsi${controller}-${channel}-${id}-${unit}`
    }
    return `${bus}${controller}-${channel}-${unit}`
  }
  return `${bus}-disk${diskIndex(target?.dev ?? '')}`
}

function controllerAlias({ type, index, model }: ControllerDef, def: DomainDef): string {
  if (type === 'pci')
    return model === 'pci-root' || model === 'pcie-root' ? (model === 'pci-root' ? 'pci.0' : 'pcie.0') : `pci.${index}`
  if (index === 0 && type === 'usb') return 'usb'
  if (index === 0 && type === 'ide' && /^pc/.test(def.os.machine ?? '')) return 'ide'
  return `${type}${index}`
}
