// Aliases the user gave: no two devices may share one.

import { isUserAlias } from './devices/device-info.ts'
import { eachDevice } from './devices/index.ts'
import type { DomainDef } from './domain-def.ts'
import { errorsFrom } from './error.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Refuses the second device of one user alias (virDomainDefValidateAliases). */
export function validateAliases({ devices }: DomainDef): void {
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
