// What lists of snapshots and of checkpoints have in common.
import type { Given, Options } from '../arguments.ts'
import { option } from '../command.ts'
import { ClientError } from '../failure.ts'

/** Options that are filters of a list, each with its flag; a tree shows all. */
export type Filters = Readonly<Record<string, number>>

export const flagsIn = (given: Given, flags: Filters) =>
  Object.entries(flags).reduce((mask, [name, bit]) => (given.has(name) ? mask | bit : mask), 0)

/** Options that go together. @throws ClientError */
export function checkOptions(given: Given, filters: Filters, starts: readonly string[], hint: string): void {
  given.exclusive(['tree', 'name'], ['parent', 'roots'], ['parent', 'tree'], ['roots', 'tree'])
  for (const start of starts) given.exclusive(['roots', start])
  const [filter] = Object.keys(filters).filter(name => given.has(name))
  if (filter && given.has('tree')) throw new ClientError(`--${filter} and --tree are mutually exclusive`)
  if (given.has('descendants') && !starts.some(start => given.has(start))) {
    throw new ClientError(`--descendants requires ${hint}`)
  }
}

/** Options that lists of both kinds have. */
export const listOptions = (kind: string) => ({
  parent: option.bool(`add a column showing parent ${kind}`),
  roots: option.bool(`list only ${kind}s without parents`),
  leaves: option.bool(`list only ${kind}s without children`),
  'no-leaves': option.bool(`list only ${kind}s that are not leaves (with children)`)
})
export const from = (kind: string) => ({
  tree: option.bool(`list ${kind}s in a tree`),
  from: option.text(`limit list to children of given ${kind}`)
})
export const shown = (kind: string): Options => ({
  descendants: option.bool('with --from, list all descendants'),
  name: option.bool(`list ${kind} names only`),
  topological: option.bool('sort list topologically rather than by name')
})
