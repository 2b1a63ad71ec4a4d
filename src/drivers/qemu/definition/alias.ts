// Device aliases: the ids QEMU knows the devices by (qemuAssignDeviceAliases).
import { findController } from '../../../conf/controllers.ts'
import type { ControllerDef } from '../../../conf/devices/controller.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { diskIndex } from '../../../conf/devices/disk-name.ts'
import type { DeviceKind } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { assignMemoryAliases } from '../device/memory/memory.ts'
import { hasBuiltinIde, hasPciMultiBus, isQ35 } from '../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

type Aliased = { alias?: string; model?: unknown }

/** A balloon that says there is none. */
const isNone = ({ model }: Aliased) => model === 'none'

/** Families whose aliases count the devices: the third sound card is `sound2`, however the others are called. */
const BY_POSITION = {
  sounds: 'sound',
  redirdevs: 'redir',
  videos: 'video',
  inputs: 'input',
  parallels: 'parallel',
  serials: 'serial',
  channels: 'channel',
  hubs: 'hub',
  shmems: 'shmem',
  smartcards: 'smartcard',
  watchdogs: 'watchdog',
  memballoons: 'balloon',
  tpms: 'tpm',
  vsocks: 'vsock',
  iommus: 'iommu',
  pstores: 'pstore'
} as const satisfies Partial<Record<DeviceKind, string>>

/** Families whose aliases go on from the highest number in use, so that one is never given twice. */
const BY_NUMBER = { filesystems: 'fs', rngs: 'rng', cryptos: 'crypto' } as const satisfies Partial<
  Record<DeviceKind, string>
>

/** The number behind the highest alias of that prefix (qemuDomainDeviceAliasIndex). */
export function nextAliasNumber(devices: Iterable<Aliased>, prefix: string): number {
  let next = 0
  for (const { alias } of devices) {
    const digits = alias?.startsWith(prefix) ? alias.slice(prefix.length) : ''
    if (/^\d+$/.test(digits)) next = Math.max(next, Number(digits) + 1)
  }
  return next
}

/** Gives every device that has none its alias. @throws VIR_ERR_INTERNAL_ERROR for a SCSI disk without a controller */
export function assignAliases(def: DomainDef, _context: QemuContext): void {
  const { devices } = def
  for (const disk of devices.disks) disk.alias ??= diskAlias(disk, def)
  const { interfaces, hostdevs } = devices
  // interfaces that are host devices are numbered among these
  const onHost = interfaces.filter(({ type }) => type === 'hostdev')
  for (const dev of interfaces) {
    dev.alias ??=
      dev.type === 'hostdev'
        ? `hostdev${nextAliasNumber([...hostdevs, ...onHost], 'hostdev')}`
        : `net${nextAliasNumber(interfaces, 'net')}`
  }
  for (const dev of hostdevs) dev.alias ??= `hostdev${nextAliasNumber([...hostdevs, ...onHost], 'hostdev')}`
  for (const [kind, prefix] of Object.entries(BY_NUMBER) as [keyof typeof BY_NUMBER, string][]) {
    const list: Aliased[] = devices[kind]
    for (const dev of list) dev.alias ??= `${prefix}${nextAliasNumber(list, prefix)}`
  }
  for (const [kind, prefix] of Object.entries(BY_POSITION) as [keyof typeof BY_POSITION, string][]) {
    const list: Aliased[] = devices[kind]
    list.forEach((dev, i) => {
      if (!isNone(dev)) dev.alias ??= `${prefix}${i}`
    })
  }
  for (const one of devices.controllers) one.alias ??= controllerAlias(one, def)
  assignMemoryAliases(def)
  devices.consoles.forEach((console, i) => {
    const twin = console.target?.type === 'serial' ? devices.serials[i] : undefined
    console.alias ??= twin?.alias ?? `console${i}`
    if (twin) console.source = twin.source
  })
}

/** Prefixes of the aliases that go on from the highest number in use when a device comes to a running guest. */
const PREFIXES: Partial<Record<DeviceKind, string>> = { ...BY_POSITION, ...BY_NUMBER }

/** Gives a device its alias that comes to a running guest, whose definition does not have it yet. */
export function assignHotplugAlias(def: DomainDef, kind: DeviceKind, dev: Aliased, context: QemuContext): void {
  const prefix = PREFIXES[kind]
  if (prefix !== undefined) dev.alias ??= `${prefix}${nextAliasNumber(def.devices[kind] as Aliased[], prefix)}`
  else assignAliases({ ...def, devices: { ...def.devices, [kind]: [...def.devices[kind], dev] } }, context)
}

/** qemuAssignDeviceDiskAlias */
export function diskAlias({ address, target }: DiskDef, def: DomainDef): string {
  const { bus = 'ide', dev = '' } = target ?? {}
  if (address?.type !== 'drive') return `${bus}-disk${diskIndex(dev)}`
  const { controller, bus: channel, target: id, unit } = address
  if (bus === 'scsi') {
    const found = findController(def, 'scsi', controller)
    if (!found) throw fail('VIR_ERR_INTERNAL_ERROR', `unable to find a SCSI controller for idx=${controller}`)
    if (found.model !== 'lsilogic') return `scsi${controller}-${channel}-${id}-${unit}`
  }
  return `${bus}${controller}-${channel}-${unit}`
}

/** Alias of a controller: QEMU's own name for one built into the machine, else type and index. */
export function controllerAlias({ type, index = 0, model }: ControllerDef, def: DomainDef): string {
  if (type === 'pci') {
    if (!hasPciMultiBus(def)) return 'pci'
    return `${model === 'pcie-root' ? 'pcie' : 'pci'}.${index}`
  }
  if (index === 0) {
    if (type === 'ide' && hasBuiltinIde(def)) return 'ide'
    if (type === 'sata' && isQ35(def)) return 'ide'
    if (type === 'usb') return 'usb'
    if (type === 'scsi' && model === 'ncr53c90') return 'scsi'
  }
  return `${type}${index}`
}
