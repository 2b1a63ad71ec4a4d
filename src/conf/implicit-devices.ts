// Devices a definition implies: controllers for what hangs on them, a console for a serial port.
import { CONTROLLERS_MAX, ensureController, PCI_INDEX_MAX, tooManyBuses } from './controllers.ts'
import type { ControllerType } from './devices/controller.ts'
import type { DiskBus } from './devices/disk.ts'
import type { DomainDef } from './domain-def.ts'
import { driveOf } from './drive-address.ts'

/** Buses of disks with controllers of that type, in the order libvirt adds them. */
const DISK_BUSES = ['scsi', 'fdc', 'ide', 'sata'] as const satisfies (DiskBus & ControllerType)[]

/** Every controller up to the highest one in use. */
function ensureUpTo(def: DomainDef, type: ControllerType, highest: number): void {
  if (highest > CONTROLLERS_MAX) throw tooManyBuses(PCI_INDEX_MAX + 1)
  for (let index = 0; index <= highest; index++) ensureController(def, type, index)
}

/** Controllers for disks, channels, consoles and smartcards (virDomainDefAddImplicitControllers). */
export function addImplicitControllers(def: DomainDef): void {
  const { disks, channels, consoles } = def.devices
  const highest = new Map<DiskBus | undefined, number>()
  for (const disk of disks) {
    const bus = disk.target?.bus
    highest.set(bus, Math.max(highest.get(bus) ?? -1, driveOf(disk)?.controller ?? -1))
  }
  for (const bus of DISK_BUSES) ensureUpTo(def, bus, highest.get(bus) ?? -1)
  const onSerialBus = [...channels, ...consoles].filter(({ target }) => target?.type === 'virtio')
  for (const { address } of onSerialBus) {
    ensureController(def, 'virtio-serial', address?.type === 'virtio-serial' ? address.controller : 0)
  }
  addSmartcardControllers(def)
  addHostdevControllers(def)
}

/** Smartcards take the next slot of the first CCID controller (virDomainDefMaybeAddSmartcardController). */
function addSmartcardControllers(def: DomainDef): void {
  const { smartcards } = def.devices
  let slot = 0
  for (const { address } of smartcards) {
    if (address?.type === 'ccid' && address.controller === 0) slot = Math.max(slot, address.slot + 1)
  }
  for (const card of smartcards) {
    card.address ??= { type: 'ccid', controller: 0, slot: slot++ }
    ensureController(def, 'ccid', card.address.type === 'ccid' ? card.address.controller : 0)
  }
}

/**
 * SCSI controllers for host devices, of the model of the controllers that are there already
 * (virDomainDefMaybeAddHostdevSCSIcontroller). Done when the devices are read, which decides on the controllers' order,
 * and again when all have their addresses.
 */
export function addHostdevControllers(def: DomainDef): void {
  const { controllers, hostdevs } = def.devices
  let highest = -1
  let model: (typeof controllers)[number]['model']
  for (const dev of hostdevs) {
    // one without an address counts as on the first controller
    const index = dev.source.type === 'scsi' ? (driveOf(dev)?.controller ?? 0) : -1
    if (index <= highest) continue
    highest = index
    model = controllers.find(one => one.type === 'scsi' && one.index === index)?.model ?? model
  }
  if (highest > CONTROLLERS_MAX) throw tooManyBuses(PCI_INDEX_MAX + 1)
  for (let index = 0; index <= highest; index++) ensureController(def, 'scsi', index, model)
}
