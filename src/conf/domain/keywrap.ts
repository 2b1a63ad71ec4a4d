// <keywrap>: ciphers a s390 guest may wrap keys with (virDomainKeyWrapDefParseXML).
import { attr, children, custom, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff } from '../scalar.ts'
import { element, gathered } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const cipherName = enumOf('aes', 'dea')
export type KeywrapDef = Partial<Record<(typeof cipherName.values)[number], boolean>>

const ciphers = children('cipher', {
  name: required(attr('name', cipherName)),
  state: required(attr('state', onOff))
})

export const keywrapFields = {
  keywrap: custom<KeywrapDef | undefined>({
    names: [['keywrap', { ciphers }]],
    parse(node, context) {
      const found = gathered(node, 'keywrap')
      if (!found) return undefined
      const out: KeywrapDef = {}
      for (const { name, state } of ciphers.parse(found, context)) {
        if (out[name] !== undefined) {
          throw fail(
            'VIR_ERR_INTERNAL_ERROR',
            `A domain definition can have no more than one cipher node with name ${name}`
          )
        }
        out[name] = state
      }
      return Object.keys(out).length > 0 ? out : undefined
    },
    format(value, into, context) {
      if (!value) return
      const node = element('keywrap')
      const known = cipherName.values.filter(name => value[name] !== undefined)
      ciphers.format(
        known.map(name => ({ name, state: value[name]! })),
        node,
        context
      )
      into.children.push(node)
    }
  })
} satisfies Fields
