// The post-parse pass: defaults and implicit devices, in libvirt's order (virDomainDefPostParse). What needs a
// hypervisor comes from its driver.
import { assignIsaSerialPorts } from './devices/chardev.ts'
import { addConsoleCompat } from './devices/console-compat.ts'
import { type AnyDevice, type DeviceKind, eachDevice, familyOf } from './devices/index.ts'
import { choosePrimary } from './devices/video.ts'
import { postParseMemory } from './domain/memory.ts'
import type { DomainDef } from './domain-def.ts'
import { addImplicitControllers, addInputs, assignControllerIndexes, assignDriveAddresses } from './implicit-devices.ts'

/** What a hypervisor driver adds to the passes over a definition. */
export interface DefDriver {
  /** domain-wide defaults (domainPostParseCallback) */
  postParse(def: DomainDef): void
  /** defaults of one device (devicesPostParseCallback); runs before the family's own */
  devicePostParse(kind: DeviceKind, dev: AnyDevice, def: DomainDef): void
  /** addresses not given by the user (assignAddressesCallback) */
  assignAddresses(def: DomainDef): void
  validate(def: DomainDef): void
  deviceValidate(kind: DeviceKind, dev: AnyDevice, def: DomainDef): void
}

/** Completes a parsed definition in place. */
export function postParse(def: DomainDef, driver: DefDriver): void {
  assignControllerIndexes(def)
  driver.postParse(def)
  assignIsaSerialPorts(def.devices.serials)
  for (const [kind, dev] of eachDevice(def.devices)) devicePostParse(kind, dev, def, driver)
  for (const step of COMMON_STEPS) step(def, driver)
  driver.assignAddresses(def)
}

/** One device's defaults: the driver's, then the generic ones. */
export function devicePostParse(kind: DeviceKind, dev: AnyDevice, def: DomainDef, driver: DefDriver): void {
  driver.devicePostParse(kind, dev, def)
  familyOf(kind).postParse?.(dev as never, def)
}

/** virDomainDefPostParseCommon's steps, in its order. */
const COMMON_STEPS: ((def: DomainDef, driver: DefDriver) => void)[] = [
  postParseMemory,
  bootOrder,
  assignDriveAddresses,
  addConsoleCompat,
  addImplicitControllers,
  serialTargets,
  ({ devices }) => choosePrimary(devices.videos),
  addInputs
]

/** Without any boot device, per OS or per device, the guest boots from disk (virDomainDefBootOrderPostParse). */
function bootOrder(def: DomainDef): void {
  if (def.os.type !== 'hvm' || def.os.bootDevices.length > 0 || def.os.kernel !== undefined) return
  const { disks, interfaces, hostdevs } = def.devices
  if ([...disks, ...interfaces, ...hostdevs].some(dev => 'boot' in dev && dev.boot)) return
  def.os.bootDevices.push({ dev: 'hd' })
}

/** The first serial port may have been added for a console after the per-device pass. */
function serialTargets(def: DomainDef, driver: DefDriver): void {
  const [first] = def.devices.serials
  if (first) devicePostParse('serials', first as AnyDevice, def, driver)
}
