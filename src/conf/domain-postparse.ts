// The post-parse pass: defaults and implicit devices, in libvirt's order (virDomainDefPostParse). What needs a
// hypervisor comes from its driver.
import { type AnyDevice, type DeviceKind, eachDevice, familyOf } from './devices/index.ts'
import type { DomainDef } from './domain-def.ts'

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
  driver.postParse(def)
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
const COMMON_STEPS: ((def: DomainDef, driver: DefDriver) => void)[] = []
