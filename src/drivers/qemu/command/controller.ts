// <controller>: QEMU's defaults, checks and arguments.
import type { ControllerDef } from '../../../conf/devices/controller.ts'
import { isI440fx, isQ35 } from '../machine-type.ts'
import { addressProps, virtioProps } from './address.ts'
import type { Command, Props } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuController: QemuFamily<ControllerDef> = {
  postParse(dev, def, { qemu }) {
    if (dev.type === 'scsi') dev.model ??= qemu.has('lsi') ? 'lsilogic' : 'virtio-scsi'
    if (dev.type === 'usb')
      dev.model ??= isI440fx(def) || !qemu.has('nec-usb-xhci') ? 'piix3-uhci' : isQ35(def) ? 'qemu-xhci' : 'piix3-uhci'
  }
}

const USB_DRIVERS: Record<string, string> = {
  'piix3-uhci': 'piix3-usb-uhci',
  'piix4-uhci': 'piix4-usb-uhci',
  ehci: 'usb-ehci',
  'ich9-ehci1': 'ich9-usb-ehci1',
  'ich9-uhci1': 'ich9-usb-uhci1',
  'ich9-uhci2': 'ich9-usb-uhci2',
  'ich9-uhci3': 'ich9-usb-uhci3',
  'pci-ohci': 'pci-ohci',
  'nec-xhci': 'nec-usb-xhci',
  'qemu-xhci': 'qemu-xhci'
}
const SCSI_DRIVERS: Record<string, string> = {
  lsilogic: 'lsi',
  lsisas1068: 'mptsas1068',
  lsisas1078: 'megasas',
  am53c974: 'am53c974',
  dc390: 'dc-390'
}

/** The order libvirt starts controllers in. */
const ORDER = ['pci', 'usb', 'scsi', 'ide', 'sata', 'virtio-serial'] as const

export function globalControllerArgs(command: Command): void {
  for (const { type, model, pcihole64KiB } of command.def.devices.controllers) {
    if (type !== 'pci' || pcihole64KiB === undefined) continue
    const host = model === 'pcie-root' ? 'q35-pcihost' : 'i440FX-pcihost'
    command.add('-global', `${host}.pci-hole64-size=${pcihole64KiB}K`)
  }
}

export function controllersArgs(command: Command): void {
  const { controllers } = command.def.devices
  for (const type of ORDER) {
    for (const dev of controllers) {
      if (dev.type !== type) continue
      const props = controllerProps(command, dev)
      if (props) command.device(props)
    }
  }
}

export function ccidControllersArgs(command: Command): void {
  for (const dev of command.def.devices.controllers) {
    if (dev.type === 'ccid') command.device({ driver: 'usb-ccid', id: dev.alias, ...addressProps(command, dev) })
  }
}

/** -device of one controller; undefined for those the machine has built in. */
export function controllerProps(command: Command, dev: ControllerDef): (Props & { driver: string }) | undefined {
  const { def } = command
  const place = addressProps(command, dev)
  switch (dev.type) {
    case 'usb': {
      const driver = USB_DRIVERS[dev.model ?? '']
      if (!driver) return undefined
      return {
        driver,
        p2: dev.ports,
        p3: dev.ports,
        masterbus: dev.masterStartPort === undefined ? undefined : 'usb.0',
        firstport: dev.masterStartPort,
        id: dev.alias,
        ...place
      }
    }
    case 'scsi': {
      const driver = SCSI_DRIVERS[dev.model ?? '']
      if (driver) return { driver, id: dev.alias, ...place }
      const { queues, cmdPerLun, maxSectors, ioeventfd, iothread } = dev.driver ?? {}
      return {
        ...virtioProps('virtio-scsi', dev.model, dev.address, dev.driver),
        iothread: iothread === undefined ? undefined : `iothread${iothread}`,
        id: dev.alias,
        num_queues: queues,
        cmd_per_lun: cmdPerLun,
        max_sectors: maxSectors,
        ioeventfd,
        ...place
      }
    }
    case 'virtio-serial':
      return {
        ...virtioProps('virtio-serial', dev.model, dev.address, dev.driver),
        id: dev.alias,
        max_ports: dev.ports,
        vectors: dev.vectors,
        ...place
      }
    case 'sata':
      return isQ35(def) && dev.index === 0 ? undefined : { driver: 'ahci', id: dev.alias, ...place }
    case 'pci':
      return pciControllerProps(dev, place)
    default:
      return undefined
  }
}

function pciControllerProps(dev: ControllerDef, place: Props): (Props & { driver: string }) | undefined {
  const { target = {} } = dev
  switch (dev.model) {
    case 'pci-bridge':
      return { driver: 'pci-bridge', chassis_nr: target.chassisNr ?? dev.index, id: dev.alias, ...place }
    case 'pcie-root-port':
      return {
        driver: dev.pciModelName ?? 'pcie-root-port',
        port: target.port,
        chassis: target.chassis,
        id: dev.alias,
        hotplug: target.hotplug,
        ...place
      }
    case 'dmi-to-pci-bridge':
      return { driver: 'i82801b11-bridge', id: dev.alias, ...place }
    case 'pcie-to-pci-bridge':
      return { driver: 'pcie-pci-bridge', id: dev.alias, ...place }
    default:
      return undefined
  }
}
