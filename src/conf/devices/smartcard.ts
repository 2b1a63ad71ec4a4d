// <smartcard>: the host's card, one made of certificates, or one of a client.
import { childText, custom, type Def, type Fields, variant } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { string } from '../scalar.ts'
import { childElements, element, firstChild, textOf } from '../xml.ts'
import { chardevSourceField } from './chardev-source.ts'
import { validateChardevSource } from './chardev-source-validate.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const CERTIFICATES = 3

/** The names of the certificates in the database. */
const certificates = custom<string[]>({
  names: [['certificate', {}]],
  parse(node) {
    const found = childElements(node, 'certificate').map(textOf)
    if (found.length === CERTIFICATES) return found
    throw fail('VIR_ERR_XML_ERROR', 'host-certificates mode needs exactly three certificates')
  },
  format(values, into) {
    for (const value of values) into.children.push(element('certificate', {}, [value]))
  }
})

/** The directory the certificates lie in; absent: /etc/pki/nssdb. */
const database = custom<string | undefined>({
  ...childText('database', string),
  parse(node) {
    const found = firstChild(node, 'database')
    if (!found) return undefined
    const path = textOf(found)
    if (path.startsWith('/')) return path
    if (path === '') throw fail('VIR_ERR_INTERNAL_ERROR', 'the certificate database has no path')
    throw fail('VIR_ERR_XML_ERROR', `expecting absolute path: ${path}`)
  }
})

export const smartcardFields = {
  card: variant('mode', {
    host: {},
    'host-certificates': { certificates, database },
    passthrough: {
      source: chardevSourceField({
        missing: ['VIR_ERR_XML_ERROR', 'passthrough mode requires a character device type attribute'],
        unknown: type => `unknown type presented to host for character device: ${type}`
      })
    }
  }),
  ...deviceInfo
} satisfies Fields
export type SmartcardDef = Def<typeof smartcardFields>

export const smartcard = deviceFamily({
  element: 'smartcard',
  fields: smartcardFields,
  validate({ card, address }, def) {
    if (address && address.type !== 'ccid') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "Controllers must use the 'ccid' address type")
    }
    if (card.mode === 'passthrough') validateChardevSource(card.source, def)
  }
})
