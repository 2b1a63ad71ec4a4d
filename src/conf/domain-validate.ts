// The validation pass: the driver's checks, each device's, then those across elements (virDomainDefValidate).
import { isUserAlias } from './devices/device-info.ts'
import { validateDiskTargets } from './devices/disk-validate.ts'
import { validateFilesystems } from './devices/filesystem.ts'
import { validateHostdevs } from './devices/hostdev-validate.ts'
import { type AnyDevice, type DeviceKind, eachDevice, familyOf } from './devices/index.ts'
import { validateIommu } from './devices/iommu.ts'
import { validatePrimaryVideo } from './devices/video.ts'
import { validateBlkiotune } from './domain/blkiotune.ts'
import { validateTopology } from './domain/cpu.ts'
import { validateCputune } from './domain/cputune.ts'
import { validateEvents } from './domain/events.ts'
import { validateIdmap } from './domain/idmap.ts'
import { validateIothreads } from './domain/iothreads.ts'
import { validateLaunchSecurity } from './domain/launch-security.ts'
import { validateHugepages } from './domain/memory-backing.ts'
import { validateNuma } from './domain/numa.ts'
import { validateNumatune } from './domain/numatune.ts'
import { validateBoot } from './domain/os-boot.ts'
import { validateFirmware } from './domain/os-firmware.ts'
import { validateResource } from './domain/resource.ts'
import { validateThrottleGroups } from './domain/throttlegroups.ts'
import type { DomainDef } from './domain-def.ts'
import type { DefDriver } from './domain-postparse.ts'
import { validateDriveAddresses } from './drive-address.ts'
import { errorsFrom } from './error.ts'
import { checkAll, orThrow, type Refuse } from './refuse.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Checks a completed definition. @throws VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED naming the element at fault */
export function validate(def: DomainDef, driver: DefDriver, refuse: Refuse = orThrow): void {
  checkAll(refuse, [
    () => driver.validate(def),
    ...Array.from(
      eachDevice(def.devices),
      ([kind, dev]) =>
        () =>
          validateDevice(kind, dev, def, driver)
    ),
    ...COMMON_CHECKS.map(check => () => check(def))
  ])
}

/** Checks one device of a definition, or one that may come into it (virDomainDeviceDefValidate). @throws as validate */
export function validateDevice(kind: DeviceKind, dev: AnyDevice, def: DomainDef, driver: DefDriver): void {
  if (dev.address?.type === 'unassigned' && kind !== 'hostdevs') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "address of type 'unassigned' is supported only for hostdevs")
  }
  familyOf(kind).validate?.(dev, def)
  driver.deviceValidate(kind, dev, def)
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
  validateIothreads,
  validateThrottleGroups,
  validateLaunchSecurity
]

/**
 * Refuses the second device of one user alias (virDomainDefValidateAliases).
 * @param another a device that may come into the definition
 */
export function validateAliases({ devices }: DomainDef, another?: AnyDevice): void {
  const [serial] = devices.serials
  const [console] = devices.consoles
  // the first console is the first serial port over again, and so is its alias
  const twins: unknown[] = serial && console?.target?.type === 'serial' ? [serial, console] : []
  const seen = new Set<string>()
  const all = [...eachDevice(devices)].map(([, dev]) => dev)
  for (const dev of another ? [...all, another] : all) {
    const { alias } = dev
    if (alias === undefined || !isUserAlias(alias) || twins.includes(dev)) continue
    if (seen.has(alias)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `non unique alias detected: ${alias}`)
    seen.add(alias)
  }
}
