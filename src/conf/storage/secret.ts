// Access to an image: <auth> towards its server, <encryption> of its content, and the secrets of the host both name
// (virStorageAuthDef, virStorageEncryption, virSecretLookupTypeDef).
import {
  absentIf,
  attr,
  attrOr,
  child,
  childAlways,
  children,
  type Def,
  type Field,
  type Fields,
  readFirst,
  readIf,
  required,
  requiredOr
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, type Scalar, string, uint, uuid } from '../scalar.ts'
import { firstChild } from '../xml.ts'

const fail = errorsFrom('VIR_FROM_STORAGE')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** A secret, by its uuid or by what it is used for. */
export type SecretLookup = { uuid: string } | { usage: string }

/** `uuid` or `usage` of a `<secret>`, never both (virSecretLookupParseSecret). */
export const secretLookup: Field<SecretLookup> = {
  names: ['@uuid', '@usage'],
  parse(node) {
    const { uuid: id, usage } = node.attributes
    if (id === undefined && usage === undefined) throw wrong('missing secret uuid or usage attribute')
    if (id !== undefined && usage !== undefined) throw wrong('either secret uuid or usage expected')
    if (usage !== undefined) return { usage }
    const parsed = uuid.parse(id!)
    if (parsed === undefined) throw wrong(`invalid secret uuid '${id}'`)
    return { uuid: parsed }
  },
  format(value, into) {
    Object.assign(into.attributes, value)
  }
}

/** An attribute libvirt reads by XPath, so that an empty one is none; the error of a wrong one ends in it. */
const word = <T>(name: string, type: Scalar<T>, unknown: string) =>
  readIf(
    node => node.attributes[name] !== '',
    attrOr(name, type, text => unsupported(`${unknown} ${text}`))
  )

/** Fields of `<auth>` (virStorageAuthDefParse). */
export const authFields = {
  type: absentIf(
    'none',
    readIf(
      node => node.attributes.type !== '',
      attrOr('type', enumOf('none', 'chap', 'ceph'), text => unsupported(`unknown auth type '${text}'`))
    )
  ),
  username: requiredOr(absentIf('', attr('username', string)), () => wrong('missing username for auth')),
  secret: requiredOr(childAlways('secret', { type: attr('type', string), lookup: secretLookup }), () =>
    wrong('Missing <secret> element in auth')
  )
} satisfies Fields
/** Login at a storage server: a user name and the secret that goes with it. */
export type StorageAuth = Def<typeof authFields>
export const storageAuth: Field<StorageAuth | undefined> = childAlways(
  'auth',
  authFields,
  readFirst(authFields, 'username')
)

/** A field that only LUKS has; for other formats it is passed over. */
const luksOnly = <T>(field: Field<T | undefined>) => readIf(node => node.attributes.format === 'luks', field)

const cipher = child('cipher', {
  name: requiredOr(attr('name', string), () => wrong("cipher info missing 'name' attribute")),
  size: required(attr('size', uint)),
  mode: attr('mode', string),
  hash: attr('hash', string)
})
const ivgen = child('ivgen', {
  name: requiredOr(attr('name', string), () => wrong('missing ivgen info name string')),
  hash: attr('hash', string)
})

/** Fields of `<encryption>` (virStorageEncryptionParseNode). */
export const encryptionFields = {
  format: requiredOr(
    word('format', enumOf('default', 'qcow', 'luks', 'luks2', 'luks-any'), 'unknown volume encryption format type'),
    () => wrong('unknown volume encryption format')
  ),
  /** the part that decrypts: QEMU itself or librbd */
  engine: attr('engine', enumOf('qemu', 'librbd')),
  secrets: children('secret', {
    type: requiredOr(word('type', enumOf('passphrase'), 'unknown volume encryption secret type'), () =>
      wrong('unknown volume encryption secret type')
    ),
    lookup: secretLookup
  }),
  /** for making a volume; the disk of a guest must not have it */
  cipher: luksOnly(cipher),
  ivgen: luksOnly({
    ...ivgen,
    parse(node, context) {
      if (firstChild(node, 'ivgen') && !firstChild(node, 'cipher'))
        throw wrong('ivgen element found, but cipher is missing')
      return ivgen.parse(node, context)
    }
  })
} satisfies Fields
/** Encryption of an image's content. */
export type StorageEncryption = Def<typeof encryptionFields>
export const storageEncryption: Field<StorageEncryption | undefined> = childAlways('encryption', encryptionFields)
