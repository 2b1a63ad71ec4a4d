// Storage of an image: <source> of disks, backing images, mirrors, NVRAM files, snapshots and backups, each by the
// `type` of the element around it (virStorageSource).

import { isDeepStrictEqual } from 'node:util'
import { reconnectField } from '../devices/chardev-source.ts'
import { addressKinds, checkPci, isPciAddressEmpty } from '../devices/device-address.ts'
import { seclabelOverrides } from '../devices/seclabel-override.ts'
import {
  absentIf,
  attr,
  attrOr,
  childAlways,
  custom,
  type Def,
  type Field,
  type Fields,
  type FormatContext,
  formatFields,
  formatFieldsInto,
  type Name,
  type ParseContext,
  parseAttribute,
  parseFields,
  readAhead,
  readFirst,
  required,
  requiredOr,
  type Variant
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, ulonglong, yesNo } from '../scalar.ts'
import { childElements, element, firstChild, type XmlElement } from '../xml.ts'
import { reservations } from './reservations.ts'
import { storageAuth, storageEncryption } from './secret.ts'
import { hasVolume, networkFields, splitVolume } from './source-network.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)

/** virStorageFileFormat: those behind `cow` can have a backing image. */
export const storageFormat = enumOf(
  'raw',
  'dir',
  'bochs',
  'cloop',
  'dmg',
  'iso',
  'vpc',
  'vdi',
  'fat',
  'vhd',
  'ploop',
  'cow',
  'qcow',
  'qcow2',
  'qed',
  'vmdk'
)
export type StorageFormat = (typeof storageFormat.values)[number]

/** A path; an empty one says there is no medium, as old applications write it. */
const path = (name: string) => absentIf('', attr(name, string))

/** Pool and volume of libvirt's storage driver, given together or not at all. */
const volumeFields = {
  pool: custom<string | undefined>({
    ...attr('pool', string),
    parse(node) {
      const { pool, volume } = node.attributes
      if ((pool === undefined) !== (volume === undefined))
        throw wrong("'pool' and 'volume' must be specified together for 'pool' type source")
      return pool
    }
  }),
  volume: attr('volume', string),
  mode: attr('mode', enumOf('host', 'direct'))
} satisfies Fields

const onlyType = <const T extends string>(expected: T, missing: string, other: (text: string) => string): Field<T> =>
  requiredOr(
    attrOr('type', enumOf(expected), text => wrong(other(text))),
    () => wrong(missing)
  )

const { domain, bus, slot, function: fn, multifunction, zpci } = addressKinds.pci
const place = { domain, bus, slot, function: fn } satisfies Fields
/** A place as it is read: attributes that only a place in the guest can have are checked, not kept. */
const placeAsRead = { ...place, multifunction: readAhead(multifunction), zpci: readAhead(zpci) }
const nvmeAddress = childAlways('address', place, placeAsRead)
const checkedAddress: typeof nvmeAddress = {
  ...nvmeAddress,
  parse(node, context) {
    const address = nvmeAddress.parse(node, context)
    if (address && !isPciAddressEmpty(address)) checkPci(address)
    return address
  }
}

const nvmeFields = {
  bus: onlyType('pci', "missing 'type' attribute to disk source", text => `unsupported source type '${text}'`),
  /** libvirt takes the controller from the host's driver and gives it back */
  managed: attr('managed', yesNo),
  namespace: required(attr('namespace', ulonglong)),
  address: requiredOr(checkedAddress, () => wrong('NVMe disk source is missing address'))
} satisfies Fields

const vhostUserFields = {
  transport: onlyType(
    'unix',
    "missing 'type' attribute for vhostuser disk source",
    () => "invalid 'type' attribute for vhostuser disk source"
  ),
  path: requiredOr(attr('path', string), () => wrong("missing 'path' attribute for vhostuser disk source")),
  reconnect: reconnectField
} satisfies Fields

/** Files of a client's that an image is in: how many, and if one may write to them. */
interface HandedFiles {
  count: number
  writable: boolean
}

/** Told in saved status only: the client and its files may be gone. */
const handed: Field<HandedFiles | undefined> = {
  names: ['@files', '@writable'],
  parse(node, { status }) {
    const { files, writable } = node.attributes
    return status && files !== undefined ? { count: Number(files), writable: writable === 'yes' } : undefined
  },
  format(value, into, { status }) {
    if (status && value)
      Object.assign(into.attributes, { files: String(value.count), writable: yesNo.format(value.writable) })
  }
}

/** Attributes and children of `<source>` by kind of storage. 'none' ends a chain of backing images. */
const kinds = {
  none: {},
  file: { path: path('file'), fdgroup: attr('fdgroup', string), handed },
  block: { path: path('dev') },
  dir: { path: path('dir') },
  network: networkFields,
  volume: volumeFields,
  nvme: nvmeFields,
  vhostuser: vhostUserFields,
  vhostvdpa: { path: required(attr('dev', string)) }
} satisfies Record<string, Fields>

type StorageKinds = typeof kinds
export type StorageType = keyof StorageKinds
export const storageType = enumOf('file', 'block', 'dir', 'network', 'volume', 'nvme', 'vhostuser', 'vhostvdpa')

