// <teaming>: two cards of the guest that stand in for each other; also of <hostdev> (virDomainNetTeamingInfoParseXML).
import { attr, custom, type Field } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string } from '../scalar.ts'
import { element, xpathAttribute } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface Teaming {
  type: 'persistent' | 'transient'
  /** alias of the persistent card; of transient ones only */
  persistent?: string
}

export const teaming: Field<Teaming | undefined> = custom<Teaming | undefined>({
  names: [['teaming', { type: attr('type', string), persistent: attr('persistent', string) }]],
  parse(node) {
    const type = xpathAttribute(node, 'teaming', 'type')
    const persistent = xpathAttribute(node, 'teaming', 'persistent')
    if (!type && !persistent) return undefined
    if (type !== 'persistent' && type !== 'transient') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown teaming type '${type || '(null)'}'`)
    }
    return { type, ...(persistent && { persistent }) }
  },
  format(value, into) {
    if (value) into.children.push(element('teaming', { ...value }))
  }
})
