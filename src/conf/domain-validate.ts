// The validation pass: the driver's checks, each device's, then those across elements (virDomainDefValidate).
import { isUserAlias } from './devices/device-info.ts'
import { validateDiskTargets } from './devices/disk-validate.ts'
import { validateFilesystems } from './devices/filesystem.ts'
import { validateHostdevs } from './devices/hostdev-validate.ts'
import { eachDevice } from './devices/index.ts'
import { validateIommu } from './devices/iommu.ts'
import { validatePrimaryVideo } from './devices/video.ts'
import { validateBlkiotune } from './domain/blkiotune.ts'
import { validateTopology } from './domain/cpu.ts'
import { validateCputune } from './domain/cputune.ts'
import { validateEvents } from './domain/events.ts'
import { validateIdmap } from './domain/idmap.ts'
import { validateIothreads } from './domain/iothreads.ts'
import { validateHugepages } from './domain/memory-backing.ts'
import { validateNuma } from './domain/numa.ts'
import { validateNumatune } from './domain/numatune.ts'
import { validateBoot } from './domain/os-boot.ts'
import { validateFirmware } from './domain/os-firmware.ts'
import { validateResource } from './domain/resource.ts'
import type { DomainDef } from './domain-def.ts'
import type { DefDriver } from './domain-postparse.ts'
import { validateDriveAddresses } from './drive-address.ts'
import { errorsFrom } from './error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Checks a completed definition. @throws VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED naming the element at fault */
export function validate(def: DomainDef, driver: DefDriver): void {
  driver.validate(def)
  for (const [kind, dev, family] of eachDevice(def.devices)) {
    if (dev.address?.type === 'unassigned' && kind !== 'hostdevs') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "address of type 'unassigned' is supported only for hostdevs")
    }
    family.validate?.(dev, def)
    driver.deviceValidate(kind, dev, def)
  }
  for (const check of COMMON_CHECKS) check(def)
}

/** virDomainDefValidateInternal's checks, in its order. */
const COMMON_CHECKS: ((def: DomainDef) => void)[] = [
  validateResource,
  validateDiskTargets,
  validateHostdevs,
  validateDriveAddresses,
  validateTopology,
  validateAliases,
  validateIommu,
  validateEvents,
  validateHugepages,
  validateFirmware,
  validateCputune,
  validateBoot,
  validatePrimaryVideo,
  validateBlkiotune,
  validateIdmap,
  validateNumatune,
  validateNuma,
  ({ devices }) => validateFilesystems(devices),
  validateIothreads
]

/** Refuses the second device of one user alias (virDomainDefValidateAliases). */
function validateAliases({ devices }: DomainDef): void {
  const [serial] = devices.serials
  const [console] = devices.consoles
  // the first console is the first serial port over again, and so is its alias
  const twins: unknown[] = serial && console?.target?.type === 'serial' ? [serial, console] : []
  const seen = new Set<string>()
  for (const [, dev] of eachDevice(devices)) {
    const { alias } = dev
    if (alias === undefined || !isUserAlias(alias) || twins.includes(dev)) continue
    if (seen.has(alias)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `non unique alias detected: ${alias}`)
    seen.add(alias)
  }
}
