// The form of a command and what it may use: one table per group below commands/.
import type { Given, Option, Options } from './arguments.ts'
import type { Connection } from './connection.ts'
import type { Session } from './session.ts'

/** A command of virsh's name, options and output. */
export interface Command {
  /** one line, for `help` */
  help: string
  /** more of it, for `help COMMAND` */
  description?: string
  options: Options
  /** not in the list of commands */
  hidden?: boolean
  /** @throws ClientError, which ends the command with status 1 */
  run(session: Session, given: Given): Promise<void>
}

export type Commands = Record<string, Command>

/** Commands that `help` shows together. */
export interface CommandGroup {
  name: string
  keyword: string
  commands: Commands
}

/** A command by its name. */
export function commandIn(groups: readonly CommandGroup[], name: string): Command | undefined {
  return groups.find(({ commands }) => Object.hasOwn(commands, name))?.commands[name]
}

const bool = (help: string, more: Partial<Option> = {}): Option => ({ kind: 'bool', help, ...more })
const text = (help: string, more: Partial<Option> = {}): Option => ({ kind: 'string', help, ...more })
const int = (help: string, more: Partial<Option> = {}): Option => ({ kind: 'int', help, ...more })
const argv = (help: string, more: Partial<Option> = {}): Option => ({ kind: 'argv', help, ...more })
const domain: Option = { kind: 'string', help: 'domain name, id or uuid', required: true }

/** Makers of options. */
export const option = { bool, text, int, argv, domain }

/** The options that say which of a guest's definitions is meant. */
export const impact = {
  live: bool('affect running domain'),
  config: bool('affect next boot'),
  current: bool('affect current domain')
}

/** Their flags, VIR_DOMAIN_AFFECT_*. */
export function impactFlags(given: Given): number {
  given.exclusive(['current', 'live'], ['current', 'config'])
  return (given.has('live') ? 1 : 0) | (given.has('config') ? 2 : 0)
}

/** A command on one guest: finds it by id, uuid or name, then runs. */
export function onDomain(
  help: string,
  options: Options,
  run: (call: DomainCall) => Promise<void>,
  by: Lookup = {}
): Command {
  return {
    help,
    options: { domain: option.domain, ...options },
    async run(session, given) {
      const wanted = given.text('domain')!
      const { shim, report } = await session.lookup(wanted, by)
      await run({ session, given, shim, wanted, name: report.name, uuid: report.uuid, id: report.id })
    }
  }
}

/** By which of its three names a guest may be asked for; left out means allowed. */
export interface Lookup {
  id?: false
  name?: false
}

export interface DomainCall {
  session: Session
  given: Given
  /** the guest, at its shim or through the aggregator */
  shim: Connection
  /** as the user called it, which is what virsh repeats in its messages */
  wanted: string
  name: string
  uuid: string
  id: number
}
