// <domainsnapshot>: a snapshot of a guest's disks and memory (virDomainSnapshotDef).
import type { DomainDef } from '../domain-def.ts'
import { checkNames } from '../domain-xml.ts'
import { claim, parseAttribute } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { formatSaveCookie, parseSaveCookie, type SaveCookie } from '../save-cookie.ts'
import { enumOf } from '../scalar.ts'
import { metadataCache } from '../storage/chain.ts'
import {
  formatStorageSource,
  isLocalStorage,
  isStorageEmpty,
  parseStorageSource,
  type StorageSource,
  sourceNames,
  storageFormat,
  storagePath,
  storageType
} from '../storage/source.ts'
import { element, firstChild, formatXml, parseXml, type XmlElement } from '../xml.ts'
import {
  formatMoment,
  formatMomentDomain,
  type MomentDef,
  type MomentParseOptions,
  matchDisks,
  momentDisks,
  momentText,
  parseMoment,
  parseMomentDomain
} from './moment.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** Place of a snapshot's data: none, the image itself, a file beside it, or one the user sees to. */
const location = enumOf('no', 'internal', 'external', 'manual')
export type SnapshotLocation = (typeof location.values)[number]

/** State of the guest in the snapshot: virDomainState's from 1 on, or disk-snapshot where nothing but disks was taken. */
export const snapshotState = enumOf(
  'running',
  'blocked',
  'paused',
  'shutdown',
  'shutoff',
  'crashed',
  'pmsuspended',
  'disk-snapshot'
)
export type SnapshotState = (typeof snapshotState.values)[number]

export interface SnapshotDisk {
  /** target of the domain's disk */
  name: string
  /** absent: what the disk or the kind of snapshot says */
  snapshot?: SnapshotLocation
  /** the image made by an external snapshot */
  source: StorageSource
  deleteInProgress?: true
}

export interface SnapshotDef extends MomentDef {
  state?: SnapshotState
  memory?: SnapshotLocation
  /** file of an external snapshot of the memory */
  memoryFile?: string
  disks: SnapshotDisk[]
  /** images made by going back to it: the guest, or its children, go on in those and not in those of `disks` */
  revertDisks?: SnapshotDisk[]
  /** the persistent definition of a guest that was running */
  inactiveDom?: DomainDef
  cookie?: SaveCookie
}

export interface SnapshotParseOptions extends MomentParseOptions {
  /** the guest is off, or only its disks are taken */
  offline?: boolean
  /** refuse what is not known (VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE) */
  validate?: boolean
}

const anything = claim(['name', null], ['description', null], ['creationTime', null], ['parent', null], ['state', null])
const snapshotNames = {
  moment: anything,
  rest: claim(['domain', null], ['inactiveDomain', null], ['cookie', null], ['active', null]),
  memory: claim(['memory', { memory: claim('@snapshot', '@file') }]),
  disks: claim([
    'disks',
    {
      disk: claim([
        'disk',
        {
          disk: claim('@name', '@snapshot', '@type', 'snapshotDeleteInProgress', ['driver', null]),
          source: claim(['source', { source: claim(...sourceNames) }])
        }
      ])
    }
  ])
}

