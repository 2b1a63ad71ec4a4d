// Attributes that name one of a few kinds, where libvirt has words of its own for what it does not know.
import { custom, type Field } from '../element.ts'
import { errorsFrom } from '../error.ts'
import type { Scalar } from '../scalar.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** An attribute libvirt reads with virXMLPropString and a table: `unknown` completes "… 'value'". */
export function named<T extends string>(name: string, type: Scalar<T>, unknown: string): Field<T | undefined> {
  return custom<T | undefined>({
    names: [`@${name}`],
    parse({ attributes }) {
      const text = attributes[name]
      if (text === undefined) return undefined
      const known = type.parse(text)
      if (known === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `${unknown} '${text}'`)
      return known
    },
    format(value, into) {
      if (value !== undefined) into.attributes[name] = value
    }
  })
}

/** As `named`, but it must be given. `missing` is libvirt's code and message for that. */
export function namedRequired<T extends string>(
  name: string,
  type: Scalar<T>,
  unknown: string,
  missing: ['VIR_ERR_XML_ERROR' | 'VIR_ERR_INTERNAL_ERROR', string]
): Field<T> {
  const field = named(name, type, unknown)
  return custom<T>({
    names: field.names,
    parse(node, context) {
      const value = field.parse(node, context)
      if (value === undefined) throw fail(...missing)
      return value
    },
    format: field.format
  })
}
