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
import { ensureAddress } from '../definition/address/hotplug.ts'
import { assignHotplugAlias } from '../definition/alias.ts'
import { loadDevice } from '../definition/passes.ts'
import { join, type LiveGuest, leave } from '../device/family.ts'
import { liveRules, qemuFamily } from '../device/index.ts'
import { deviceTypeName, findDevice } from '../domain/config-devices.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
import { admit, dismissUnused } from '../process/access.ts'
import { pathsOfDevice } from '../process/access-paths.ts'
import { claimMore } from '../process/claim.ts'
import { memoryLockLimit, raiseMemoryLock } from '../process/memory-lock.ts'
import { refreshChardev } from '../process/refresh.ts'
import { admitToView } from '../process/view.ts'
import { morePathsOf } from '../process/view-paths.ts'
import { liveGuest, newPlug, statusXml } from './live-guest.ts'
import { PassedFiles } from './passed-files.ts'
import { leftBy, partsOf, removeDevice } from './removal.ts'
import { deviceHolder, unplugged } from './unplug.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/**
 * Plugs in the device that is described (qemuDomainAttachDeviceLive).
 * @param settle makes it like the one that the persistent definition is going to have
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for kinds that cannot be plugged in, VIR_ERR_INTERNAL_ERROR with QEMU's words;
 *   the guest is then what it was, or on its way there
 */
export async function attachLive(domain: QemuDomain, xml: string, settle?: (device: Device) => void): Promise<void> {
  const { def, context } = domain
  const device = loadDevice(xml, def, context)
  settle?.(device)
  const [kind, dev] = device
  validateAliases(def, dev)
  checkCompatible(def, device)
  const { attach, attachAsChange, addedAs } = await liveRules(kind)
  if (!attach) throw unsupported('attach', kind)
  const guest = liveGuest(domain, plugIn)
  if (await attachAsChange?.(dev, guest)) return
  await attach(dev, guest)
  await plugIn(domain, guest, kind, dev)
  const devAlias = addedAs?.(dev) ?? dev.alias
  if (devAlias !== undefined) domain.events.emit('VIR_DOMAIN_EVENT_ID_DEVICE_ADDED', { devAlias })
}

/**
 * Plugs in a device that suits the guest. One that fails and that the guest keeps, asked for it, stays in the definition
 * until it is given up.
 * @throws as attachLive
 */
export async function plugIn(domain: QemuDomain, guest: LiveGuest, kind: DeviceKind, dev: AnyDevice): Promise<void> {
  const { def, qmp } = domain
  const family = qemuFamily(kind)
  const { insert = join(kind), prepare, refresh } = await liveRules(kind)
  assignHotplugAlias(def, kind, dev, guest.context)
  ensureAddress(def, kind, dev, guest.context)
  const files = new PassedFiles(domain)
  const context = { ...guest.context, files }
  if (prepare) prepare(dev, { ...guest, context })
  else family?.prepare?.(dev, def, context, guest.nextNode)
  const claimed = await claimMore(domain, deviceAllocations(kind, dev as never, def))
  const locked = memoryLockLimit(def)
  insert(dev, def)
  domain.changed()
  const saved = statusXml(kind, dev as never)
  const warn = leftBy(domain, dev)
  const plug = newPlug(domain, context, files)
  try {
    await raiseMemoryLock(domain, locked)
    await family?.host?.take(dev, { ...guest, context })
    await admit(domain, pathsOfDevice(kind, dev as never))
    await admitToView(domain, morePathsOf(kind, dev as never))
    family?.add?.(plug, dev)
    await plug.execute(qmp, warn)
    try {
      await family?.update?.(dev, qmp)
      await refreshChardev(domain, dev.alias)
    } catch (error) {
      await plug.takeBack(qmp, warn)
      throw error
    }
  } catch (error) {
    if (plug.isKept) domain.running.leaving.add(dev.alias!)
    else {
      await giveBack(domain, kind, dev)
      const { unplug = leave(kind) } = family ?? {}
      unplug(dev as never, def)
      await dismissUnused(domain, pathsOfDevice(kind, dev as never))
      await claimed.release()
    }
    domain.changed()
    throw error
  } finally {
    files.close()
  }
  await refresh?.(dev, def, qmp).catch(warn)
  if (refresh || statusXml(kind, dev as never) !== saved) domain.settled()
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
  const { detach, find = config?.find, noneToDetach = config?.noneToDetach } = await liveRules(kind)
  if (!detach) throw unsupported('detach', kind)
  const there = findDevice(device, def, { find })
  if (!there) throw noneToDetach?.(dev) ?? fail('VIR_ERR_DEVICE_MISSING', 'device not present in domain configuration')
  detach(there, liveGuest(domain, plugIn))
  // a lease is no device: it has neither a name nor a place
  if (kind !== 'leases') checkPlace(def, kind, there)
  // what is no device of the guest's, but an object or nothing at all, is nobody's to give up
  const { alias = '' } = there
  const isAsked = partsOf(domain, kind, there)?.hasDevice(alias) ?? true
  if (!isAsked || (await unplugged(deviceHolder(domain), alias, wait))) await removeDevice(domain, kind, there)
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
  const rules = await liveRules(kind)
  if (!rules.update) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `live update of device '${deviceTypeName(kind)}' is not supported`)
  }
  const find = rules.findToUpdate ?? rules.find ?? config?.findToUpdate ?? config?.find
  const there = findDevice(device, def, { find })
  if (!there) throw (rules.noneToUpdate ?? config?.noneToUpdate)!(dev)
  checkSameDevice(dev, there)
  checkCompatible(def, device, there)
  await rules.update(dev, there, liveGuest(domain, plugIn), force)
  domain.changed()
}

/** Refuses another name or ACPI index for a device (virDomainDefCompatibleDevice). */
function checkSameDevice(dev: AnyDevice, there: AnyDevice): void {
  const denied = (what: string) => failDomain('VIR_ERR_OPERATION_DENIED', `changing device ${what} is not allowed`)
  if (dev.alias !== undefined && there.alias !== undefined && dev.alias !== there.alias) throw denied('alias')
  if (dev.acpiIndex !== there.acpiIndex) throw denied("'acpi index'")
}

const unsupported = (verb: string, kind: DeviceKind) =>
  fail('VIR_ERR_OPERATION_UNSUPPORTED', `live ${verb} of device '${deviceTypeName(kind)}' is not supported`)