/** virDomainSnapshotDiskDefParseXML */
function parseDisk(node: XmlElement, redefine: boolean): SnapshotDisk {
  const { name } = node.attributes
  if (name === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing name from disk snapshot element')
  const snapshot = parseAttribute(node, 'snapshot', location)
  const type = parseAttribute(node, 'type', storageType) ?? 'file'
  if (type === 'volume' || type === 'dir') throw wrong(`unsupported disk snapshot type '${type}'`)
  const found = firstChild(node, 'source')
  const context = { inactive: true, status: false }
  const source = found ? parseStorageSource(type, found, context) : ({ type: 'file' } satisfies StorageSource)
  if (!found) Object.assign(source, { type })
  const driver = firstChild(node, 'driver')
  const format = driver?.attributes.type
  if (format) {
    source.format = storageFormat.parse(format)
    if (!source.format) throw unsupported(`unknown disk snapshot driver '${format}'`)
  }
  const cacheBytes = driver && metadataCache.parse(driver, context)
  if (cacheBytes !== undefined) source.metadataCacheMaxSize = cacheBytes
  const path = storagePath(source)
  if (isLocalStorage(source) && path !== undefined && !path.startsWith('/'))
    throw wrong(`disk snapshot image path '${path}' must be absolute`)
  const implied = path !== undefined || source.format !== undefined ? 'external' : undefined
  const where = snapshot ?? implied
  return {
    name,
    ...(where !== undefined && { snapshot: where }),
    source,
    ...(redefine && firstChild(node, 'snapshotDeleteInProgress') && { deleteInProgress: true })
  }
}

/** Reads what only a redefined snapshot has: its state and the guest it was taken of. */
function parseExisting(node: XmlElement, options: MomentParseOptions): Partial<SnapshotDef> {
  const text = momentText(node, 'state')
  if (text === undefined) throw wrong('missing state from existing snapshot')
  const state = snapshotState.parse(text)
  if (state === undefined) throw unsupported(`Invalid state '${text}' in domain snapshot XML`)
  const domain = firstChild(node, 'domain')
  const inactive = firstChild(node, 'inactiveDomain')
  return {
    state,
    // Snapshots of very old versions have only <domain><uuid>
    ...(domain?.attributes.type && { dom: parseMomentDomain(domain, options) }),
    ...(inactive && { inactiveDom: parseMomentDomain(inactive, options) })
  }
}

function parseMemory(
  node: XmlElement,
  redefine: boolean,
  offline: boolean
): Pick<SnapshotDef, 'memory' | 'memoryFile'> {
  const found = firstChild(node, 'memory')
  const file = found?.attributes.file
  let memory = found && parseAttribute(found, 'snapshot', location)
  if (memory === 'manual') throw wrong("'manual' memory snapshot mode not supported")
  if (memory === undefined && file !== undefined) memory = 'external'
  else if (memory === undefined && redefine) memory = offline ? 'no' : 'internal'
  if (file !== undefined && memory !== 'external') throw wrong(`memory filename '${file}' requires external snapshot`)
  if (file === undefined && memory === 'external') throw wrong('external memory snapshots require a filename')
  if (offline && memory !== undefined && memory !== 'no')
    throw wrong('memory state cannot be saved with offline or disk-only snapshot')
  if (file !== undefined && !file.startsWith('/')) throw wrong(`memory snapshot file path (${file}) must be absolute`)
  return { ...(memory !== undefined && { memory }), ...(file !== undefined && { memoryFile: file }) }
}

/**
 * Reads `<domainsnapshot>` (virDomainSnapshotDefParseString); disks are as the user wrote them, see alignSnapshotDisks.
 * @throws VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR
 */
export function parseSnapshot(text: string, options: SnapshotParseOptions = {}): SnapshotDef {
  const root = parseXml(text, '(domain_snapshot)')
  if (root.name !== 'domainsnapshot') throw wrong(`expecting root element of 'domainsnapshot', not '${root.name}'`)
  if (options.validate) checkNames(root, snapshotNames, 'domainsnapshot.rng')
  const { redefine = false } = options
  const moment = parseMoment(root, 'snapshot', options)
  const existing = redefine ? parseExisting(root, options) : {}
  const offline = redefine
    ? existing.state === 'shutoff' || existing.state === 'disk-snapshot'
    : (options.offline ?? false)
  const memory = parseMemory(root, redefine, offline)
  const disks = momentDisks(root).map(disk => parseDisk(disk, redefine))
  const revertDisks = redefine ? momentDisks(root, 'revertDisks').map(disk => parseDisk(disk, redefine)) : []
  const cookie = offline ? undefined : parseSaveCookie(root)
  return {
    ...moment,
    ...existing,
    ...memory,
    disks,
    ...(revertDisks.length > 0 && { revertDisks }),
    ...(cookie && { cookie })
  }
}

/** Reads a snapshot's own file; `current`: it is the guest's current one. @throws as parseSnapshot */
export function parseSnapshotFile(text: string, options: MomentParseOptions): { def: SnapshotDef; current: boolean } {
  const def = parseSnapshot(text, { ...options, redefine: true })
  const active = momentText(parseXml(text, '(domain_snapshot)'), 'active')
  if (active === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', "Could not find 'active' element")
  return { def, current: active !== '0' }
}

function formatDisk({ name, snapshot, source, deleteInProgress }: SnapshotDisk): XmlElement {
  const node = element('disk', { name, snapshot })
  if (deleteInProgress) node.children.push(element('snapshotDeleteInProgress'))
  if (storagePath(source) === undefined && source.format === undefined) return node
  node.attributes.type = source.type
  const driver = element('driver', { type: source.format })
  const context = { inactive: true, secure: false, migratable: false, status: false }
  metadataCache.format(source.metadataCacheMaxSize, driver, context)
  if (Object.keys(driver.attributes).length + driver.children.length > 0) node.children.push(driver)
  const written = formatStorageSource('source', source, context)
  if (written) node.children.push(written)
  return node
}

export interface SnapshotFormatOptions {
  secure?: boolean
  /** of the domain, for snapshots that do not hold it */
  uuid?: string
  /** for its own file: it is the guest's current one, or is not */
  current?: boolean
}

/** Writes `<domainsnapshot>` (virDomainSnapshotDefFormat). */
export function formatSnapshot(
  def: SnapshotDef,
  { secure = false, uuid, current }: SnapshotFormatOptions = {}
): string {
  const { dom, inactiveDom, memory, memoryFile, disks, revertDisks = [], cookie } = def
  const bare = uuid === undefined ? undefined : element('domain', {}, [element('uuid', {}, [uuid])])
  return formatXml(
    element('domainsnapshot', {}, [
      ...formatMoment(def, def.state),
      memory && element('memory', { snapshot: memory, file: memoryFile }),
      disks.length > 0 ? element('disks', {}, disks.map(formatDisk)) : undefined,
      revertDisks.length > 0 ? element('revertDisks', {}, revertDisks.map(formatDisk)) : undefined,
      dom ? formatMomentDomain(dom, secure) : bare,
      inactiveDom && formatMomentDomain(inactiveDom, secure, 'inactiveDomain'),
      cookie && formatSaveCookie(cookie),
      current === undefined ? undefined : element('active', {}, [current ? '1' : '0'])
    ])
  )
}

/** True if any of its data is outside of the guest's images. */
export function isExternalSnapshot({ memory, disks }: SnapshotDef): boolean {
  return memory === 'external' || disks.some(({ snapshot }) => snapshot === 'external')
}

export interface SnapshotAlignOptions {
  /** for disks that say nothing */
  fallback: SnapshotLocation
  /** an internal snapshot takes all disks or none */
  uniformInternal: boolean
  /** whatever the domain's disks say */
  force?: boolean
  /** true for a regular file of the host */
  isRegularFile(path: string): boolean
}

/**
 * Makes the list of disks that of the domain, in its order, each with its location and, if external, its file
 * (virDomainSnapshotAlignDisks).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED
 */
export function alignSnapshotDisks(def: SnapshotDef, dom: DomainDef | undefined, options: SnapshotAlignOptions): void {
  const { fallback, uniformInternal, force = false } = options
  const domain = def.dom ?? dom
  if (!domain) throw fail('VIR_ERR_INTERNAL_ERROR', 'missing domain in snapshot')
  const uniform = uniformInternal && fallback === 'internal'
  const wanted = matchDisks(def.disks, domain, 'snapshot', (one, disk) => {
    const isLeftOut = disk.snapshot === 'no'
    if (one.snapshot === undefined) {
      one.snapshot = disk.snapshot !== undefined && (!uniform || isLeftOut) ? disk.snapshot : fallback
    } else if (uniform && one.snapshot !== fallback && !(one.snapshot === 'no' && isLeftOut)) {
      throw unsupported(`disk '${one.name}' must use snapshot mode '${fallback}'`)
    }
    const path = storagePath(one.source)
    if (path !== undefined && one.snapshot !== 'external')
      throw unsupported(`file '${path}' for disk '${one.name}' requires use of external snapshot mode`)
  })
  if (domain.devices.disks.length === 0) return
  def.disks = domain.devices.disks.map(disk => {
    const name = disk.target?.dev ?? ''
    const snapshot = isStorageEmpty(disk.source) ? 'no' : force ? fallback : (disk.snapshot ?? fallback)
    return wanted.get(name) ?? { name, snapshot, source: { type: 'file' } }
  })
  nameFiles(def, domain, options)
}

/** Files of external snapshots: beside the image, with the snapshot's name for a suffix. */
function nameFiles(def: SnapshotDef, { devices }: DomainDef, { isRegularFile }: SnapshotAlignOptions): void {
  const taken = new Map<string, string>()
  def.disks.forEach(({ name, snapshot, source }, i) => {
    const refuse = (why: string) => unsupported(`cannot generate external snapshot name for disk '${name}' ${why}`)
    if (snapshot === 'external' && storagePath(source) === undefined) {
      if (source.type !== 'file') throw refuse(`on a '${source.type}' device`)
      const base = storagePath(devices.disks[i]!.source)
      if (base === undefined) throw refuse('without source')
      if (!isRegularFile(base))
        throw unsupported(
          `source for disk '${name}' is not a regular file; refusing to generate external snapshot name`
        )
      source.path = `${base.replace(/\.[^./]*$/, '')}.${def.name}`
      const other = taken.get(source.path)
      if (other !== undefined)
        throw unsupported(`cannot generate external snapshot name for disk '${name}': collision with disk '${other}'`)
    }
    const path = storagePath(source)
    if (path !== undefined && !taken.has(path)) taken.set(path, name)
  })
}
