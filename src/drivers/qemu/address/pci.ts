// PCI places: the chipset's own devices where the chipset has them, the rest on free slots in libvirt's device order.
import type { ControllerDef } from '../../../conf/devices/controller.ts'
import { isPciAddressEmpty, type PciAddress } from '../../../conf/devices/device-info.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isI440fx, isQ35 } from '../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const SLOTS = 32

type Placed = { address?: { type: string } }

const pci = (bus: number, slot: number, fn = 0): PciAddress => ({ type: 'pci', domain: 0, bus, slot, function: fn })

/** Slots in use on bus 0. */
class Bus {
  #taken = new Set<string>()

  take({ bus, slot, function: fn }: PciAddress): void {
    const key = `${bus}:${slot}:${fn}`
    if (this.#taken.has(key)) {
      throw fail('VIR_ERR_XML_ERROR', `Attempted double use of PCI Address 0000:${hex(bus, 2)}:${hex(slot, 2)}.${fn}`)
    }
    this.#taken.add(key)
  }

  isFree(slot: number): boolean {
    return ![...this.#taken].some(key => key.startsWith(`0:${slot}:`))
  }

  next(): PciAddress {
    for (let slot = 1; slot < SLOTS; slot++) if (this.isFree(slot)) return pci(0, slot)
    throw fail('VIR_ERR_INTERNAL_ERROR', 'No more available PCI slots')
  }
}

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0')

/** Gives every PCI device a place. */
export function assignPciAddresses(def: DomainDef): void {
  if (!def.devices.controllers.some(({ model }) => model === 'pci-root' || model === 'pcie-root')) return
  const bus = new Bus()
  if (isI440fx(def)) placePiix3(def)
  if (isQ35(def)) placeIch9(def)
  const { devices } = def
  const all: Placed[] = [
    ...devices.controllers,
    ...devices.disks,
    ...devices.memballoons,
    ...devices.rngs,
    ...devices.interfaces,
    ...devices.videos,
    ...devices.sounds
  ]
  for (const { address } of all)
    if (address?.type === 'pci' && !isPciAddressEmpty(address as PciAddress)) bus.take(address as PciAddress)
  if (isI440fx(def) && bus.isFree(1)) bus.take(pci(0, 1))
  const [primary] = devices.videos
  if (primary && needsPlace(primary) && bus.isFree(2)) place(bus, primary, pci(0, 2))
  const inOrder: Placed[] = [
    ...devices.interfaces,
    ...devices.sounds,
    ...devices.controllers.filter(isPciController),
    ...devices.disks.filter(({ target }) => target?.bus === 'virtio'),
    ...devices.memballoons.filter(({ model }) => model !== 'none'),
    ...devices.rngs,
    ...devices.videos
  ]
  for (const dev of inOrder) if (needsPlace(dev)) place(bus, dev, bus.next())
}

function isPciController({ type, model }: ControllerDef): boolean {
  if (type === 'usb') return model !== 'none'
  return type === 'scsi' || type === 'virtio-serial' || type === 'sata'
}

function needsPlace({ address }: Placed): boolean {
  return address === undefined || (address.type === 'pci' && isPciAddressEmpty(address as PciAddress))
}

function place(bus: Bus, dev: Placed, address: PciAddress): void {
  bus.take(address)
  dev.address = address
}

/** ICH9: SATA is function 2 of slot 0x1f. */
function placeIch9({ devices }: DomainDef): void {
  for (const one of devices.controllers)
    if (one.type === 'sata' && one.index === 0 && needsPlace(one)) one.address = pci(0, 0x1f, 2)
}

/** PIIX3: IDE is function 1, the first USB controller function 2 of slot 1. */
function placePiix3({ devices }: DomainDef): void {
  for (const one of devices.controllers) {
    if (one.index !== 0 || !needsPlace(one)) continue
    if (one.type === 'ide') one.address = pci(0, 1, 1)
    if (one.type === 'usb' && one.model === 'piix3-uhci') one.address = pci(0, 1, 2)
  }
}
