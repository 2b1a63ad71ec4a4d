// USB ports (qemuDomainAssignUSBAddresses): bus N is the USB controller with index N; hubs add ports to them.
import { type AddressOf, USB_MAX_PORT_DEPTH, usbPortPath } from '../../../../conf/devices/device-address.ts'
import type { AnyDevice } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { usbControllerPorts, usbDevices } from './usb-devices.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const failQemu = errorsFrom('VIR_FROM_QEMU')

const HUB_PORTS = 8

/** The ports of a controller or hub: taken or not, and the hubs on them. */
class Hub {
  readonly used: boolean[]
  readonly hubs: (Hub | undefined)[]

  constructor(ports: number) {
    this.used = new Array<boolean>(ports).fill(false)
    this.hubs = new Array<Hub | undefined>(ports).fill(undefined)
  }

  /** The path to the first free port: on the hub itself, else on the hubs behind it. */
  freePort(depth = 1): number[] | undefined {
    const free = this.used.indexOf(false)
    if (free >= 0) return [free + 1]
    if (depth === USB_MAX_PORT_DEPTH) return undefined
    for (const [at, hub] of this.hubs.entries()) {
      const path = hub?.freePort(depth + 1)
      if (path) return [at + 1, ...path]
    }
    return undefined
  }
}

type UsbAddress = AddressOf<'usb'>

class UsbBuses {
  readonly #buses = new Map<number, Hub>()

  addController(index: number, ports: number): void {
    if (this.#buses.has(index)) throw fail('VIR_ERR_XML_ERROR', `Duplicate USB controllers with index ${index}`)
    this.#buses.set(index, new Hub(ports))
  }

  /** The hub or controller with that port (virDomainUSBAddressFindPort). */
  #find(bus: number, port: string): { hub: Hub; at: number } {
    const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)
    let hub = this.#buses.get(bus)
    if (!hub) throw wrong(`Missing USB bus ${bus}`)
    const path = usbPortPath(port)
    const last = path.pop()!
    for (const step of path) {
      const where = `in USB address bus: ${bus} port: ${port}`
      if (step > hub.used.length) throw wrong(`port ${step} out of range ${where}`)
      hub = hub.hubs[step - 1]
      if (!hub) throw wrong(`there is no hub at port ${step} ${where}`)
    }
    if (last > hub.used.length) throw wrong(`requested USB port ${port} not present on USB bus ${bus}`)
    return { hub, at: last - 1 }
  }

  addHub({ bus, port = '' }: UsbAddress): void {
    const { hub, at } = this.#find(bus, port)
    if (hub.hubs[at]) throw fail('VIR_ERR_XML_ERROR', `Duplicate USB hub on bus ${bus} port ${port}`)
    hub.used[at] = true
    hub.hubs[at] = new Hub(HUB_PORTS)
  }

  reserve({ bus, port = '' }: UsbAddress): void {
    const { hub, at } = this.#find(bus, port)
    if (hub.used[at]) throw fail('VIR_ERR_XML_ERROR', `Duplicate USB address bus ${bus} port ${port}`)
    hub.used[at] = true
  }

  /** A free port, on the bus asked for if one is (virDomainUSBAddressAssign). */
  assign(dev: AnyDevice): UsbAddress {
    const wanted = dev.address?.type === 'usb' ? dev.address.bus : undefined
    if (wanted !== undefined && !this.#buses.has(wanted)) {
      throw fail('VIR_ERR_XML_ERROR', `USB bus ${wanted} requested but no controller with that index is present`)
    }
    for (const bus of [...this.#buses.keys()].sort((a, b) => a - b)) {
      const path = wanted === undefined || wanted === bus ? this.#buses.get(bus)!.freePort() : undefined
      if (!path) continue
      const address: UsbAddress = { type: 'usb', bus, port: path.join('.') }
      this.reserve(address)
      dev.address = address
      return address
    }
    throw fail('VIR_ERR_INTERNAL_ERROR', 'No free USB ports')
  }
}

/** A USB address whose port is known. */
const placed = ({ address }: AnyDevice): UsbAddress | undefined =>
  address?.type === 'usb' && address.port !== undefined ? address : undefined

/** Chooses ports for USB devices without one; adds hubs if the ports would not do. */
export function assignUsbAddresses(def: DomainDef): void {
  addHubs(def)
  const buses = usedPorts(def)
  for (const hub of def.devices.hubs) if (!placed(hub)) buses.addHub(buses.assign(hub))
  for (const dev of usbDevices(def)) if (isUsbPortWanted(dev)) buses.assign(dev)
}

/**
 * Gives a USB device that comes to a running guest a port, or checks the one it has (virDomainUSBAddressEnsure). The
 * definition does not have the device yet.
 */
export function ensureUsbAddress(def: DomainDef, dev: AnyDevice): void {
  const buses = usedPorts(def)
  const given = placed(dev)
  if (given) buses.reserve(given)
  else if (isUsbPortWanted(dev)) buses.assign(dev)
}

/** True if every USB device has its port. */
export function hasUsbPorts(def: DomainDef): boolean {
  return [...def.devices.hubs, ...usbDevices(def)].every(dev => placed(dev) !== undefined)
}

const isUsbPortWanted = ({ address }: AnyDevice) =>
  address === undefined || (address.type === 'usb' && address.port === undefined)

/** The ports of the definition's controllers and hubs, with those taken that it names. */
function usedPorts(def: DomainDef): UsbBuses {
  const { controllers, hubs } = def.devices
  const buses = new UsbBuses()
  for (const dev of controllers) {
    const ports = usbControllerPorts(dev)
    if (ports > 0) buses.addController(dev.index ?? 0, ports)
  }
  for (const hub of hubs) {
    const address = placed(hub)
    if (address) buses.addHub(address)
  }
  for (const dev of usbDevices(def)) {
    const address = placed(dev)
    if (address) buses.reserve(address)
  }
  return buses
}

/** Hubs for the devices that the controllers and hubs given have no ports for (qemuDomainUSBAddressAddHubs). */
function addHubs(def: DomainDef): void {
  const { controllers, hubs } = def.devices
  const needed = hubs.length + usbDevices(def).length
  const hasUsb = controllers.some(({ type, model }) => type === 'usb' && model !== 'none')
  if (needed > 0 && !hasUsb) {
    throw failQemu(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      'USB is disabled for this domain, but USB devices are present in the domain XML'
    )
  }
  const available = controllers.reduce((sum, dev) => sum + usbControllerPorts(dev), hubs.length * HUB_PORTS)
  if (needed <= available) return
  // each hub takes a port itself
  const missing = Math.ceil((needed - available + 1) / (HUB_PORTS - 1))
  for (let i = 0; i < missing; i++) hubs.push({ type: 'usb' })
}
