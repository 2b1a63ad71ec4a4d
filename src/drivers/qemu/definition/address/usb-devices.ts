// Devices that sit on USB, and numbers of USB controllers' ports.
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import type { AnyDevice, DeviceKind, Devices } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'

const always = () => true

/** USB devices by family, in the order in which they get their ports (virDomainUSBDeviceDefForeach). */
const USB_DEVICES: { [K in DeviceKind]?: (dev: Devices[K][number]) => boolean } = {
  interfaces: ({ source }) => 'device' in source && source.device.type === 'usb',
  hostdevs: ({ source }) => source.type === 'usb',
  disks: ({ target }) => target?.bus === 'usb',
  controllers: ({ type }) => type === 'ccid',
  inputs: ({ bus }) => bus === 'usb',
  serials: ({ target }) => target.type === 'usb-serial',
  sounds: ({ model }) => model === 'usb',
  redirdevs: always
}

/** Every USB device but hubs. */
export function usbDevices({ devices }: DomainDef): AnyDevice[] {
  return (Object.entries(USB_DEVICES) as [DeviceKind, (dev: unknown) => boolean][]).flatMap(([kind, isUsb]) =>
    (devices[kind] as AnyDevice[]).filter(isUsb)
  )
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
