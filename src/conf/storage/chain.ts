// Chains of images: <backingStore> below a disk's <source>, and images with a <format> of their own.
import { claim, custom, type Field, type FormatContext, type ParseContext } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { childAmount, scaledValue } from '../scaled.ts'
import { element, firstChild, type XmlElement } from '../xml.ts'
import {
  dataStore,
  formatStorageSource,
  parseStorageBase,
  parseStorageSource,
  type SourceFormat,
  type StorageSource,
  shownSource,
  withDataStore
} from './source.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)

/** The image and those it stands on, the top first. */
export function storageChain(source: StorageSource): StorageSource[] {
  const chain: StorageSource[] = []
  for (let one: StorageSource | undefined = source; one && one.type !== 'none'; one = one.backingStore) chain.push(one)
  return chain
}

/** The images of a chain, each with the one its data is in. */
export const storageImages = (source: StorageSource): StorageSource[] => storageChain(source).flatMap(withDataStore)

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
  const base = parseStorageBase(type, format?.attributes.type || undefined, index)
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
    const image = parseStorageImage(found, type, index, 'missing disk backing store source', context)
    // libvirt takes it beside the source too
    const store = dataStore.parse(found, context)
    return { ...image, ...(store && { dataStore: store }) }
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
