// The image of a disk: `type`, <source> and what <disk> itself tells of it (virDomainDiskDefParseSourceXML).
import { claim, custom, type Field, type ParseContext, parseAttribute, parseFields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { uint } from '../scalar.ts'
import { backingStore } from '../storage/chain.ts'
import { storageAuth, storageEncryption } from '../storage/secret.ts'
import {
  formatStorageSource,
  parseStorageSource,
  type StorageSource,
  shownSource,
  sourceNames,
  storageType
} from '../storage/source.ts'
import { firstChild, type XmlElement } from '../xml.ts'
import { layoutFields } from './disk-driver.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Parts of a disk that its written source depends on. */
interface SourcePlace {
  source: StorageSource
  startupPolicy?: string
  authInDisk?: true
  encryptionInDisk?: true
}

const IN_EITHER = [
  ['auth', storageAuth],
  ['encryption', storageEncryption]
] as const

/** `<auth>` and `<encryption>` may stand in `<disk>` or in `<source>`, not in both. */
function takeOver(source: StorageSource, node: XmlElement, context: ParseContext): void {
  for (const [part, field] of IN_EITHER) {
    if (!firstChild(node, part)) continue
    if (source[part]) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `an <${part}> definition already found for disk source`)
    Object.assign(source, { [part]: field.parse(node, context) })
  }
}

function parseIndex(node: XmlElement, { inactive }: ParseContext): number | undefined {
  const text = node.attributes.index
  if (inactive || text === undefined) return undefined
  const index = uint.parse(text)
  if (index === undefined) throw fail('VIR_ERR_XML_ERROR', `invalid disk index '${text}'`)
  return index || undefined
}

/** Layout of the image, from `<driver>`; a fault in there is reported later, when all of that element is read. */
function parseLayout(driver: XmlElement, context: ParseContext): Pick<StorageSource, keyof typeof layoutFields> {
  try {
    return parseFields(driver, layoutFields, context)
  } catch {
    return {}
  }
}

/** `<source>` and the chain below it. A disk without one is an empty drive. */
export const diskSource: Field<StorageSource> = custom<StorageSource>({
  names: ['@type', ['source', { source: claim(...sourceNames, '@startupPolicy', '@index') }], ...backingStore.names],
  parse(node, context) {
    const type = parseAttribute(node, 'type', storageType) ?? 'file'
    const found = firstChild(node, 'source')
    const source = found ? parseStorageSource(type, found, context) : ({ type: 'file' } satisfies StorageSource)
    const index = found && parseIndex(found, context)
    takeOver(source, node, context)
    const below = backingStore.parse(node, context)
    const driver = firstChild(node, 'driver')
    return {
      ...source,
      ...(driver && parseLayout(driver, context)),
      ...(index !== undefined && { index }),
      ...(below && { backingStore: below })
    }
  },
  format(source, into, context, def) {
    const { startupPolicy, authInDisk, encryptionInDisk } = def as SourcePlace
    into.attributes = { type: shownSource(source).type, ...into.attributes }
    const node = formatStorageSource('source', source, context, {
      attributes: { startupPolicy: source.type === 'network' ? undefined : startupPolicy, index: source.index },
      without: [...(authInDisk ? ['auth' as const] : []), ...(encryptionInDisk ? ['encryption' as const] : [])]
    })
    if (node) into.children.push(node)
    backingStore.format(source.backingStore, into, context)
  }
})

/** Says that a part of the source is written as a child of `<disk>`, and writes it there. */
const inDisk = (part: 'auth' | 'encryption', field: Field<never>): Field<true | undefined> => ({
  names: field.names,
  parse: node => (firstChild(node, part) ? true : undefined),
  format(value, into, context, def) {
    const held = (def as SourcePlace).source[part]
    if (value && held) field.format(held as never, into, context)
  }
})
export const authInDisk = inDisk('auth', storageAuth as Field<never>)
export const encryptionInDisk = inDisk('encryption', storageEncryption as Field<never>)
