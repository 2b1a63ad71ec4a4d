// Chains of images: <backingStore> below a disk's <source>, and images with a <format> of their own.
import { claim, custom, type Field, type FormatContext, type ParseContext } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { uint } from '../scalar.ts'
import { childAmount, scaledValue } from '../scaled.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'
import {
  formatStorageSource,
  parseStorageSource,
  type SourceFormat,
  type StorageSource,
  shownSource,
  storageFormat,
  storageType
} from './source.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)

/** The image and those it stands on, the top first. */
export function storageChain(source: StorageSource): StorageSource[] {
  const chain: StorageSource[] = []
  for (let one: StorageSource | undefined = source; one && one.type !== 'none'; one = one.backingStore) chain.push(one)
  return chain
}

/** @param path how errors name it, from the element libvirt looks from */
function parseMetadataCache(node: XmlElement, path = './metadata_cache/max_size'): bigint | undefined {
  const cache = firstChild(node, 'metadata_cache')
  return (cache && scaledValue(childAmount(cache, 'max_size', path), 1n)) || undefined
}

/** `<metadata_cache><max_size unit=…>`: bytes. */
export const metadataCache: Field<bigint | undefined> = custom<bigint | undefined>({
  names: [['metadata_cache', { size: claim(['max_size', { unit: claim('@unit') }]) }]],
  parse: node => parseMetadataCache(node),
  format(value, into) {
    if (value === undefined) return
    into.children.push(element('metadata_cache', {}, [element('max_size', { unit: 'bytes' }, [String(value)])]))
  }
})

/** Type, format and number of a further image of a chain (virDomainStorageSourceParseBase). */
function parseBase(type: string, format: string | undefined, index: string | undefined) {
  const known = storageType.parse(type)
  if (!known) throw wrong(`unknown storage source type '${type}'`)
  const layout = format === undefined ? undefined : storageFormat.parse(format)
  if (format !== undefined && !layout) throw wrong(`unknown storage source format '${format}'`)
  const number = index === undefined ? undefined : uint.parse(index)
  if (index !== undefined && number === undefined) throw wrong(`invalid storage source index '${index}'`)
  return { type: known, layout: { ...(layout && { format: layout }), ...(number && { index: number }) } }
}

/**
 * Reads an image with `<format>` and `<source>` of its own, as `<backingStore>` and `<mirror>` are.
 * @param missing the error for no `<source>`
 */
export function parseStorageImage(
  node: XmlElement,
  type: string,
  index: string | undefined,
  missing: string,
  context: ParseContext
): StorageSource {
  const format = firstChild(node, 'format')
  const source = firstChild(node, 'source')
  if (!source) throw wrong(missing)
  const base = parseBase(type, format?.attributes.type || undefined, index)
  const cache = format && parseMetadataCache(format, './format/metadata_cache/max_size')
  const image = parseStorageSource(base.type, source, context)
  const below = backingStore.parse(node, context)
  return {
    ...image,
    ...base.layout,
    ...(cache !== undefined && { metadataCacheMaxSize: cache }),
    ...(below && { backingStore: below })
  }
}

/** Writes `<format>`, `<source>` and the backing images of an image into its element. */
export function formatStorageImage(
  node: XmlElement,
  source: StorageSource,
  context: FormatContext,
  attributes: SourceFormat['attributes'] = {}
): void {
  const format = element('format', { type: source.format })
  metadataCache.format(source.metadataCacheMaxSize, format, context)
  if (source.format) node.children.push(format)
  const written = formatStorageSource('source', source, context, { attributes })
  if (written) node.children.push(written)
  backingStore.format(source.backingStore, node, context)
}

/** `<backingStore>`: the image below, and those below it (virDomainDiskBackingStoreParse). */
export const backingStore: Field<StorageSource | undefined> = {
  names: [['backingStore', null]],
  parse(node, context) {
    const found = firstChild(node, 'backingStore')
    if (!found) return undefined
    const { type } = found.attributes
    if (type === undefined) return { type: 'none' }
    if (!firstChild(found, 'format')?.attributes.type) throw wrong('missing disk backing store format')
    const index = context.inactive ? undefined : found.attributes.index
    return parseStorageImage(found, type, index, 'missing disk backing store source', context)
  },
  format(value, into, context) {
    if (value === undefined || (context.inactive && value.detected)) return
    const node = element('backingStore')
    if (value.type !== 'none') {
      node.attributes.type = shownSource(value).type
      if (value.index !== undefined) node.attributes.index = String(value.index)
      formatStorageImage(node, value, context)
    }
    into.children.push(node)
  }
}
