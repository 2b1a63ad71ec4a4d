// Kinds of PCI devices, a row per family that can be one (qemuDomainDeviceCalculatePCIConnectFlags).
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import { isVirtioScsi, pciModelOf, type UsbModel } from '../../../../conf/devices/controller-models.ts'
import { pciAddressOf } from '../../../../conf/devices/device-address.ts'
import type { HostdevDef } from '../../../../conf/devices/hostdev.ts'
import type { AnyDevice, DeviceKind, Devices } from '../../../../conf/devices/index.ts'
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { knownModel } from '../../../../conf/devices/interface-driver.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { isPciExpress } from '../../../../host/devices.ts'
import type { QemuContext } from '../../context.ts'
import { CONNECT, PCI_DEVICE, PCI_MODELS, PCIE_DEVICE } from './pci-flags.ts'

/** `virtio` devices are Express devices where both the guest and QEMU have those. */
type Connection = 'none' | 'pci' | 'pcie' | 'virtio' | 'integrated'

/** Transitional devices work in conventional slots only. */
const virtio = (model: string | undefined): Connection => (model === 'virtio-transitional' ? 'pci' : 'virtio')

const XHCI: ReadonlySet<string> = new Set<UsbModel>(['nec-xhci', 'qemu-xhci'])
const NO_USB: ReadonlySet<string> = new Set<UsbModel>(['none', 'qusb1', 'qusb2'])

function controller({ type, model }: ControllerDef): Connection {
  switch (type) {
    case 'sata':
    case 'ide':
      return 'pci'
    case 'usb':
      if (model !== undefined && XHCI.has(model)) return 'pcie'
      return model !== undefined && NO_USB.has(model) ? 'none' : 'pci'
    case 'scsi':
      if (model === undefined || model === 'ncr53c90') return 'none'
      return isVirtioScsi(model) ? virtio(model) : 'pci'
    case 'virtio-serial':
      return virtio(model)
    default:
      return 'none'
  }
}

const VIDEO_CONNECTIONS: Partial<Record<string, Connection>> = {
  virtio: 'virtio',
  vga: 'pci',
  cirrus: 'pci',
  vmvga: 'pci',
  xen: 'pci',
  vbox: 'pci',
  qxl: 'pci',
  parallels: 'pci',
  bochs: 'pcie'
}
const PCI_SOUND: ReadonlySet<string> = new Set(['es1370', 'ac97', 'ich6', 'ich9'])

function network({ source, model, address }: InterfaceDef): Connection {
  if ('device' in source) return hostdev({ source: source.device, address })
  if (model === 'usb-net') return 'none'
  if (model === 'virtio' || model === 'virtio-non-transitional') return 'virtio'
  // libvirt takes a model it does not know for a host device of a network's pool
  return model === 'e1000e' || model === 'igb' || knownModel(model) === 'unknown' ? 'pcie' : 'pci'
}

/** Drivers of file systems that are no device of the guest's, or one on USB. */
const NOT_PCI_FILESYSTEM: ReadonlySet<string | undefined> = new Set(['loop', 'nbd', 'ploop', 'mtp'])

function hostdev({ source, address }: Pick<HostdevDef, 'source' | 'address'>): Connection {
  switch (source.type) {
    case 'pci':
      return pciAddressOf({ address }) || isPciExpress(source.place) ? 'pcie' : 'pci'
    case 'scsi_host':
      return virtio(source.model)
    case 'mdev':
      return 'pcie'
    default:
      return 'none'
  }
}

/** A row per family that can be PCI; the others never are. */
const CONNECTIONS: { [K in DeviceKind]?: (dev: Devices[K][number], def: DomainDef) => Connection } = {
  controllers: controller,
  filesystems: ({ driver, model }) => (NOT_PCI_FILESYSTEM.has(driver?.type) ? 'none' : virtio(model)),
  interfaces: network,
  sounds: ({ model }) => (model === 'virtio' ? 'virtio' : PCI_SOUND.has(model) ? 'pci' : 'none'),
  disks: ({ target, model }) => (target?.bus === 'virtio' ? virtio(model) : 'none'),
  memballoons: ({ model }) => (model === 'none' || model === 'xen' ? 'none' : virtio(model)),
  rngs: ({ model }) => virtio(model),
  watchdogs: ({ model }) => (model === 'i6300esb' ? 'pci' : 'none'),
  videos: ({ model }) => VIDEO_CONNECTIONS[model?.type ?? ''] ?? 'none',
  shmems: () => 'pci',
  inputs: ({ bus, model }) => (bus === 'virtio' ? virtio(model) : 'none'),
  serials: ({ target }) => (target.type === 'pci-serial' ? 'pci' : 'none'),
  vsocks: ({ model }) => virtio(model),
  iommus: ({ model }) => (model === 'virtio' ? 'virtio' : model === 'amd' ? 'pcie' : 'none'),
  hostdevs: hostdev,
  memories: ({ model }) => (model === 'virtio-pmem' || model === 'virtio-mem' ? 'virtio' : 'none'),
  cryptos: () => 'pci',
  panics: ({ model }) => (model === 'pvpanic' ? 'integrated' : 'none'),
  pstores: () => 'pci'
}

/** The guest's root bus is an Express one (qemuDomainHasPCIeRoot). */
export function hasPcieRoot({ devices }: DomainDef): boolean {
  return devices.controllers.some(one => one.type === 'pci' && one.index === 0 && one.model === 'pcie-root')
}

/** The connection flags of a device, 0 for devices that are none on PCI. */
export function connectFlags(kind: DeviceKind, dev: AnyDevice, def: DomainDef, { qemu }: QemuContext): number {
  if (kind === 'controllers') {
    const model = pciModelOf(dev as ControllerDef)
    if (model !== undefined) return PCI_MODELS[model].plug
  }
  const row = CONNECTIONS[kind] as ((dev: AnyDevice, def: DomainDef) => Connection) | undefined
  const express = hasPcieRoot(def) ? PCIE_DEVICE : PCI_DEVICE
  switch (row?.(dev, def) ?? 'none') {
    case 'pci':
      return PCI_DEVICE
    case 'pcie':
      return kind === 'iommus' ? express | CONNECT.integrated : express
    case 'integrated':
      return PCI_DEVICE | CONNECT.integrated
    case 'virtio': {
      const flags = qemu.has('virtio-pci-non-transitional') ? express : PCI_DEVICE
      return kind === 'iommus' ? flags | CONNECT.integrated : flags
    }
    case 'none':
      return 0
  }
}
