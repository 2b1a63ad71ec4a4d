// Devices of a running guest: plugged in, unplugged and changed. The definition has a device before QEMU is told of it,
// and after QEMU has let go of it: what a killed shim left half done is in status.json, and settled by the next one.
import { checkCompatible } from '../../../conf/compatible-device.ts'
import type { Device } from '../../../conf/device-xml.ts'
import { type PciAddress, pciAddressOf, pciAddressText } from '../../../conf/devices/device-address.ts'
import { type AnyDevice, type DeviceKind, eachDeviceInfo } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { validateAliases } from '../../../conf/domain-validate.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { deviceAllocations } from '../../../state/allocation.ts'
import type { QemuContext } from '../context.ts'
import { ensureAddress } from '../definition/address/hotplug.ts'
import { assignHotplugAlias } from '../definition/alias.ts'
import { loadDevice } from '../definition/passes.ts'
import { join, type LiveGuest, type LiveRules, leave } from '../device/family.ts'
import { qemuFamily } from '../device/index.ts'
import { deviceTypeName, findDevice } from '../domain/config-devices.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
import { claimMore } from '../process/claim.ts'
import { PassedFiles } from './passed-files.ts'
import { Plug } from './plug.ts'
import { partsOf, removeDevice, unplugged } from './removal.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const NO_KEY = new Uint8Array(32)

const rulesFor = (kind: DeviceKind): LiveRules<AnyDevice> => qemuFamily(kind)?.live ?? {}

/** The guest as the rules of its devices know it. */
function liveGuest(domain: QemuDomain, context?: QemuContext): LiveGuest {
  const { running } = domain
  return {
    ...hostGuest(domain, context),
    qmp: domain.qmp,
    nextNode: () => ++running.nodeIndex,
    attach: (kind, dev) => plugIn(domain, kind, dev as AnyDevice),
    changed: () => domain.changed()
  }
}

/**
 * Plugs in the device that is described (qemuDomainAttachDeviceLive).
 * @param settle makes it like the one that the persistent definition is going to have
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for kinds that cannot be plugged in, VIR_ERR_INTERNAL_ERROR with QEMU's words;
 *   the guest is then what it was
 */
export async function attachLive(domain: QemuDomain, xml: string, settle?: (device: Device) => void): Promise<void> {
  const { def, context } = domain
  const device = loadDevice(xml, def, context)
  settle?.(device)
  const [kind, dev] = device
  validateAliases(def, dev)
  checkCompatible(def, device)
  const { attach } = rulesFor(kind)
  if (!attach) throw unsupported('attach', kind)
  await attach(dev, liveGuest(domain))
  await plugIn(domain, kind, dev)
}

/** Plugs in a device that suits the guest. @throws as attachLive */
async function plugIn(domain: QemuDomain, kind: DeviceKind, dev: AnyDevice): Promise<void> {
  const { def, context, running, log } = domain
  const family = qemuFamily(kind)
  const { insert = join(kind) } = rulesFor(kind)
  assignHotplugAlias(def, kind, dev, context)
  ensureAddress(def, kind, dev, context)
  const files = new PassedFiles(domain)
  family?.prepare?.(dev, def, { ...context, files }, () => ++running.nodeIndex)
  const claimed = await claimMore(domain, deviceAllocations(kind, dev as never, def))
  insert(dev, def)
  domain.changed()
  const guest = liveGuest(domain, { ...context, files })
  try {
    await family?.host?.take(dev, guest)
    const plug = new Plug({ def, context, masterKey: running.masterKey ?? NO_KEY }, { passFd: files })
    family?.add?.(plug, dev)
    const warn = (error: unknown) => log.warn({ err: error, device: dev.alias }, 'a device has left something')
    await plug.execute(domain.qmp, warn)
    try {
      await family?.update?.(dev, domain.qmp)
    } catch (error) {
      await plug.takeBack(domain.qmp, warn)
      throw error
    }
  } catch (error) {
    await giveBack(domain, kind, dev)
    leave(kind)(dev as never, def)
    await claimed.release()
    domain.changed()
    throw error
  } finally {
    files.close()
  }
  domain.changed()
  domain.events.emit('VIR_DOMAIN_EVENT_ID_DEVICE_ADDED', { devAlias: dev.alias ?? '' })
}

async function giveBack(domain: QemuDomain, kind: DeviceKind, dev: AnyDevice): Promise<void> {
  try {
    await qemuFamily(kind)?.host?.give(dev, hostGuest(domain))
  } catch (error) {
    domain.log.warn({ err: error, device: dev.alias }, 'what a device had of the host could not be released')
  }
}

