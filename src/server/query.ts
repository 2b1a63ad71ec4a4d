// Query parameters of HTTP requests.
import { errorsFrom } from '../conf/error.ts'
import { parseJson } from '../conf/json.ts'
import type { WireFields } from '../conf/wire.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/** Query parameters as the JSON a body would hold: integers by type, flags as a comma-separated list of names. */
export function fromQuery(query: Record<string, string>, fields: WireFields): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(query)) {
    const field = fields[name]
    const isNumber = field !== undefined && field.kind !== 'string' && /^-?\d+$/.test(text)
    if (isNumber) out[name] = parseJson(text)
    else out[name] = field !== undefined && 'anyOf' in field.schema && field.kind === 'uint' ? text.split(',') : text
  }
  return out
}

/** A query parameter that is a number. @throws VIR_ERR_INVALID_ARG */
export function wholeNumber(value: string | undefined, name: string): number | undefined {
  if (value === undefined) return undefined
  if (!/^\d{1,15}$/.test(value)) throw fail('VIR_ERR_INVALID_ARG', `${name} must be a whole number, not '${value}'`)
  return Number(value)
}
