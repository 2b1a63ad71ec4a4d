// Guests as transient scopes of systemd's own.
import { errorsFrom } from '../../../../conf/error.ts'
import { asVirError, type HostBus, ServiceError } from './bus.ts'
import { unitOrder } from './machined.ts'
import { scopeName, sliceName } from './partition.ts'

const fail = errorsFrom('VIR_FROM_SYSTEMD')

export const SYSTEMD = 'org.freedesktop.systemd1'

const manager = {
  service: SYSTEMD,
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager'
}

const NO_SUCH_UNIT = 'org.freedesktop.systemd1.NoSuchUnit'
const JOB_REMOVED = `type='signal',sender='${SYSTEMD}',interface='${manager.interface}',member='JobRemoved'`
/** Controllers the scope gets; with Delegate its groups are the guest's to tune. */
const ACCOUNTING = ['CPUAccounting', 'MemoryAccounting', 'IOAccounting', 'TasksAccounting']

export interface NewScope {
  /** as machined would call it */
  machine: string
  pids: number[]
  partition: string
}

/**
 * Starts a scope with these processes in it and waits until it is there.
 * @throws VIR_ERR_DBUS_SERVICE with the service's words, VIR_ERR_INTERNAL_ERROR if the job fails
 */
export async function startScope(bus: HostBus, { machine, pids, partition }: NewScope): Promise<void> {
  const properties = [
    ['Description', bus.variant('s', `Virtual Machine ${machine}`)],
    ['Slice', bus.variant('s', sliceName(partition))],
    ['PIDs', bus.variant('au', pids)],
    ['Delegate', bus.variant('b', true)],
    ['CollectMode', bus.variant('s', 'inactive-or-failed')],
    ...ACCOUNTING.map(name => [name, bus.variant('b', true)]),
    ...unitOrder(bus)
  ]
  try {
    await bus.call({ ...manager, member: 'Subscribe', signature: '', args: [] })
    const unit = scopeName(machine)
    const started = await bus.expect(JOB_REMOVED, ([, , of]) => of === unit)
    await bus.call({
      ...manager,
      member: 'StartTransientUnit',
      signature: 'ssa(sv)a(sa(sv))',
      args: [unit, 'fail', properties, []]
    })
    const [, , , result] = await started()
    if (result !== 'done') throw fail('VIR_ERR_INTERNAL_ERROR', `systemd could not start '${unit}': ${result}`)
  } catch (error) {
    throw asVirError(error)
  }
}

/** Ends the scope, if it has not ended with its processes. @throws VIR_ERR_DBUS_SERVICE */
export async function stopScope(bus: HostBus, machine: string): Promise<void> {
  try {
    await bus.call({ ...manager, member: 'StopUnit', signature: 'ss', args: [scopeName(machine), 'replace'] })
  } catch (error) {
    if (!(error instanceof ServiceError) || error.type !== NO_SUCH_UNIT) throw asVirError(error)
  }
}
