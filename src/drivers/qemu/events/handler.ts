// The form of a handler of QMP events, and readers of QEMU's words.
import type { QemuDomain } from '../domain/domain.ts'

export type EventData = Record<string, unknown>

/** Acts on one event. Thrown errors are logged: an event that makes no sense changes nothing. */
export type Handler = (domain: QemuDomain, data: EventData, timestampUs: number) => void | Promise<void>
export type Handlers = Readonly<Record<string, Handler>>

const malformed = (name: string, data: EventData) =>
  new Error(`event has no usable '${name}': ${Object.keys(data).join(', ')}`)

/** A string member. @throws Error when it is missing */
export function textOf(data: EventData, name: string): string {
  const value = data[name]
  if (typeof value !== 'string') throw malformed(name, data)
  return value
}

/** A boolean member. @throws Error when it is missing */
export function flagOf(data: EventData, name: string): boolean {
  const value = data[name]
  if (typeof value !== 'boolean') throw malformed(name, data)
  return value
}

/** An integer member with all its digits. @throws Error when it is missing */
export function integerOf(data: EventData, name: string): bigint {
  const value = data[name]
  if (typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))) return BigInt(value)
  throw malformed(name, data)
}

/** An object member. @throws Error when it is missing */
export function objectOf(data: EventData, name: string): EventData {
  const value = data[name]
  if (typeof value !== 'object' || value === null) throw malformed(name, data)
  return value as EventData
}

/** One of a table's values by its name in QEMU. @throws Error for another name */
export function oneOf(table: Readonly<Record<string, number>>, data: EventData, name: string): number {
  const word = textOf(data, name)
  if (!Object.hasOwn(table, word)) throw new Error(`event has an unknown '${name}': ${word}`)
  return table[word]!
}

/** Bytes as KiB, what is begun counts. */
export const kibOf = (bytes: bigint): number => Number((bytes + 1023n) / 1024n)