/** In libvirt's order of reading, which decides about the error. */
const kindsAsRead: Record<StorageType, Fields> = {
  ...kinds,
  network: readFirst(networkFields, 'protocol', 'name', 'tls', 'tlsHostname', 'tlsFromConfig', 'reconnectDelay'),
  nvme: readFirst(nvmeFields, 'bus', 'namespace')
}

/** Part of a file or device that is the image: offset and size in bytes. */
export interface StorageSlice {
  offset: bigint
  size: bigint
}

const slice: Field<StorageSlice | undefined> = custom<StorageSlice | undefined>({
  names: [
    [
      'slices',
      {
        slice: childAlways('slice', {
          type: attr('type', string),
          offset: attr('offset', ulonglong),
          size: attr('size', ulonglong)
        })
      }
    ]
  ],
  parse(node) {
    const slices = childElements(node, 'slices').flatMap(one => childElements(one, 'slice'))
    const found = slices.find(one => one.attributes.type === 'storage')
    if (!found) return undefined
    const { offset, size } = found.attributes
    if (!offset || !size) throw wrong('missing offset or size attribute of slice')
    const bytes = (name: string, text: string) => {
      const value = ulonglong.parse(text)
      if (value === undefined) throw wrong(`malformed value '${text}' of '${name}' attribute of slice`)
      return value
    }
    return { offset: bytes('offset', offset), size: bytes('size', size) }
  },
  format(value, into) {
    if (value) into.children.push(element('slices', {}, [element('slice', { type: 'storage', ...value })]))
  }
})

/** Children any `<source>` can have, in the order they are written. */
const common = {
  slice,
  seclabels: seclabelOverrides,
  auth: storageAuth,
  encryption: storageEncryption,
  reservations
} satisfies Fields

/** Properties of an image that are told outside its `<source>`. */
interface StorageLayout {
  format?: StorageFormat
  /** qcow2's cache of tables, in bytes */
  metadataCacheMaxSize?: bigint
  /** of an image of a running guest that is in a client's files */
  handed?: HandedFiles
  /** number of the image on a running guest: its nodes in QEMU are libvirt-INDEX-storage and -format */
  index?: number
  /** the image below; type 'none': there is none, absent: not known */
  backingStore?: StorageSource
  /** the raw image the guest's data is in, where this one holds no more than its tables */
  dataStore?: StorageSource
  /** who asks an SSH server, and false for one whose key is not looked at: known of images that other images name */
  sshUser?: string
  sshHostKeyCheck?: false
  /** the backing image, or that there is none, was found in the image, not told by the user */
  detected?: true
  /** the volume of a pool that it is on this host; it is shown as that volume */
  inPool?: Def<typeof volumeFields>
}

/** An image as definitions show it. */
export function shownSource(source: StorageSource): StorageSource {
  return source.inPool ? ({ ...source, type: 'volume', ...source.inPool } as StorageSource) : source
}

/** One image: where it lies, how it is protected and laid out, and what it stands on. */
export type StorageSource = Variant<'type', StorageKinds> & Def<typeof common> & StorageLayout
export type StorageSourceOf<T extends StorageType> = Extract<StorageSource, { type: T }>

/** libvirt's path of an image: of a file, device or directory, or its name on a server, less volume or pool. */
export function storagePath(source: StorageSource): string | undefined {
  if (source.type === 'file' || source.type === 'block' || source.type === 'dir') return source.path
  if (source.type !== 'network') return undefined
  return hasVolume(source.protocol) ? splitVolume(source.name).path : source.name
}

/** The image and the one its data is in. */
export const withDataStore = (image: StorageSource): StorageSource[] =>
  image.dataStore ? [image, image.dataStore] : [image]

/** True for a file, device or directory of this host (virStorageSourceIsLocalStorage). */
export function isLocalStorage(source: StorageSource): source is StorageSourceOf<'file' | 'block' | 'dir'> {
  return source.type === 'file' || source.type === 'block' || source.type === 'dir'
}

/** True if two descriptions are of one image, however it is laid out (virStorageSourceIsSameLocation). */
export function sameLocation(a: StorageSource, b: StorageSource): boolean {
  if (isStorageEmpty(a) || isStorageEmpty(b)) return isStorageEmpty(a) && isStorageEmpty(b)
  const [one, other] = [shownSource(a), shownSource(b)]
  return isDeepStrictEqual(locationOf(one), locationOf(other)) || isDeepStrictEqual(locationOf(a), locationOf(b))
}

function locationOf(source: StorageSource): object {
  const { type } = source
  if (type === 'volume') return { type, pool: source.pool, volume: source.volume }
  if (type === 'nvme') return { type, namespace: source.namespace, address: source.address }
  if (type !== 'network') return { type, path: isLocalStorage(source) ? source.path : undefined }
  const { protocol, name, snapshot, hosts } = source
  const servers = hosts.map(({ transport, name, port, socket }) => ({ transport, name, port, socket }))
  return { type, protocol, name, snapshot, servers }
}

