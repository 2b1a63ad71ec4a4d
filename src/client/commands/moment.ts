// Commands on snapshots and checkpoints: so far a guest has none, and the commands say so.
import { virDomainCheckpointListFlags, virDomainSnapshotListFlags } from '../../conf/enums.ts'
import type { Given, Options } from '../arguments.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { ClientError } from '../failure.ts'
import { formatTable } from '../table.ts'

/** Options that are filters of a list, each with its flag; a tree shows all. */
type Filters = Readonly<Record<string, number>>

const SNAPSHOT = virDomainSnapshotListFlags
const SNAPSHOT_FILTERS: Filters = {
  leaves: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_LEAVES,
  'no-leaves': SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES,
  inactive: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE,
  active: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE,
  'disk-only': SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY,
  internal: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL,
  external: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL
}
const SNAPSHOT_ORDER: Filters = {
  topological: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL,
  roots: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_ROOTS,
  metadata: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_METADATA,
  'no-metadata': SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA,
  descendants: SNAPSHOT.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS
}
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

const flagsIn = (given: Given, flags: Filters) =>
  Object.entries(flags).reduce((mask, [name, bit]) => (given.has(name) ? mask | bit : mask), 0)

/** Options that go together. @throws ClientError */
function checkOptions(given: Given, filters: Filters, starts: readonly string[], hint: string): void {
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
const listOptions = (kind: string) => ({
  parent: option.bool(`add a column showing parent ${kind}`),
  roots: option.bool(`list only ${kind}s without parents`),
  leaves: option.bool(`list only ${kind}s without children`),
  'no-leaves': option.bool(`list only ${kind}s that are not leaves (with children)`)
})
const from = (kind: string) => ({
  tree: option.bool(`list ${kind}s in a tree`),
  from: option.text(`limit list to children of given ${kind}`)
})
const shown = (kind: string): Options => ({
  descendants: option.bool('with --from, list all descendants'),
  name: option.bool(`list ${kind} names only`),
  topological: option.bool('sort list topologically rather than by name')
})

export const snapshots: Commands = {
  'snapshot-current': onDomain(
    'Get or set the current snapshot',
    {
      name: option.bool('list the name, rather than the full xml'),
      'security-info': option.bool('include security sensitive information in XML dump'),
      snapshotname: option.text('name of existing snapshot to make current')
    },
    async ({ shim, given, wanted }) => {
      given.exclusive(['name', 'snapshotname'])
      const name = given.text('snapshotname')
      if (name !== undefined) await shim.call('virDomainSnapshotLookupByName', { name })
      const { result } = await shim.call('virDomainHasCurrentSnapshot')
      if (!result) throw new ClientError(`domain '${wanted}' has no current snapshot`)
    }
  ),

  'snapshot-list': onDomain(
    'List snapshots for a domain',
    {
      ...listOptions('snapshot'),
      metadata: option.bool('list only snapshots that have metadata that would prevent undefine'),
      'no-metadata': option.bool('list only snapshots that have no metadata managed by libvirt'),
      inactive: option.bool('filter by snapshots taken while inactive'),
      active: option.bool('filter by snapshots taken while active (full system snapshots)'),
      'disk-only': option.bool('filter by disk-only snapshots'),
      internal: option.bool('filter by internal snapshots'),
      external: option.bool('filter by external snapshots'),
      ...from('snapshot'),
      current: option.bool('limit list to children of current snapshot'),
      ...shown('snapshot')
    },
    async call => {
      const { shim, given } = call
      checkOptions(given, SNAPSHOT_FILTERS, ['from', 'current'], 'either --from or --current')
      const name = given.text('from')
      if (name !== undefined) await shim.call('virDomainSnapshotLookupByName', { name })
      else if (given.has('current')) await shim.call('virDomainSnapshotCurrent')
      const flags = flagsIn(given, SNAPSHOT_FILTERS) | flagsIn(given, SNAPSHOT_ORDER)
      await shim.call('virDomainListAllSnapshots', { flags })
      printNone(call, 'State')
    }
  )
}

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
