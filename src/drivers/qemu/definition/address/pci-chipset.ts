// PCI places of the chipset: devices at fixed ones, and devices at their usual ones
// (qemuDomainValidateDevicePCISlotsChipsets).
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import {
  isPciAddressWanted,
  type PciAddress,
  pciAddressOf,
  pciAddressText
} from '../../../../conf/devices/device-address.ts'
import type { VideoDef } from '../../../../conf/devices/video.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { isI440fx, isQ35 } from '../../machine-type.ts'
import { type PciBuses, pciAddress } from './pci-buses.ts'
import { CONNECT, PCI_DEVICE } from './pci-flags.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Gives the connection flags of a display adapter. */
export type FlagsOf = (video: VideoDef) => number

/** Places the chipset's devices; the trial run over growing buses places them too. */
export function placeChipset(def: DomainDef, buses: PciBuses, flagsOf: FlagsOf): void {
  if (isI440fx(def)) placePiix3(def, buses, flagsOf)
  if (isQ35(def)) placeQ35(def, buses, flagsOf)
}

/** Gives the device that place or checks that it has it. */
function fix(dev: ControllerDef, place: PciAddress, what: string): void {
  const given = pciAddressOf(dev)
  if (given && pciAddressText(given) !== pciAddressText(place)) {
    const { slot, function: fn } = place
    throw fail('VIR_ERR_INTERNAL_ERROR', `${what} must have PCI address 0:0:${slot.toString(16)}.${fn}`)
  }
  if (!given) dev.address = place
}

/** The first IDE controller and the first USB controller of the chipset's own kind are functions of PIIX3, slot 1. */
export function isPiix3Controller({ type, index, model }: ControllerDef): 'ide' | 'usb' | undefined {
  if (index !== 0) return undefined
  if (type === 'ide') return 'ide'
  return type === 'usb' && (model === undefined || model === 'piix3-uhci') ? 'usb' : undefined
}

function placePiix3(def: DomainDef, buses: PciBuses, flagsOf: FlagsOf): void {
  for (const dev of def.devices.controllers) {
    const which = isPiix3Controller(dev)
    if (!which) continue
    if (which === 'ide') fix(dev, pciAddress(0, 1, 1), 'Primary IDE controller')
    else fix(dev, pciAddress(0, 1, 2), 'PIIX3 USB controller at index 0')
    if (buses.buses.length > 0) buses.reserve(pciAddressOf(dev)!, PCI_DEVICE)
  }
  if (buses.buses.length > 0) {
    buses.reserve(pciAddress(0, 1, 0), PCI_DEVICE) // ISA bridge
    buses.reserve(pciAddress(0, 1, 3), PCI_DEVICE) // power management
  }
  placePrimaryVideo(def, buses, pciAddress(0, 2), PCI_DEVICE, flagsOf)
}

const Q35_FLAGS = CONNECT.pcie

function placeQ35(def: DomainDef, buses: PciBuses, flagsOf: FlagsOf): void {
  /** the first of the usual places that is free */
  const usual = (dev: ControllerDef, slots: number[], more: Partial<PciAddress> = {}) => {
    const slot = slots.find(one => !buses.isSlotInUse(pciAddress(0, one)))
    if (slot === undefined) return
    buses.reserve(pciAddress(0, slot), Q35_FLAGS)
    dev.address = { ...pciAddress(0, slot), ...more }
  }
  for (const dev of def.devices.controllers) {
    if (dev.type === 'sata' && dev.index === 0) fix(dev, pciAddress(0, 0x1f, 2), 'Primary SATA controller')
    else if (dev.address) continue
    else if (dev.model === 'ich9-uhci1') usual(dev, [0x1d, 0x1a], { multifunction: true })
    else if (dev.model === 'dmi-to-pci-bridge') usual(dev, [0x1e])
  }
  if (buses.buses.length > 0) {
    buses.reserve(pciAddress(0, 0x1f, 0), Q35_FLAGS) // ISA bridge
    buses.reserve(pciAddress(0, 0x1f, 3), Q35_FLAGS) // SMBus
  }
  placePrimaryVideo(def, buses, pciAddress(0, 1), Q35_FLAGS, flagsOf)
  const hda = pciAddress(0, 0x1b)
  if (buses.isSlotInUse(hda)) return
  const sound = def.devices.sounds.find(dev => dev.model === 'ich9' && isPciAddressWanted(dev))
  if (!sound) return
  buses.reserve(hda, Q35_FLAGS)
  sound.address = hda
}

/** QEMU puts the first display adapter on the first slot behind the chipset's own. */
function placePrimaryVideo(
  { devices }: DomainDef,
  buses: PciBuses,
  place: PciAddress,
  flags: number,
  flagsOf: FlagsOf
): void {
  const [video] = devices.videos
  const type = video?.model?.type
  if (!video || type === 'none' || type === 'ramfb' || !isPciAddressWanted(video)) return
  buses.validate(place, flags, true)
  if (!buses.isSlotInUse(place)) {
    buses.reserve(place, flags)
    video.address = place
    return
  }
  const next = buses.reserveNext(flagsOf(video))
  if (!buses.canGrow) video.address = next
}