/** True if no medium is in the drive (virStorageSourceIsEmpty). */
export function isStorageEmpty(source: StorageSource): boolean {
  if (isLocalStorage(source)) return source.path === undefined
  return source.type === 'none' || (source.type === 'network' && source.protocol === 'none')
}

/** In the order in which libvirt reads them, which decides about the error. */
const commonAsRead = (({ slice, seclabels, ...first }) => ({ ...first, slice, seclabels }))(common)

/**
 * Reads a `<source>` of a kind of storage (virDomainStorageSourceParse).
 * @throws VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INVALID_ARG
 */
export function parseStorageSource(type: StorageType, node: XmlElement, context: ParseContext): StorageSource {
  if (type === 'none') throw fail('VIR_ERR_INTERNAL_ERROR', 'unexpected disk type none')
  const source = { type, ...parseFields(node, kindsAsRead[type], context) }
  Object.assign(source, parseFields(node, commonAsRead, context))
  const store = dataStore.parse(node, context)
  return { ...source, ...(store && { dataStore: store }) } as StorageSource
}

/**
 * Type, format and number of an image that has an element of its own (virDomainStorageSourceParseBase).
 * @throws VIR_ERR_XML_ERROR
 */
export function parseStorageBase(type: string, format: string | undefined, index: string | undefined) {
  const known = storageType.parse(type)
  if (!known) throw wrong(`unknown storage source type '${type}'`)
  const layout = format === undefined ? undefined : storageFormat.parse(format)
  if (format !== undefined && !layout) throw wrong(`unknown storage source format '${format}'`)
  const number = index === undefined ? undefined : uint.parse(index)
  if (index !== undefined && number === undefined) throw wrong(`invalid storage source index '${index}'`)
  return { type: known, layout: { ...(layout && { format: layout }), ...(number && { index: number }) } }
}

/** `<dataStore>` (virDomainDiskDataStoreParse). */
export const dataStore: Field<StorageSource | undefined> = {
  names: [['dataStore', null]],
  parse(node, context) {
    const found = firstChild(node, 'dataStore')
    if (!found) return undefined
    const type = required(attr('type', string)).parse(found, context)
    const format = firstChild(found, 'format')?.attributes.type
    if (!format) throw wrong('missing data file store format')
    const source = firstChild(found, 'source')
    if (!source) throw wrong('missing disk data file store source')
    const base = parseStorageBase(type, format, context.inactive ? undefined : source.attributes.index)
    return { ...parseStorageSource(base.type, source, context), ...base.layout }
  },
  format(value, into, context) {
    if (!value) return
    const node = element('dataStore', { type: shownSource(value).type }, [element('format', { type: 'raw' })])
    const source = formatStorageSource('source', value, context, { attributes: { index: value.index } })
    if (source) node.children.push(source)
    into.children.push(node)
  }
}

/** Differences in writing, by the element a source is part of. */
export interface SourceFormat {
  /** attributes behind those of the source */
  attributes?: Record<string, string | number | undefined>
  /** parts written elsewhere */
  without?: ('auth' | 'encryption')[]
}

/** Parts that are not written by kind of storage. */
const UNWRITTEN: Partial<Record<StorageType, (keyof typeof common)[]>> = { network: ['seclabels'], volume: ['auth'] }

/** Writes a `<source>`, or nothing if nothing is to be told (virDomainDiskSourceFormat). */
export function formatStorageSource(
  name: string,
  image: StorageSource,
  context: FormatContext,
  { attributes = {}, without = [] }: SourceFormat = {}
): XmlElement | undefined {
  const source = shownSource(image)
  const node = formatFields(name, source as never, kinds[source.type] as Fields, context)
  const parts: Partial<Def<typeof common>> = { ...source }
  for (const part of [...without, ...(UNWRITTEN[source.type] ?? [])]) parts[part] = undefined
  formatFieldsInto(node, parts as Def<typeof common>, common, context)
  dataStore.format(source.dataStore, node, context)
  for (const key in attributes) if (attributes[key] !== undefined) node.attributes[key] = String(attributes[key])
  return Object.keys(node.attributes).length + node.children.length > 0 ? node : undefined
}

/** Names on and below a `<source>` of any kind, for strict validation. */
export const sourceNames: Name[] = [...Object.values<Fields>(kinds), common]
  .flatMap(table => Object.values<Field<unknown>>(table).flatMap(field => field.names))
  .concat(dataStore.names)

/** `type` of an element and its `<source>`, for elements that have nothing else to tell of an image. */
export function typedSource(defaultType: StorageType = 'file'): Field<StorageSource | undefined> {
  return custom<StorageSource | undefined>({
    names: ['@type', ['source', null]],
    parse(node, context) {
      const type = parseAttribute(node, 'type', storageType) ?? defaultType
      const found = firstChild(node, 'source')
      return found && parseStorageSource(type, found, context)
    },
    format(value, into, context) {
      if (value === undefined) return
      into.attributes = { type: shownSource(value).type, ...into.attributes }
      const node = formatStorageSource('source', value, context)
      if (node) into.children.push(node)
    }
  })
}
