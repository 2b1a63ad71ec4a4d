// The command line as virsh reads it: `--name value`, `--name=value`, `--flag`, `--`, and positional data that fills
// the options of a command in the order of its table.
import { unitFactor } from '../conf/scalar.ts'
import { ClientError } from './failure.ts'

export type OptionKind = 'bool' | 'int' | 'string' | 'argv'

/** One option of a command, as in virsh's tables. */
export interface Option {
  kind: OptionKind
  help: string
  required?: boolean
  /** given by its name only, never by position */
  named?: boolean
  /** an empty value is a value */
  emptyOk?: boolean
  /** other names of it, which help does not tell: `NAME`, or `NAME=VALUE` of one that stands for a value */
  aliases?: readonly string[]
  /** those it may have, where they are few: for completion only */
  values?: readonly string[]
}

export type Options = Readonly<Record<string, Option>>

/** Arguments as given: presence of flags, values of the rest. */
export class Given {
  private readonly values = new Map<string, string[]>()

  add(name: string, value = ''): void {
    this.values.set(name, [...(this.values.get(name) ?? []), value])
  }

  has(name: string): boolean {
    return this.values.has(name)
  }

  /** The value of a string option. */
  text(name: string): string | undefined {
    return this.values.get(name)?.[0]
  }

  /** All values of an option that may be given several times. */
  all(name: string): string[] {
    return this.values.get(name) ?? []
  }

  /** @throws ClientError when it is not a decimal integer of 32 bits */
  int(name: string, { min = -(2 ** 31), max = 2 ** 31 - 1 } = {}): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = parseInteger(text)
    if (value === undefined || value < min || value > max) {
      throw new ClientError(`Numeric value '${text}' for <${name}> option is malformed or out of range`)
    }
    return value
  }

  /**
   * @param wraps below zero it wraps around, as C's does
   * @throws ClientError when it is not a decimal integer of 64 bits without sign
   */
  ulonglong(name: string, { wraps = false } = {}): bigint | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const [, sign, digits] = /^\s*([+-]?)(\d+)$/.exec(text) ?? []
    const amount = BigInt(digits ?? 0)
    if (digits === undefined || amount > ULLONG_MAX || (sign === '-' && !wraps)) {
      throw new ClientError(`Numeric value '${text}' for <${name}> option is malformed or out of range`)
    }
    return BigInt.asUintN(64, sign === '-' ? -amount : amount)
  }

  /** @throws ClientError when an option was given without another that it goes with */
  requiring(...pairs: [option: string, required: string][]): void {
    for (const [name, required] of pairs) {
      if (this.has(name) && !this.has(required)) {
        throw new ClientError(`Option --${required} is required by option --${name}`)
      }
    }
  }

  /** @throws ClientError when two options were given that exclude each other */
  exclusive(...pairs: (readonly [string, string])[]): void {
    for (const [a, b] of pairs) {
      if (this.has(a) && this.has(b)) throw new ClientError(`Options --${a} and --${b} are mutually exclusive`)
    }
  }
}

/** A decimal integer as C's strtol reads it with base 10; undefined for anything else. */
export function parseInteger(text: string): number | undefined {
  return /^\s*[+-]?\d+$/.test(text) ? Number(text) : undefined
}

export const ULLONG_MAX = 2n ** 64n - 1n

/**
 * A number that may have a suffix, in bytes (vshCommandOptScaledInt).
 * @param shown the option as virsh names it in its errors
 * @param unit that of a number without suffix
 * @throws ClientError in virsh's words
 */
export function scaledInteger(text: string, shown: string, { unit = 1n, max = ULLONG_MAX } = {}): bigint {
  const bad = (...why: string[]) =>
    new ClientError(`Scaled numeric value '${text}' for ${shown} option is malformed or out of range`, ...why)
  const [, digits, suffix = ''] = /^\s*\+?(\d+)(.*)$/s.exec(text) ?? []
  if (digits === undefined || BigInt(digits) > ULLONG_MAX) throw bad()
  const amount = BigInt(digits)
  const factor = suffix === '' ? unit : unitFactor(suffix)
  if (factor === undefined) throw bad(`invalid argument: unknown suffix '${suffix}'`)
  if (amount * factor > max) throw bad(`numerical overflow: value too large: ${amount}${suffix}`)
  return amount * factor
}

/**
 * Reads the words behind a command's name.
 * @throws ClientError with virsh's words for what is wrong with them
 */
export function readArguments(command: string, options: Options, words: readonly string[]): Given {
  const given = new Given()
  const positional = Object.entries(options).filter(([, { kind, named }]) => kind !== 'bool' && !named)
  const takeData = (word: string) => {
    const free = positional.find(([name, { kind }]) => kind === 'argv' || !given.has(name))
    if (!free) throw new ClientError(`unexpected data '${word}'`)
    given.add(free[0], word)
  }
  let dataOnly = false
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!
    if (dataOnly || !word.startsWith('--')) takeData(word)
    else if (word === '--') dataOnly = true
    else {
      const [, called = '', said] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? []
      const { name, value } = meant(options, called, said)
      if (name === 'help') {
        given.add(name)
        continue
      }
      const option = Object.hasOwn(options, name) ? options[name] : undefined
      if (!option) throw new ClientError(`command '${command}' doesn't support option --${name}`)
      if (option.kind !== 'argv' && given.has(name)) throw new ClientError(`option --${name} already seen`)
      if (option.kind === 'bool') {
        if (value !== undefined) throw new ClientError(`invalid '=' after option --${name}`)
        given.add(name)
      } else {
        const data = value ?? words[++at]
        if (data === undefined) {
          throw new ClientError(`expected syntax: --${name} <${option.kind === 'int' ? 'number' : 'string'}>`)
        }
        given.add(name, data)
      }
    }
  }
  if (!given.has('help')) checkRequired(command, options, given)
  return given
}

/** The option that is called so, by its name or another one, and its value. (vshCmdGetOption) */
function meant(options: Options, called: string, value: string | undefined): { name: string; value?: string } {
  for (const [name, { aliases = [] }] of Object.entries(options)) {
    for (const alias of aliases) {
      const [word, stated] = alias.split('=')
      if (word !== called) continue
      if (stated !== undefined && value !== undefined) throw new ClientError(`invalid '=' after option --${called}`)
      return { name, value: stated ?? value }
    }
  }
  return { name: called, value }
}

function checkRequired(command: string, options: Options, given: Given): void {
  const missing = Object.entries(options).find(([name, { required }]) => required && !given.has(name))
  if (missing) {
    const [name, { named }] = missing
    throw new ClientError(`command '${command}' requires ${named ? `--${name}` : `<${name}>`} option`)
  }
  for (const [name, { kind, emptyOk }] of Object.entries(options)) {
    if (kind === 'string' && !emptyOk && given.text(name) === '') {
      throw new ClientError(`Failed to get option '${name}': Option argument is empty`)
    }
  }
}
