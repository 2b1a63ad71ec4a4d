// Lists of snapshots and checkpoints, and commands on checkpoints: so far a guest has none, and the commands say so.
import { virDomainCheckpointListFlags } from '../../conf/enums.ts'
import type { Given, Options } from '../arguments.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { ClientError } from '../failure.ts'
import { formatTable } from '../table.ts'

/** Options that are filters of a list, each with its flag; a tree shows all. */
export type Filters = Readonly<Record<string, number>>

const CHECKPOINT = virDomainCheckpointListFlags
const CHECKPOINT_FILTERS: Filters = {
  leaves: CHECKPOINT.VIR_DOMAIN_CHECKPOINT_LIST_LEAVES,
  'no-leaves': CHECKPOINT.VIR_DOMAIN_CHECKPOINT_LIST_NO_LEAVES
}
const CHECKPOINT_ORDER: Filters = {
  topological: CHECKPOINT.VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL,
  roots: CHECKPOINT.VIR_DOMAIN_CHECKPOINT_LIST_ROOTS,
  descendants: CHECKPOINT.VIR_DOMAIN_CHECKPOINT_LIST_DESCENDANTS
}

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

/** An empty list in the form that was asked for. */
function printNone({ session, given }: DomainCall, ...columns: string[]): void {
  if (given.has('name') || given.has('tree')) return
  const header = ['Name', 'Creation Time', ...columns, ...(given.has('parent') ? ['Parent'] : [])]
  session.print(formatTable(header, [], session.options.quiet))
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

export const checkpoints: Commands = {
  'checkpoint-list': onDomain(
    'List checkpoints for a domain',
    { ...listOptions('checkpoint'), ...from('checkpoint'), ...shown('checkpoint') },
    async call => {
      const { shim, given } = call
      checkOptions(given, CHECKPOINT_FILTERS, ['from'], '--from')
      const name = given.text('from')
      if (name !== undefined) await shim.call('virDomainCheckpointLookupByName', { name })
      const flags = flagsIn(given, CHECKPOINT_FILTERS) | flagsIn(given, CHECKPOINT_ORDER)
      await shim.call('virDomainListAllCheckpoints', { flags })
      printNone(call)
    }
  )
}
