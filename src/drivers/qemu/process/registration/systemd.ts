// Guests as transient scopes of systemd's own.
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom } from '../../../../conf/error.ts'
import { asVirError, callService, refuses, ServiceError, type Value, type Variant } from '../../../../host/bus.ts'
import { UNIT_ORDER } from './machined.ts'
import { scopeName, sliceName } from './partition.ts'

const fail = errorsFrom('VIR_FROM_SYSTEMD')

export const SYSTEMD = 'org.freedesktop.systemd1'

const START_TIMEOUT_MS = 10_000
/** Between two looks at a unit that is being started; the wait doubles up to the longest. */
const LOOK_MS = { first: 10, longest: 200 }

const manager = {
  service: SYSTEMD,
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager'
}

/** Controllers the scope gets; with Delegate its groups are the guest's to tune. */
const ACCOUNTING = ['CPUAccounting', 'MemoryAccounting', 'IOAccounting', 'TasksAccounting']

export interface NewScope {
  /** as machined would call it */
  machine: string
  pids: number[]
  partition: string
}

const property = (name: string, type: string, value: Value): [string, Variant] => [name, { type, value }]

/**
 * Starts a scope with these processes in it and waits until it is there.
 * @throws VIR_ERR_DBUS_SERVICE with the service's words, VIR_ERR_OPERATION_TIMEOUT,
 *   VIR_ERR_INTERNAL_ERROR if the job fails
 */
export async function startScope({ machine, pids, partition }: NewScope): Promise<void> {
  const unit = scopeName(machine)
  const properties: Value = [
    property('Description', 's', `Virtual Machine ${machine}`),
    property('Slice', 's', sliceName(partition)),
    property('PIDs', 'au', pids),
    property('Delegate', 'b', true),
    property('CollectMode', 's', 'inactive-or-failed'),
    ...ACCOUNTING.map(name => property(name, 'b', true)),
    ...UNIT_ORDER
  ]
  try {
    await callService({
      ...manager,
      member: 'StartTransientUnit',
      signature: 'ssa(sv)a(sa(sv))',
      args: [unit, 'fail', properties, []]
    })
    await untilStarted(unit)
  } catch (error) {
    throw asVirError(error)
  }
}

/** Waits for the end of the job that starts a unit. */
async function untilStarted(unit: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  const { service } = manager
  const [path] = (await callService({ ...manager, member: 'GetUnit', signature: 's', args: [unit] })) as [string]
  const ask = async (name: string): Promise<unknown> => {
    const args = ['org.freedesktop.systemd1.Unit', name]
    const properties = 'org.freedesktop.DBus.Properties'
    const [value] = await callService({ service, path, interface: properties, member: 'Get', signature: 'ss', args })
    return (value as { data: unknown }).data
  }
  for (let wait = LOOK_MS.first; Date.now() < deadline; wait = Math.min(2 * wait, LOOK_MS.longest)) {
    // the job first: once it is over, the state is what it has come to
    const [job] = (await ask('Job')) as [id: number, path: string]
    const state = await ask('ActiveState')
    if (state === 'active') return
    if (job === 0) throw fail('VIR_ERR_INTERNAL_ERROR', `systemd could not start '${unit}': ${state}`)
    await sleep(wait)
  }
  throw fail('VIR_ERR_OPERATION_TIMEOUT', `systemd did not start '${unit}' in ${START_TIMEOUT_MS} ms`)
}

/** Ends the scope, if it has not ended with its processes. @throws VIR_ERR_DBUS_SERVICE, VIR_ERR_OPERATION_TIMEOUT */
export async function stopScope(machine: string): Promise<void> {
  const unit = scopeName(machine)
  try {
    await callService({ ...manager, member: 'StopUnit', signature: 'ss', args: [unit, 'replace'] })
  } catch (error) {
    const gone =
      error instanceof ServiceError && (await refuses({ ...manager, member: 'GetUnit', signature: 's', args: [unit] }))
    if (!gone) throw asVirError(error)
  }
}
