// <on_poweroff>, <on_reboot>, <on_crash>, <on_lockfailure>: actions on these events.
import { custom, type Field, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { element, firstChild, textOf } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** In the order of virDomainLifecycleAction. */
export const LIFECYCLE_ACTIONS = [
  'destroy',
  'restart',
  'rename-restart',
  'preserve',
  'coredump-destroy',
  'coredump-restart'
] as const
const LOCK_FAILURE = ['poweroff', 'restart', 'pause', 'ignore'] as const
export type LifecycleAction = (typeof LIFECYCLE_ACTIONS)[number]
export type LockFailureAction = (typeof LOCK_FAILURE)[number]

/** The action a child names, its default if it is absent or empty (virDomainEventActionParseXML). */
function action<T extends string, D extends T | undefined>(
  name: string,
  actions: readonly T[],
  fallback: D
): Field<T | D> {
  return custom<T | D>({
    names: [[name, {}]],
    parse(node) {
      const found = firstChild(node, name)
      const text = found ? textOf(found) : ''
      if (text === '') return fallback
      const known = actions.find(one => one === text)
      if (known === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown ${name} action: ${text}`)
      return known
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, {}, [value]))
    }
  })
}

const lockFailure = action('on_lockfailure', [...LOCK_FAILURE, 'default'], undefined)

export const eventFields = {
  onPoweroff: action('on_poweroff', LIFECYCLE_ACTIONS, 'destroy'),
  onReboot: action('on_reboot', LIFECYCLE_ACTIONS, 'restart'),
  onCrash: action('on_crash', LIFECYCLE_ACTIONS, 'destroy'),
  onLockFailure: custom<LockFailureAction | undefined>({
    ...lockFailure,
    parse(node, context) {
      const parsed = lockFailure.parse(node, context)
      return parsed === 'default' ? undefined : parsed
    }
  })
} satisfies Fields

export interface LifecycleActions {
  onPoweroff: LifecycleAction
  onReboot: LifecycleAction
  onCrash: LifecycleAction
}

/** A guest that stopped in order leaves no core to dump (virDomainDefLifecycleActionValidate). */
export function validateEvents({ onPoweroff, onReboot }: Pick<LifecycleActions, 'onPoweroff' | 'onReboot'>): void {
  for (const [event, chosen] of [
    ['poweroff', onPoweroff],
    ['reboot', onReboot]
  ] as const) {
    if (chosen.startsWith('coredump-')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Lifecycle event '${event}' doesn't support '${chosen}' action`)
    }
  }
}
