// PCI places of all devices (qemuDomainAssignPCIAddresses): a trial run finds out which controllers it takes, a second
// one gives the places.
import { readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { ensureController, PCI_INDEX_MAX, tooManyBuses } from '../../../../conf/controllers.ts'
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import { pciModelOf } from '../../../../conf/devices/controller-models.ts'
import { pciAddressOf, pciAddressText } from '../../../../conf/devices/device-address.ts'
import type { HostdevDef } from '../../../../conf/devices/hostdev.ts'
import { type AnyDevice, type DeviceKind, eachDeviceInfo } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { QemuContext } from '../../context.ts'
import { isArm, isArmVirt, isPseries, isRiscv, isRiscvVirt } from '../../machine-type.ts'
import { BUSES_MAX, PciBuses } from './pci-buses.ts'
import { isPiix3Controller, placeChipset } from './pci-chipset.ts'
import { connectFlags, hasPcieRoot } from './pci-connect.ts'
import { completePciControllers } from './pci-controllers.ts'
import { CONNECT, PCI_DEVICE, PCIE_DEVICE } from './pci-flags.ts'
import { type NeedsOf, placeDevices } from './pci-order.ts'
import { assignZpciIds } from './zpci.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/** The needs of each device from its place. */
const needsIn =
  (def: DomainDef, context: QemuContext): NeedsOf =>
  (kind, dev) => ({ flags: connectFlags(kind, dev, def, context), isolationGroup: isolationGroup(kind, dev, def) })

function highestIndex(def: DomainDef): number {
  const indexes = pciControllers(def).map(({ index = 0 }) => index)
  const highest = indexes.reduce((a, b) => Math.max(a, b), -1)
  if (highest > BUSES_MAX) throw tooManyBuses(indexes.find(index => index > PCI_INDEX_MAX)!)
  return highest
}

/** Gives every PCI device a place and adds the controllers that takes. */
export function assignPciAddresses(def: DomainDef, context: QemuContext): void {
  const needsOf = needsIn(def, context)
  const highest = highestIndex(def)
  const count = highest < 0 ? 0 : addControllers(def, highest, needsOf, context)
  const buses = usedBuses(def, count, false, needsOf, context)
  if (!supportsPci(def, context)) return
  placeChipset(def, buses, video => needsOf('videos', video).flags)
  placeDevices(def, buses, needsOf, context)
  if (context.qemu.has('zpci')) assignZpciIds(def)
  markMultifunction(def)
  completePciControllers(def, context)
}

/**
 * Gives a device that comes to a running guest a place that takes hotplug, or checks the one it has
 * (qemuDomainEnsurePCIAddress). The definition does not have the device yet.
 * @throws VIR_ERR_INTERNAL_ERROR when there is none, VIR_ERR_XML_ERROR for one that does not do
 */
export function ensurePciAddress(def: DomainDef, kind: DeviceKind, dev: AnyDevice, context: QemuContext): void {
  const needsOf = needsIn(def, context)
  const { flags, isolationGroup } = needsOf(kind, dev)
  if (flags === 0) return
  const buses = usedBuses(def, highestIndex(def) + 1, false, needsOf, context)
  placeChipset(def, buses, video => needsOf('videos', video).flags)
  const given = pciAddressOf(dev)
  if (!given) {
    dev.address = buses.reserveNext(flags | CONNECT.hotplug, isolationGroup)
    return
  }
  if (given.function !== 0) {
    throw failDomain('VIR_ERR_INTERNAL_ERROR', 'Only PCI device addresses with function=0 are supported')
  }
  buses.reserve(given, flags | CONNECT.hotplug, isolationGroup)
}

const pciControllers = ({ devices }: DomainDef): ControllerDef[] =>
  devices.controllers.filter(({ type }) => type === 'pci')

/** Machines whose devices can be on PCI; others have no PCI bus to put them on (qemuDomainSupportsPCI). */
function supportsPci(def: DomainDef, { qemu }: QemuContext): boolean {
  if (!isArm(def) && !isRiscv(def)) return true
  if (def.os.machine === 'versatilepb') return true
  return (isArmVirt(def) || isRiscvVirt(def)) && qemu.has('gpex-pcihost')
}

/** The trial run. Returns how many buses there are then. */
function addControllers(def: DomainDef, highest: number, needsOf: NeedsOf, context: QemuContext): number {
  const buses = usedBuses(def, highest + 1, true, needsOf, context)
  placeChipset(def, buses, video => needsOf('videos', video).flags)
  // conventional guests keep a slot for one more bridge, unless every place was given by the user
  const isConventional = pciControllers(def).some(({ index, model }) => index === 0 && model === 'pci-root')
  if (isConventional && !buses.buses.every(({ isFull }) => isFull)) buses.reserveNext(PCI_DEVICE)
  placeDevices(def, buses, needsOf, context)
  // Express guests that leave the buses to us keep one port free for hotplug
  if (highest === 0 && buses.buses.length > 1 && hasPcieRoot(def)) buses.reserveNext(PCIE_DEVICE)
  for (let index = 1; index < buses.buses.length; index++) {
    const { model } = buses.buses[index]!
    const { controller, added } = ensureController(def, 'pci', index, model)
    if (!added || model === 'pci-root' || model === 'pcie-root') continue
    buses.reserveNext(needsOf('controllers', controller).flags)
  }
  return buses.buses.length
}

/** The buses of the definition's controllers, with the places it names taken (qemuDomainPCIAddressSetCreate). */
function usedBuses(def: DomainDef, count: number, canGrow: boolean, needsOf: NeedsOf, { qemu }: QemuContext): PciBuses {
  const multipleRoots = isPseries(def)
  const buses = new PciBuses({ count, canGrow, multipleRoots, pcieToPciBridge: qemu.has('pcie-pci-bridge') })
  for (const dev of pciControllers(def)) {
    buses.buses[dev.index ?? 0]?.setModel(pciModelOf(dev), dev.target?.hotplug !== false)
  }
  const missing = multipleRoots ? 'pci-root' : hasPcieRoot(def) ? 'pcie-root-port' : 'pci-bridge'
  buses.buses.forEach((bus, index) => {
    if (bus.model === undefined) bus.setModel(index === 0 ? 'pci-root' : missing)
  })
  // host devices are kept off the bridge every guest has
  if (buses.buses[0] && needsIsolation(def)) buses.buses[0].isolationLocked = true
  for (const [kind, dev] of eachDeviceInfo(def.devices)) {
    const address = pciAddressOf(dev)
    if (!address) continue
    if (kind === 'controllers' && isOnPiix3(dev as ControllerDef, buses)) continue
    const { flags, isolationGroup } = needsOf(kind, dev)
    buses.reserve(address, flags || CONNECT.pci, isolationGroup)
  }
  return buses
}

/** PIIX3's own controllers take their places with the chipset. */
function isOnPiix3(dev: ControllerDef, { buses }: PciBuses): boolean {
  const address = pciAddressOf(dev)!
  const which = isPiix3Controller(dev)
  const fn = which === 'ide' ? 1 : 2
  if (!which || address.domain !== 0 || address.bus !== 0 || address.slot !== 1 || address.function !== fn) {
    return false
  }
  if (buses[0] && !(buses[0].accepts & CONNECT.pci)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', 'Bus 0 must be PCI for integrated PIIX3 USB or IDE controllers')
  }
  return true
}

/** Function 0 of a slot says so when there are more functions in use (virDomainPCIAddressSetAllMulti). */
function markMultifunction({ devices }: DomainDef): void {
  const slotOf = ({ address }: AnyDevice) =>
    address?.type === 'pci' ? `${address.domain}:${address.bus}:${address.slot}` : undefined
  const shared = new Set<string | undefined>()
  for (const [, dev] of eachDeviceInfo(devices)) {
    if (dev.address?.type === 'pci' && dev.address.function !== 0) shared.add(slotOf(dev))
  }
  for (const [, dev] of eachDeviceInfo(devices)) {
    if (dev.address?.type !== 'pci' || dev.address.function !== 0 || !shared.delete(slotOf(dev))) continue
    dev.address.multifunction ??= true
  }
}

/** Group of emulated devices, and of a host device whose group cannot be told. */
const NO_GROUP = 0

/** True for pSeries guests: host devices that must fail alone get host bridges of their own there. */
const needsIsolation: (def: DomainDef) => boolean = isPseries

/** Isolation group of a device: the number of its IOMMU group on the host, plus one (qemuDomainSetupIsolationGroups). */
function isolationGroup(kind: DeviceKind, dev: AnyDevice, def: DomainDef): number {
  if (kind !== 'hostdevs' || !needsIsolation(def)) return NO_GROUP
  const { source } = dev as HostdevDef
  if (source.type !== 'pci') return NO_GROUP
  try {
    const link = readlinkSync(`/sys/bus/pci/devices/${pciAddressText(source.place)}/iommu_group`)
    return Number(basename(link)) + 1
  } catch {
    return NO_GROUP
  }
}
