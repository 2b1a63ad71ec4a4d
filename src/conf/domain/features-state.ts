// A feature that is on or off: `<x state='on|off'/>`.
import { attr, custom, type Field, required } from '../element.ts'
import { onOff, yesNo } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'

const stateAttribute = attr('state', onOff)

/** Presence alone means on. */
export function state(name: string): Field<boolean | undefined> {
  return custom<boolean | undefined>({
    names: [[name, { state: stateAttribute }]],
    parse(node, context) {
      const found = firstChild(node, name)
      return found && (stateAttribute.parse(found, context) ?? true)
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, { state: onOff.format(value) }))
    }
  })
}

/** Presence alone means yes, in an attribute of another name and other words. */
export function enabledFeature(name: string): Field<boolean | undefined> {
  const enabled = attr('enabled', yesNo)
  return custom<boolean | undefined>({
    names: [[name, { enabled }]],
    parse(node, context) {
      const found = firstChild(node, name)
      return found && (enabled.parse(found, context) ?? true)
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element(name, { enabled: yesNo.format(value) }))
    }
  })
}

/** The state must be said. */
export function requiredState(name: string): Field<boolean | undefined> {
  return {
    ...state(name),
    parse(node, context) {
      const found = firstChild(node, name)
      return found && required(stateAttribute).parse(found, context)
    }
  }
}

/** The state attribute of a feature that has more attributes than this. */
export const stateRequired = required(stateAttribute)
