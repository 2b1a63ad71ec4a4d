// Devices a definition implies: controllers for what hangs on them, a console for a serial port, mouse and keyboard.
import type { ControllerDef, ControllerType } from './devices/controller.ts'
import { diskIndex } from './devices/disk.ts'
import type { DomainDef } from './domain-def.ts'

/** Gives controllers without an index the lowest free one of their type (virDomainAssignControllerIndexes). */
export function assignControllerIndexes({ devices }: DomainDef): void {
  for (const one of devices.controllers) {
    if (one.index !== undefined) continue
    one.index = 0
    while (devices.controllers.some(other => other !== one && other.type === one.type && other.index === one.index))
      one.index++
  }
}

/** Adds controllers of a type up to and including that index. */
function ensureControllers(def: DomainDef, type: ControllerType, index: number, model?: string): void {
  for (let at = 0; at <= index; at++) {
    if (def.devices.controllers.some(one => one.type === type && one.index === at)) continue
    const added: ControllerDef = { type, index: at, ...(model && { model }) }
    def.devices.controllers.push(added)
  }
}

const DISK_BUSES: Record<string, { type: ControllerType; units: number }> = {
  ide: { type: 'ide', units: 4 },
  scsi: { type: 'scsi', units: 7 },
  sata: { type: 'sata', units: 6 },
  fdc: { type: 'fdc', units: 2 }
}

/** Drive addresses from disk names: sda is unit 0 of controller 0, and so on (virDomainDiskDefAssignAddress). */
export function assignDriveAddresses(def: DomainDef): void {
  for (const disk of def.devices.disks) {
    const bus = DISK_BUSES[disk.target?.bus ?? '']
    if (!bus || disk.address) continue
    const index = diskIndex(disk.target!.dev!)
    const controller = Math.floor(index / bus.units)
    const unit = index % bus.units
    disk.address =
      bus.type === 'ide'
        ? { type: 'drive', controller, bus: Math.floor(unit / 2), target: 0, unit: unit % 2 }
        : { type: 'drive', controller, bus: 0, target: 0, unit }
  }
}

/** Controllers for disks, channels and consoles that need one (virDomainDefAddImplicitControllers). */
export function addImplicitControllers(def: DomainDef): void {
  const { disks, channels, consoles } = def.devices
  for (const disk of disks) {
    const bus = DISK_BUSES[disk.target?.bus ?? '']
    if (bus && disk.address?.type === 'drive') ensureControllers(def, bus.type, disk.address.controller)
  }
  const onSerialBus = [...channels, ...consoles].filter(({ target }) => target?.type === 'virtio')
  for (const { address } of onSerialBus) {
    ensureControllers(def, 'virtio-serial', address?.type === 'virtio-serial' ? address.controller : 0)
  }
}

/** PS/2 mouse and keyboard of an x86 guest that shows a picture (virDomainDefMaybeAddInput). */
export function addInputs(def: DomainDef): void {
  const { inputs } = def.devices
  if (!/^(i686|x86_64)$/.test(def.os.arch ?? '') || def.os.type !== 'hvm') return
  for (const type of ['mouse', 'keyboard'] as const) {
    if (!inputs.some(input => input.type === type && input.bus === 'ps2')) inputs.push({ type, bus: 'ps2' })
  }
}
