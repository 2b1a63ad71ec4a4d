// Commands on a guest's sleep, and on what follows when it ends.
import { LIFECYCLE_ACTIONS } from '../../conf/domain/events.ts'
import { type Commands, impact, impactFlags, onDomain, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'

/** In the order of virNodeSuspendTarget and virDomainLifecycle. */
const SUSPEND_TARGETS = ['mem', 'disk', 'hybrid']
const LIFECYCLE_TYPES = ['poweroff', 'reboot', 'crash']

/** A word's place in a list. @throws ClientError */
function placeIn(words: readonly string[], word: string, error: string): number {
  const place = words.indexOf(word)
  if (place < 0) throw new ClientError(error)
  return place
}

export const power: Commands = {
  dompmsuspend: onDomain(
    'suspend a domain gracefully using power management functions',
    {
      target: option.text('mem(Suspend-to-RAM), disk(Suspend-to-Disk), hybrid(Hybrid-Suspend)', {
        required: true,
        values: SUSPEND_TARGETS
      }),
      duration: option.int('duration in seconds', { named: true })
    },
    async ({ shim, given, name, session }) => {
      const duration = given.ulonglong('duration') ?? 0n
      const target = placeIn(SUSPEND_TARGETS, given.text('target')!, 'Invalid target')
      const call = shim.call('virDomainPMSuspendForDuration', { target, duration })
      await saying(`Domain '${name}' could not be suspended`, call)
      session.printExtra(`Domain '${name}' successfully suspended`)
    }
  ),

  dompmwakeup: onDomain('wakeup a domain from pmsuspended state', {}, async ({ shim, name, session }) => {
    await saying(`Domain '${name}' could not be woken up`, shim.call('virDomainPMWakeup'))
    session.printExtra(`Domain '${name}' successfully woken up`)
  }),

  'set-lifecycle-action': onDomain(
    'change lifecycle actions',
    {
      type: option.text('lifecycle type to modify', { required: true, values: LIFECYCLE_TYPES }),
      action: option.text('lifecycle action to set', { required: true, values: LIFECYCLE_ACTIONS }),
      ...impact
    },
    async ({ shim, given }) => {
      const flags = impactFlags(given)
      const [typeName, actionName] = [given.text('type')!, given.text('action')!]
      const type = placeIn(LIFECYCLE_TYPES, typeName, `Invalid lifecycle type '${typeName}'.`)
      const action = placeIn(LIFECYCLE_ACTIONS, actionName, `Invalid lifecycle action '${actionName}'.`)
      const call = shim.call('virDomainSetLifecycleAction', { type, action, flags })
      await saying('Unable to change lifecycle action.', call)
    }
  )
}
