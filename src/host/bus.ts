// Calls to services on the host's system D-Bus, each with a limit, by systemd's busctl.
import { existsSync } from 'node:fs'
import { errorsFrom } from '../conf/error.ts'
import { CommandFailed, hostCommand } from './command.ts'
import { hostFile } from './root.ts'

const fail = errorsFrom('VIR_FROM_DBUS')

const SYSTEM_BUS = '/run/dbus/system_bus_socket'
const LIMITS = { timeoutMs: 10_000, outputBytes: 4 * 1024 ** 2 }
const BUSCTL = ['--system', '--json=short', '--allow-interactive-authorization=no', '--', 'call']
const DRIVER = {
  service: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  signature: '',
  args: []
}

export interface Call {
  service: string
  path: string
  interface: string
  member: string
  /** D-Bus types of `args` */
  signature: string
  args: Value[]
}

/** A value as its type has it: arrays and structures are lists, a dictionary is a list of pairs. */
export type Value = string | number | boolean | Variant | readonly Value[]

/** A value of any type, with that type. */
export interface Variant {
  type: string
  value: Value
}

/** A refusal in the service's words; busctl does not tell its type. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError'
}

/** Thrown where the host has no system bus, or no busctl to ask it with. */
export class NoBus extends Error {
  override readonly name = 'NoBus'
}

/** The first complete type of a signature; '' at its end. */
function firstType(signature: string): string {
  const [first = ''] = signature
  if (first === 'a') return first + firstType(signature.slice(1))
  if (!'({'.includes(first) || first === '') return first
  let depth = 0
  const end = [...signature].findIndex(char => {
    if ('({'.includes(char)) depth++
    if (')}'.includes(char)) depth--
    return depth === 0
  })
  return signature.slice(0, end + 1)
}

/**
 * Values as busctl takes them on its command line, a word or more each.
 * @param signature D-Bus types of `values`, one complete type each
 */
export function argumentWords(signature: string, values: readonly Value[]): string[] {
  let rest = signature
  return values.flatMap(value => {
    const type = firstType(rest)
    rest = rest.slice(type.length)
    return wordsOf(type, value)
  })
}

function wordsOf(type: string, value: Value): string[] {
  const [kind] = type
  if (kind === 'v') {
    const { type: of, value: held } = value as Variant
    return [of, ...wordsOf(of, held)]
  }
  if (kind === 'a') {
    const elements = value as Value[]
    return [String(elements.length), ...elements.flatMap(element => wordsOf(type.slice(1), element))]
  }
  if (kind === '(' || kind === '{') return argumentWords(type.slice(1, -1), value as Value[])
  return [String(value)]
}

/**
 * Makes a call and gives what it answers, as JSON has it: a variant is `{type, data}`.
 * @throws ServiceError, NoBus, VIR_ERR_OPERATION_TIMEOUT
 */
export async function callService(call: Call): Promise<unknown[]> {
  const { DBUS_SYSTEM_BUS_ADDRESS } = process.env
  if (!DBUS_SYSTEM_BUS_ADDRESS && !existsSync(hostFile(SYSTEM_BUS))) throw new NoBus(`no socket '${SYSTEM_BUS}'`)
  const { service, path, interface: of, member, signature, args } = call
  const words = signature === '' ? [] : [signature, ...argumentWords(signature, args)]
  try {
    const command = [...BUSCTL, service, path, of, member, ...words]
    const output = await hostCommand('busctl', command, LIMITS, { DBUS_SYSTEM_BUS_ADDRESS })
    return output === '' ? [] : JSON.parse(output).data
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error
    if (error.late) {
      throw fail('VIR_ERR_OPERATION_TIMEOUT', `no answer from ${of}.${member} in ${LIMITS.timeoutMs} ms`, error)
    }
    throw new ServiceError(error.message.replace(/^Call failed: /, ''), { cause: error })
  }
}

/**
 * Names that someone owns, or is started for when they are called.
 * @throws NoBus, VIR_ERR_OPERATION_TIMEOUT
 */
export async function namesOnBus(): Promise<Set<string>> {
  try {
    const lists = ['ListNames', 'ListActivatableNames'].map(member => callService({ ...DRIVER, member }))
    return new Set((await Promise.all(lists)).flat(2) as string[])
  } catch (error) {
    // the bus itself refuses neither
    if (!(error instanceof ServiceError)) throw error
    throw new NoBus(`Unable to get system bus connection: ${error.message}`, { cause: error })
  }
}

/** True if a service that is there refuses a call. @throws NoBus, VIR_ERR_OPERATION_TIMEOUT */
export async function refuses(call: Call): Promise<boolean> {
  try {
    await callService(call)
    return false
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    return (await namesOnBus()).has(call.service)
  }
}

/** A service's refusal as libvirt reports it. */
export function asVirError(error: unknown): unknown {
  return error instanceof ServiceError ? fail('VIR_ERR_DBUS_SERVICE', error.message, error) : error
}
