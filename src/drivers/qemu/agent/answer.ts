// Reading of what an agent answers: the guest's word, of any shape. A member of another kind counts as missing.
import { errorsFrom } from '../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** An object in an answer. */
export type Said = Readonly<Record<string, unknown>>

/** The error of an answer that has another form than its command's (virReportError of qemu_agent.c). */
export const malformed = (why: string) => fail('VIR_ERR_INTERNAL_ERROR', why)

export const isSaid = (value: unknown): value is Said =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The value itself, if it is an object. @throws VIR_ERR_INTERNAL_ERROR in `otherwise`'s words */
export function objectOf(value: unknown, otherwise: string): Said {
  if (!isSaid(value)) throw malformed(otherwise)
  return value
}

/** A list's entries; what is no object has no members. @throws VIR_ERR_INTERNAL_ERROR in `otherwise`'s words */
export function entriesOf(value: unknown, otherwise: string): Said[] {
  if (!Array.isArray(value)) throw malformed(otherwise)
  return value.map(entry => (isSaid(entry) ? entry : {}))
}

/** A list of texts. @throws VIR_ERR_INTERNAL_ERROR for entries of another kind (virJSONValueArrayToStringList) */
export function textsOf(list: readonly unknown[]): string[] {
  if (!list.every(entry => typeof entry === 'string')) throw malformed('JSON string array contains non-string element')
  return [...list]
}

export function textIn(object: Said, name: string): string | undefined {
  const value = object[name]
  return typeof value === 'string' ? value : undefined
}

export function flagIn(object: Said, name: string): boolean | undefined {
  const value = object[name]
  return typeof value === 'boolean' ? value : undefined
}

/** A number with a fraction; one beyond those there are counts as missing (virJSONValueObjectGetNumberDouble). */
export function doubleIn(object: Said, name: string): number | undefined {
  const value = object[name]
  const double = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : Number.NaN
  return Number.isFinite(double) ? double : undefined
}

function integerIn(object: Said, name: string, min: bigint, max: bigint): bigint | undefined {
  const value = object[name]
  const integer = typeof value === 'bigint' ? value : Number.isInteger(value) ? BigInt(value as number) : undefined
  return integer !== undefined && integer >= min && integer <= max ? integer : undefined
}

const UINT_MAX = 2n ** 32n - 1n
const ULLONG_MAX = 2n ** 64n - 1n

/** A signed integer of 32 bits (virJSONValueObjectGetNumberInt). */
export function intIn(object: Said, name: string): number | undefined {
  const value = integerIn(object, name, -(2n ** 31n), 2n ** 31n - 1n)
  return value === undefined ? undefined : Number(value)
}

/** An unsigned one; below zero it wraps around: agents say -1 for none (virJSONValueObjectGetNumberUint). */
export function uintIn(object: Said, name: string): number | undefined {
  const value = integerIn(object, name, -UINT_MAX, UINT_MAX)
  return value === undefined ? undefined : Number(BigInt.asUintN(32, value))
}

/** One of 64 bits (virJSONValueObjectGetNumberUlong). */
export function ulongIn(object: Said, name: string): bigint | undefined {
  const value = integerIn(object, name, -ULLONG_MAX, ULLONG_MAX)
  return value === undefined ? undefined : BigInt.asUintN(64, value)
}
