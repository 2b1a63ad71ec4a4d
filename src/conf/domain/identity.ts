// <name>, <uuid>, <genid>: the guest's identity.

import { childText, custom, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { randomUUID } from '../random.ts'
import { string, uuid } from '../scalar.ts'
import { childElements, element, firstChild, textOf, type XmlElement } from '../xml.ts'
import { sysinfoUuid } from './sysinfo.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Text of the child, undefined where it is absent or empty. */
function childTextOf(node: XmlElement, name: string): string | undefined {
  const found = firstChild(node, name)
  return (found && textOf(found)) || undefined
}

function parseUuid(text: string, what: string): string {
  const parsed = uuid.parse(text)
  if (parsed === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `malformed ${what} element`)
  return parsed
}

export const identityFields = {
  name: custom<string>({
    ...required(childText('name', string)),
    parse(node) {
      const name = childTextOf(node, 'name')
      if (name === undefined) throw fail('VIR_ERR_NO_NAME')
      return name
    }
  }),
  /** given, or that of the SMBIOS system block, or random */
  uuid: custom<string>({
    ...required(childText('uuid', uuid)),
    parse(node) {
      const text = childTextOf(node, 'uuid')
      return text === undefined ? (sysinfoUuid(node) ?? randomUUID()) : parseUuid(text, 'uuid')
    }
  }),
  /** VM generation id, drawn where the user asks for one without saying which */
  genid: custom<string | undefined>({
    names: ['genid'],
    parse(node) {
      const found = childElements(node, 'genid')
      if (found.length === 0) return undefined
      if (found.length > 1) throw fail('VIR_ERR_XML_ERROR', "element 'genid' can only appear once")
      const text = childTextOf(node, 'genid')
      return text === undefined ? randomUUID() : parseUuid(text, 'genid')
    },
    format(value, into) {
      if (value !== undefined) into.children.push(element('genid', {}, [value]))
    }
  })
} satisfies Fields

/** Refuses names a file cannot have; the last step of post-parse (virDomainDefPostParseCheckFeatures). */
export function checkName({ name }: { name: string }): void {
  if (name.includes('/')) throw fail('VIR_ERR_XML_ERROR', `name ${name} cannot contain '/'`)
}

/** Refuses names of many lines, which only guests that are not kept may have (virXMLCheckIllegalChars). */
export function checkDefinable({ name }: { name: string }): void {
  if (name.includes('\n')) throw fail('VIR_ERR_XML_DETAIL', 'invalid char in name: \n')
}
