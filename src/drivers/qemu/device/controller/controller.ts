// <controller>: the arguments (qemuBuildControllersCommandLine). Defaults and checks are in files of their own.
import { findController, insertController } from '../../../../conf/controllers.ts'
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import {
  isVirtioScsi,
  type PciModel,
  type ScsiModel,
  type UsbModel
} from '../../../../conf/devices/controller-models.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { Capability } from '../../capabilities/signs.ts'
import { hasBuiltinEsp, hasBuiltinIde, isPseries, isQ35, isS390 } from '../../machine-type.ts'
import { addressProps, virtioProps } from '../../parts/address.ts'
import { atStart, type Builder, type DeviceProps } from '../../parts/builder.ts'
import { iothreadId, iothreadMappingProps } from '../../parts/iothread-mapping.ts'
import { leave, missing, type QemuFamily } from '../family.ts'
import { postParseController } from './postparse.ts'
import { validateController } from './validate.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

export const qemuController: QemuFamily<ControllerDef> = {
  postParse: postParseController,
  validate: validateController,
  add: addController,
  unplug: leave('controllers'),
  config: {
    attach(dev, def) {
      if (dev.index !== undefined && findController(def, dev.type, dev.index)) {
        throw fail('VIR_ERR_OPERATION_INVALID', `controller index='${dev.index}' already exists`)
      }
      insertController(def.devices.controllers, dev)
    },
    noneToDetach: missing()
  },
  live: async () => (await import('./live.ts')).liveController
}

function addController(to: Builder, dev: ControllerDef): void {
  const { model, index, target = {} } = dev
  if (model === 'pci-root' && index === 0 && target.hotplug !== undefined) {
    atStart(to, model).add('-global', `PIIX4_PM.acpi-root-pci-hotplug=${target.hotplug ? 'on' : 'off'}`)
  }
  const props = isBuiltin(dev, to.def) ? undefined : propsByType(to, dev)
  if (props) to.device({ ...props, ...addressProps(to, dev) })
}

/** Part of the machine, or none (qemuBuildSkipController). */
function isBuiltin({ type, model, index }: ControllerDef, def: DomainDef): boolean {
  if (model === 'pcie-root' || (model === 'pci-root' && !isPseries(def))) return true
  if (type === 'usb') return model === 'none' || (model === undefined && isS390(def))
  if (index !== 0) return false
  if (type === 'sata') return isQ35(def)
  if (type === 'ide') return hasBuiltinIde(def)
  return model === 'ncr53c90' && hasBuiltinEsp(def)
}

/** Undefined for pSeries' first host bridge (qemuBuildControllerDevProps). */
function propsByType(to: Builder, dev: ControllerDef): DeviceProps | undefined {
  const { alias: id } = dev
  switch (dev.type) {
    case 'scsi':
      return scsiProps(dev)
    case 'virtio-serial':
      return {
        ...virtioProps('virtio-serial', dev.model, dev.address, dev.driver),
        id,
        max_ports: dev.ports,
        vectors: dev.vectors
      }
    case 'ccid':
      return { driver: 'usb-ccid', id }
    case 'sata':
      return { driver: 'ahci', id }
    case 'usb':
      return usbProps(to, dev)
    case 'pci':
      return pciProps(dev)
    default:
      throw unsupported(`Unsupported controller type: ${dev.type}`)
  }
}

const SCSI_DRIVERS: Partial<Record<ScsiModel, string>> = {
  lsilogic: 'lsi',
  ibmvscsi: 'spapr-vscsi',
  lsisas1068: 'mptsas1068',
  lsisas1078: 'megasas',
  vmpvscsi: 'pvscsi',
  am53c974: 'am53c974',
  dc390: 'dc-390'
}

