// Query parameters of HTTP requests.
import { errorsFrom } from '../conf/error.ts'
import { parseJson } from '../conf/json.ts'
import type { WireFields } from '../conf/wire.ts'

const fail = errorsFrom('VIR_FROM_RPC')

/**
 * Query parameters as the JSON a body would hold: integers by type, flags as a comma-separated list of names. What is no
 * parameter of the call is left for it to refuse.
 */
export function fromQuery(query: Record<string, string>, fields: WireFields): Record<string, unknown> {
  const jsonOf = (name: string, text: string) => {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (field && field.kind !== 'string' && /^-?(0|[1-9]\d*)$/.test(text)) return parseJson(text)
    return field && 'anyOf' in field.schema && field.kind === 'uint' ? text.split(',') : text
  }
  return Object.fromEntries(Object.entries(query).map(([name, text]) => [name, jsonOf(name, text)]))
}

/** The query of a URL, each parameter once. @throws VIR_ERR_INVALID_ARG */
export function queryOf(params: URLSearchParams): Record<string, string> {
  for (const name of params.keys()) if (params.getAll(name).length > 1) throw repeated(name)
  return Object.fromEntries(params)
}

/** @throws VIR_ERR_INVALID_ARG for a parsed query with a parameter that was given several times */
export function checkQuery(query: unknown): void {
  for (const [name, value] of Object.entries(query as object)) if (Array.isArray(value)) throw repeated(name)
}

const repeated = (name: string) => fail('VIR_ERR_INVALID_ARG', `query parameter '${name}' is given more than once`)

/** A query parameter that is a number. @throws VIR_ERR_INVALID_ARG */
export function wholeNumber(value: string | undefined, name: string): number | undefined {
  if (value === undefined) return undefined
  if (!/^\d{1,15}$/.test(value)) throw fail('VIR_ERR_INVALID_ARG', `${name} must be a whole number, not '${value}'`)
  return Number(value)
}