/**
 * Unplugs a device (qemuDomainDetachDeviceLive).
 * @param wait for the guest, for a few seconds; a guest may give it up later, or never
 * @throws VIR_ERR_DEVICE_MISSING and others where there is none, VIR_ERR_OPERATION_FAILED for one that the guest or its
 *   place keeps, VIR_ERR_OPERATION_UNSUPPORTED for kinds that must stay
 */
export async function detachLive(domain: QemuDomain, device: Device, { wait }: { wait: boolean }): Promise<void> {
  const { def } = domain
  const [kind, dev] = device
  const config = qemuFamily(kind)?.config
  const { detach, find = config?.find, noneToDetach = config?.noneToDetach } = rulesFor(kind)
  if (!detach) throw unsupported('detach', kind)
  const there = findDevice(device, def, { find })
  if (!there) throw noneToDetach?.(dev) ?? fail('VIR_ERR_DEVICE_MISSING', 'device not present in domain configuration')
  detach(there, liveGuest(domain))
  checkPlace(def, kind, there)
  // what is no device of the guest's, but an object or nothing at all, is nobody's to give up
  const isAsked = partsOf(domain, kind, there)?.hasDevice(there.alias!) ?? true
  if (!isAsked || (await unplugged(domain, there.alias!, wait))) await removeDevice(domain, kind, there)
}

/** Refuses to unplug from a place that does not let go. */
function checkPlace(def: DomainDef, kind: DeviceKind, dev: AnyDevice): void {
  const what = deviceTypeName(kind)
  if (dev.alias === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `Cannot detach ${what} device with no alias`)
  const address = pciAddressOf(dev)
  if (!address) return
  const at = `PCI guest address: ${pciAddressText(address)}`
  if (sharesSlot(def, address)) {
    throw fail('VIR_ERR_OPERATION_FAILED', `cannot hot unplug ${what} device with multifunction ${at}`)
  }
  const controller = def.devices.controllers.find(({ type, index }) => type === 'pci' && index === address.bus)
  const stays = (why: string) =>
    fail('VIR_ERR_OPERATION_FAILED', `cannot hot unplug ${what} device with ${at} - ${why}`)
  if (!controller) throw stays('controller not found')
  if (controller.target?.hotplug === false) throw stays('not allowed by controller')
}

/** Another device has another function of that slot (qemuIsMultiFunctionDevice). */
function sharesSlot({ devices }: DomainDef, { domain, bus, slot, function: fn }: PciAddress): boolean {
  for (const [, other] of eachDeviceInfo(devices)) {
    const at = pciAddressOf(other)
    if (at && at.domain === domain && at.bus === bus && at.slot === slot && at.function !== fn) return true
  }
  return false
}

/**
 * Makes of a device what is described (qemuDomainUpdateDeviceLive).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for kinds that cannot be changed and for changes that QEMU cannot make; the device
 *   is then what it was
 */
export async function updateLive(domain: QemuDomain, device: Device, force: boolean): Promise<void> {
  const { def } = domain
  const [kind, dev] = device
  const config = qemuFamily(kind)?.config
  const rules = rulesFor(kind)
  if (!rules.update) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `live update of device '${deviceTypeName(kind)}' is not supported`)
  }
  const find = rules.findToUpdate ?? rules.find ?? config?.findToUpdate ?? config?.find
  const there = findDevice(device, def, { find })
  if (!there) throw (rules.noneToUpdate ?? config?.noneToUpdate)!(dev)
  checkCompatible(def, device, there)
  checkSameDevice(dev, there)
  await rules.update(dev, there, liveGuest(domain), force)
  domain.changed()
}

/** Refuses another name or ACPI index for a device (virDomainDefCompatibleDevice). */
function checkSameDevice(dev: AnyDevice, there: AnyDevice): void {
  const denied = (what: string) => fail('VIR_ERR_OPERATION_DENIED', `changing device ${what} is not allowed`)
  if (dev.alias !== undefined && there.alias !== undefined && dev.alias !== there.alias) throw denied('alias')
  if (dev.acpiIndex !== there.acpiIndex) throw denied("'acpi index'")
}

const unsupported = (verb: string, kind: DeviceKind) =>
  fail('VIR_ERR_OPERATION_UNSUPPORTED', `live ${verb} of device '${deviceTypeName(kind)}' is not supported`)
