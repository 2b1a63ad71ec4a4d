// The first console of an hvm guest and its first serial port are one device; either implies the other.
import type { DomainDef } from '../domain-def.ts'
import { errorsFrom } from '../error.ts'
import type { ConsoleDef } from './chardev.ts'
import { sameChardevSource } from './chardev-source.ts'
import type { SerialType } from './chardev-target.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Serial ports a guest finds its console on without being told. */
const CONSOLE_SERIALS: ReadonlySet<SerialType> = new Set([
  'none',
  'isa-serial',
  'spapr-vio-serial',
  'system-serial',
  'sclp-serial'
])

/** The console entry that stands for the first serial port. */
export const consoleTwin = (): ConsoleDef => ({ source: { type: 'null' }, target: { type: 'serial' } })

/**
 * Turns a first console of type serial into the serial port it means, or adds the console a serial port implies
 * (virDomainDefAddConsoleCompat).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED when another console than the first is to be a serial port
 */
export function addConsoleCompat(def: DomainDef): void {
  const { serials, consoles } = def.devices
  if (consoles.some(({ target }, at) => at > 0 && target.type === 'serial')) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Only the first console can be a serial port')
  }
  if (def.os.type !== 'hvm') return
  const [first] = consoles
  const [port] = serials
  if (first && (first.target.type === 'serial' || first.target.type === 'none')) {
    if (port && sameChardevSource(port.source, first.source)) return
    if (!port) serials.push({ ...first, target: { type: 'none', model: 'none', port: 0 } })
    consoles[0] = consoleTwin()
  } else if (port && CONSOLE_SERIALS.has(port.target.type)) consoles.unshift(consoleTwin())
  else return
  // numbered as they will be when they are read again
  for (const [at, { target }] of consoles.entries()) target.port = at
}