function scsiProps({ model, alias, address, driver = {} }: ControllerDef): DeviceProps {
  if (isVirtioScsi(model)) {
    const { queues, cmdPerLun, maxSectors, ioeventfd, iothread, iothreads } = driver
    return {
      ...virtioProps('virtio-scsi', model, address, driver),
      iothread: iothread === undefined ? undefined : iothreadId(iothread),
      id: alias,
      num_queues: queues,
      'iothread-vq-mapping': iothreadMappingProps(iothreads),
      cmd_per_lun: cmdPerLun,
      max_sectors: maxSectors,
      ioeventfd
    }
  }
  const name = SCSI_DRIVERS[model as ScsiModel]
  if (name === undefined) throw unsupported(`Unsupported controller model: ${model}`)
  return { driver: name, id: alias }
}

/** QEMU's device for each USB model, and the capability that says it has it. */
const USB_DRIVERS: Partial<Record<UsbModel, [driver: string, Capability]>> = {
  'piix3-uhci': ['piix3-usb-uhci', 'piix3-usb-uhci'],
  'piix4-uhci': ['piix4-usb-uhci', 'piix4-usb-uhci'],
  ehci: ['usb-ehci', 'usb-ehci'],
  'ich9-ehci1': ['ich9-usb-ehci1', 'ich9-usb-ehci1'],
  'ich9-uhci1': ['ich9-usb-uhci1', 'ich9-usb-ehci1'],
  'ich9-uhci2': ['ich9-usb-uhci2', 'ich9-usb-ehci1'],
  'ich9-uhci3': ['ich9-usb-uhci3', 'ich9-usb-ehci1'],
  'vt82c686b-uhci': ['vt82c686b-usb-uhci', 'vt82c686b-usb-uhci'],
  'pci-ohci': ['pci-ohci', 'pci-ohci'],
  'nec-xhci': ['nec-usb-xhci', 'nec-usb-xhci'],
  'qemu-xhci': ['qemu-xhci', 'qemu-xhci']
}

function usbProps({ def, qemu }: Builder, dev: ControllerDef): DeviceProps {
  const driver = usbDriver(dev, qemu)
  const { ports, alias, masterStartPort } = dev
  if (masterStartPort === undefined) return { driver, p2: ports, p3: ports, id: alias }
  const master = def.devices.controllers.find(
    one => one.type === 'usb' && one.index === dev.index && one.masterStartPort === undefined
  )
  if (!master) throw fail('VIR_ERR_INTERNAL_ERROR', 'masterbus not found')
  return { driver, p2: ports, p3: ports, masterbus: `${master.alias}.0`, firstport: masterStartPort }
}

/** qemuValidateDomainDeviceDefControllerUSB: libvirt looks only when it makes the arguments. */
function usbDriver({ model, ports }: ControllerDef, qemu: Qemu): string {
  if (model === undefined) throw unsupported('no model provided for USB controller')
  const [driver, needed] = USB_DRIVERS[model as UsbModel] ?? []
  if (driver === undefined || needed === undefined || !qemu.has(needed)) {
    throw unsupported(`USB controller model '${model}' not supported in this QEMU binary`)
  }
  if (ports !== undefined && model !== 'nec-xhci' && model !== 'qemu-xhci') {
    throw unsupported(`usb controller type '${model}' doesn't support 'ports' with this QEMU binary`)
  }
  return driver
}

function pciProps({ model, pciModelName, alias: id, target = {} }: ControllerDef): DeviceProps | undefined {
  const driver = pciModelName ?? 'none'
  const { chassisNr, chassis, port, busNr, index, hotplug, node, memReserve } = target
  const reserved = { 'mem-reserve': memReserve === undefined ? undefined : memReserve * 1024n }
  switch (model as PciModel) {
    case 'pci-bridge':
      return { driver, chassis_nr: chassisNr, ...reserved, id }
    case 'pci-expander-bus':
    case 'pcie-expander-bus':
      return { driver, bus_nr: busNr, id, numa_node: node }
    case 'pcie-root-port':
    case 'pcie-switch-downstream-port':
      return { driver, port, chassis, id, hotplug, ...reserved }
    case 'pci-root':
      return index === 0 ? undefined : { driver, index, id, numa_node: node }
    default:
      return { driver, id }
  }
}
