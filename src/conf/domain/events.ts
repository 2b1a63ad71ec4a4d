// <on_poweroff>, <on_reboot>, <on_crash>, <on_lockfailure>: what to do when the guest does that.
import { custom, type Field, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { element, firstChild, textOf } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const LIFECYCLE = ['destroy', 'restart', 'rename-restart', 'preserve', 'coredump-destroy', 'coredump-restart'] as const
const LOCK_FAILURE = ['poweroff', 'restart', 'pause', 'ignore'] as const
export type LifecycleAction = (typeof LIFECYCLE)[number]

function action<T extends string>(name: string, actions: readonly T[]): Field<T | undefined> {
  return custom<T | undefined>({
    names: [name],
    parse(node) {
      const found = firstChild(node, name)
      if (!found) return undefined
      const text = textOf(found)
      if (!(actions as readonly string[]).includes(text))
        throw fail('VIR_ERR_INTERNAL_ERROR', `unknown lifecycle action ${text}`)
      return text as T
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, {}, [value]))
    }
  })
}

function withFallback(field: Field<LifecycleAction | undefined>, fallback: LifecycleAction): Field<LifecycleAction> {
  return { names: field.names, format: field.format, parse: (node, context) => field.parse(node, context) ?? fallback }
}

export const eventFields = {
  onPoweroff: withFallback(action('on_poweroff', LIFECYCLE), 'destroy'),
  onReboot: withFallback(action('on_reboot', LIFECYCLE), 'restart'),
  onCrash: withFallback(action('on_crash', LIFECYCLE), 'destroy'),
  onLockFailure: action('on_lockfailure', LOCK_FAILURE)
} satisfies Fields
