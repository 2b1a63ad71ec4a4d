// Devices that sit on USB, and numbers of USB controllers' ports.
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import type { AnyDevice, DeviceKind, Devices } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'

/** A family, and the devices of it that are on USB. */
const row = <K extends DeviceKind>(kind: K, isUsb: (dev: Devices[K][number]) => boolean) =>
  [kind, isUsb as (dev: unknown) => boolean] as const

/** USB devices in the order in which they get their ports (virDomainUSBDeviceDefForeach). */
const USB_DEVICES = [
  row('disks', ({ target }) => target?.bus === 'usb'),
  row('interfaces', ({ model }) => model === 'usb-net'),
  row('sounds', ({ model }) => model === 'usb'),
  row('interfaces', ({ source }) => 'device' in source && source.device.type === 'usb'),
  row('hostdevs', ({ source }) => source.type === 'usb'),
  row('controllers', ({ type }) => type === 'ccid'),
  row('serials', ({ target }) => target.type === 'usb-serial'),
  row('inputs', ({ bus }) => bus === 'usb'),
  row('filesystems', ({ driver }) => driver?.type === 'mtp'),
  row('redirdevs', () => true)
]

/** Every USB device but hubs. */
export function usbDevices({ devices }: DomainDef): AnyDevice[] {
  return USB_DEVICES.flatMap(([kind, isUsb]) => (devices[kind] as AnyDevice[]).filter(isUsb))
}

/** Ports by model. An ICH9 master has the ports of its companions, so they count none. */
const PORTS: Partial<Record<string, number>> = {
  'piix3-uhci': 2,
  'piix4-uhci': 2,
  'vt82c686b-uhci': 2,
  ehci: 6,
  'ich9-ehci1': 6,
  'pci-ohci': 3,
  'nec-xhci': 4,
  'qemu-xhci': 4
}
const DEFAULT_PORTS = 2

/** virDomainUSBAddressControllerModelToPorts; 0 for what is no USB controller. */
export function usbControllerPorts({ type, model, ports }: ControllerDef): number {
  if (type !== 'usb') return 0
  if (model === undefined) return DEFAULT_PORTS
  if (model === 'nec-xhci' || model === 'qemu-xhci') return ports ?? PORTS[model]!
  return PORTS[model] ?? 0
}
