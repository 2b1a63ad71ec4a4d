// Commands about the host's resources: who holds what, and what too many hold. The aggregator knows; without one the
// reports of the guests are put together here.
import { formatJson } from '../../conf/json.ts'
import { Ledger } from '../../server/aggregator/ledger.ts'
import type { HeldAllocation, ResourceState } from '../../server/aggregator/resources.ts'
import type { Given } from '../arguments.ts'
import { type Commands, option } from '../command.ts'
import { ApiError } from '../failure.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

/** Amounts that are not just numbers. */
const UNITS: Record<string, string> = { memory: ' KiB' }

export const resources: Commands = {
  allocations: {
    help: 'list the host resources guests hold',
    options: {
      domain: option.text('only those of this domain, by name or uuid'),
      kind: option.text('only those of this kind, e.g. disk, tcp-port, pci'),
      json: option.bool('the whole answer as JSON')
    },
    async run(session, given) {
      const state = await stateOf(session)
      const [domain, kind] = [given.text('domain'), given.text('kind')]
      const allocations = state.allocations.filter(
        one =>
          (kind === undefined || one.kind === kind) &&
          (domain === undefined || one.holder.name === domain || one.holder.uuid === domain.toLowerCase())
      )
      if (printJson(session, given, { allocations, budgets: state.budgets })) return
      const rows = allocations.map(one => [one.kind, nameOf(one), one.mode, one.holder.name, one.state])
      session.print(formatTable(['Kind', 'Resource', 'Mode', 'Domain', 'State'], rows, session.options.quiet))
      if (state.budgets.length === 0 || domain !== undefined || kind !== undefined) return
      session.printExtra(
        `\n${formatTable(['Budget', 'Used', 'Limit', 'Host', 'Beyond it'], state.budgets.map(budgetRow))}`
      )
    }
  },

  conflicts: {
    help: 'list host resources that several guests hold although they must not',
    options: { json: option.bool('the whole answer as JSON') },
    async run(session, given) {
      const state = await stateOf(session)
      const budgets = state.budgets.filter(({ exceeded }) => exceeded)
      if (printJson(session, given, { conflicts: state.conflicts, budgets, leftOut: state.leftOut })) return
      const rows = state.conflicts.map(one => [
        one.kind,
        nameOf(one),
        one.holders.map(({ name, mode }) => `${name} (${mode})`).join(', ')
      ])
      session.print(formatTable(['Kind', 'Resource', 'Domains'], rows, session.options.quiet))
      if (budgets.length > 0) {
        session.printExtra(`\n${formatTable(['Budget', 'Used', 'Limit', 'Host', 'Beyond it'], budgets.map(budgetRow))}`)
      }
      if (state.leftOut.length === 0) return
      const leftOut = state.leftOut.map(({ place, reason }) => [place, reason])
      session.printExtra(`\n${formatTable(['Not believed', 'Reason'], leftOut)}`)
    }
  }
}

function printJson(session: Session, given: Given, value: object): boolean {
  if (given.has('json')) session.print(`${formatJson(value)}\n`)
  return given.has('json')
}

function nameOf({ kind, key, path, amount }: Pick<HeldAllocation, 'kind' | 'key' | 'path' | 'amount'>): string {
  if (amount === undefined) return path ?? key ?? ''
  return key === undefined ? `${amount}${UNITS[kind] ?? ''}` : `${amount} of ${key} KiB`
}

function budgetRow({ kind, key, used, limit, capacity, policy }: ResourceState['budgets'][number]): string[] {
  const unit = UNITS[kind] ?? ''
  const name = key === undefined ? kind : `${kind} of ${key} KiB`
  return [name, `${used}${unit}`, limit === undefined ? '-' : `${limit}${unit}`, `${capacity}${unit}`, policy]
}

/** Resources of the host as all sockets of the connection tell of them. */
async function stateOf(session: Session): Promise<ResourceState> {
  const connections = await session.connections()
  const [only] = connections
  if (only && connections.length === 1) {
    try {
      const { allocations, budgets } = (await only.get('/v1/allocations')) as ResourceState
      const { conflicts, leftOut } = (await only.get('/v1/conflicts')) as ResourceState
      return { allocations, budgets, conflicts, leftOut }
    } catch (error) {
      // a shim has no such thing
      if (!(error instanceof ApiError)) throw error
    }
  }
  return fromReports(session)
}

async function fromReports(session: Session): Promise<ResourceState> {
  const ledger = new Ledger()
  const allocations: HeldAllocation[] = []
  for (const { report } of await session.guests()) {
    const { name, uuid, sockets, namespaces } = report
    const guest = { name, uuid, socket: sockets.api ?? '', ...(namespaces && { namespaces }) }
    ledger.put({ id: `${name} ${guest.socket}`, guest, resources: report.allocations })
    const holder = { name, uuid, socket: guest.socket }
    for (const one of report.allocations) allocations.push({ ...one, holder, state: 'reported' })
  }
  return { allocations, conflicts: ledger.overlaps(), budgets: [], leftOut: [] }
}
