// The validation pass: the driver's checks, each device's, then those across elements (virDomainDefValidate).
import { eachDevice } from './devices/index.ts'
import type { DomainDef } from './domain-def.ts'
import type { DefDriver } from './domain-postparse.ts'

/** Checks a completed definition. @throws VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED naming the element at fault */
export function validate(def: DomainDef, driver: DefDriver): void {
  driver.validate(def)
  for (const [kind, dev, family] of eachDevice(def.devices)) {
    driver.deviceValidate(kind, dev, def)
    family.validate?.(dev, def)
  }
  for (const check of COMMON_CHECKS) check(def)
}

/** virDomainDefValidateInternal's checks, in its order. */
const COMMON_CHECKS: ((def: DomainDef) => void)[] = []
