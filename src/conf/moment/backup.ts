// <domainbackup>: disks to copy with the targets, or to show over NBD (virDomainBackupDef).
import type { DiskDef } from '../devices/disk.ts'
import type { DomainDef } from '../domain-def.ts'
import { checkNames } from '../domain-xml.ts'
import { claim, missingAttribute, parseAttribute } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, uint, yesNo } from '../scalar.ts'
import {
  formatStorageSource,
  isStorageEmpty,
  parseStorageSource,
  type StorageSource,
  sourceNames,
  storageFormat,
  storageType
} from '../storage/source.ts'
import { parseStorageHost, type StorageHost } from '../storage/source-network.ts'
import { element, firstChild, formatXml, parseXml, type XmlElement } from '../xml.ts'
import { momentDisks, momentText } from './moment.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const wrong = (message: string) => fail('VIR_ERR_XML_ERROR', message)
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const backupMode = enumOf('full', 'incremental')
const backupState = enumOf('running', 'complete', 'failed', 'cancelling', 'cancelled')
export type BackupState = (typeof backupState.values)[number]

export interface BackupDisk {
  /** target of the domain's disk */
  name: string
  backup: boolean
  backupMode?: (typeof backupMode.values)[number]
  /** the checkpoint since which changes are copied */
  incremental?: string
  /** name of the NBD export and of the bitmap of changes shown with it */
  exportName?: string
  exportBitmap?: string
  /** push: the target of the copy; pull: scratch space */
  store?: StorageSource
  /** of a running job; kept in the status only */
  state?: BackupState
}

/** Where the NBD server of a pull listens: at a place of its own, or by an open socket of a client's (virDomainFDAssociate). */
export type BackupServer = StorageHost | { transport: 'fd'; fdgroup: string }

export interface BackupDef {
  /** QEMU writes the copy, or somebody fetches it */
  mode: 'push' | 'pull'
  incremental?: string
  /** absent: not chosen yet, or of a push */
  server?: BackupServer
  tls?: boolean
  disks: BackupDisk[]
  /** ids of QEMU's objects for TLS; kept in the status only */
  tlsAlias?: string
  tlsSecretAlias?: string
}

const backupNames = {
  head: claim('@mode', ['incremental', null]),
  server: claim(['server', { server: claim('@transport', '@name', '@port', '@socket', '@fdgroup', '@tls') }]),
  disks: claim([
    'disks',
    {
      disk: claim([
        'disk',
        {
          disk: claim('@name', '@backup', '@type', '@backupmode', '@incremental', '@exportname', '@exportbitmap'),
          more: claim('@index', ['driver', { driver: claim('@type') }]),
          target: claim(['target', { target: claim(...sourceNames) }], ['scratch', { scratch: claim(...sourceNames) }])
        }
      ])
    }
  ])
}

const context = { inactive: true, status: false }

function parseServer(node: XmlElement, mode: BackupDef['mode']): Pick<BackupDef, 'server' | 'tls'> {
  const found = firstChild(node, 'server')
  if (!found) return {}
  if (mode !== 'pull') throw unsupported('use of <server> requires pull mode backup')
  const server = found.attributes.transport === 'fd' ? parseOpenSocket(found) : parseStorageHost(found)
  if (server.transport === 'rdma') throw unsupported('transport rdma is not supported for <server>')
  if (server.transport === 'unix' && !server.socket?.startsWith('/'))
    throw wrong(`backup socket path '${server.socket}' must be absolute`)
  const tls = parseAttribute(found, 'tls', yesNo)
  return { server, ...(tls !== undefined && { tls }) }
}

function parseOpenSocket(node: XmlElement): BackupServer {
  if (node.attributes.socket !== undefined) throw wrong("transport 'fd' does not support socket attribute")
  const { fdgroup } = node.attributes
  if (fdgroup === undefined) throw missingAttribute(node, 'fdgroup')
  return { transport: 'fd', fdgroup }
}

/** virDomainBackupDiskDefParseXML */
function parseDisk(node: XmlElement, mode: BackupDef['mode'], status: boolean): BackupDisk {
  const { name, incremental, exportname: exportName, exportbitmap: exportBitmap, type: typeName } = node.attributes
  if (name === undefined) throw wrong('missing name from disk backup element')
  const backup = parseAttribute(node, 'backup', yesNo) ?? true
  if (!backup) return { name, backup }
  const mine = parseAttribute(node, 'backupmode', backupMode)
  const state = status ? parseAttribute(node, 'state', backupState) : undefined
  const type = typeName === undefined ? 'file' : storageType.parse(typeName)
  if (!type) throw wrong(`unknown storage source type '${typeName}'`)
  const formatName = firstChild(node, 'driver')?.attributes.type
  const format = formatName ? storageFormat.parse(formatName) : undefined
  if (formatName && !format) throw wrong(`unknown storage source format '${formatName}'`)
  if (mode === 'pull' && !status && format !== undefined && format !== 'qcow2')
    throw fail(
      'VIR_ERR_XML_INVALID_SCHEMA',
      `Unable to validate doc against domainbackup.rng\ndriver '${format}' is not known`
    )
  const { index } = node.attributes
  const number = status && index !== undefined ? uint.parse(index) : undefined
  if (type !== 'file' && type !== 'block') throw wrong(`unsupported disk backup type '${type}'`)
  const found = firstChild(node, mode === 'push' ? 'target' : 'scratch')
  const source: StorageSource = found ? parseStorageSource(type, found, { ...context, status }) : { type }
  return {
    name,
    backup,
    ...(mine && { backupMode: mine }),
    ...(incremental !== undefined && { incremental }),
    ...(mode === 'pull' && exportName !== undefined && { exportName }),
    ...(mode === 'pull' && exportBitmap !== undefined && { exportBitmap }),
    store: { ...source, ...(format && { format }), ...(number && { index: number }) },
    ...(state && { state })
  }
}

/**
 * Reads `<domainbackup>` (virDomainBackupDefParseString), strictly unless it is our own status.
 * @throws VIR_ERR_XML_DETAIL, VIR_ERR_XML_INVALID_SCHEMA, VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED
 */
export function parseBackup(text: string, { status = false } = {}): BackupDef {
  const root = parseXml(text, '(domain_backup)')
  if (root.name !== 'domainbackup') throw wrong(`expecting root element of 'domainbackup', not '${root.name}'`)
  if (!status) checkNames(root, backupNames, 'domainbackup.rng')
  const { mode = 'push' } = root.attributes
  if (mode !== 'push' && mode !== 'pull') throw unsupported(`unknown backup mode '${mode}'`)
  const incremental = momentText(root, 'incremental')
  const objects = status ? firstChild(firstChild(root, 'privateData') ?? root, 'objects') : undefined
  const tlsAlias = objects && firstChild(objects, 'TLSx509')?.attributes.alias
  const tlsSecretAlias = objects && firstChild(objects, 'secret')?.attributes.alias
  return {
    mode,
    ...(incremental !== undefined && { incremental }),
    ...parseServer(root, mode),
    disks: momentDisks(root).map(disk => parseDisk(disk, mode, status)),
    ...(tlsAlias !== undefined && { tlsAlias }),
    ...(tlsSecretAlias !== undefined && { tlsSecretAlias })
  }
}

function formatDisk(disk: BackupDisk, mode: BackupDef['mode'], status: boolean): XmlElement {
  const { name, backup, store, state } = disk
  const node = element('disk', { name, backup: yesNo.format(backup), state: status ? state : undefined })
  if (!backup || !store) return node
  Object.assign(
    node.attributes,
    element('disk', {
      type: store.type,
      backupmode: disk.backupMode,
      incremental: disk.incremental,
      exportname: disk.exportName,
      exportbitmap: disk.exportBitmap,
      index: store.index
    }).attributes
  )
  if (store.format) node.children.push(element('driver', { type: store.format }))
  const where = mode === 'push' ? 'target' : 'scratch'
  const written = formatStorageSource(where, store, { inactive: false, secure: false, migratable: false, status })
  if (written) node.children.push(written)
  return node
}

/** Writes `<domainbackup>` (virDomainBackupDefFormat). */
export function formatBackup(def: BackupDef, { status = false } = {}): string {
  const { mode, incremental, server, tls, disks, tlsAlias, tlsSecretAlias } = def
  const objects = element('objects', {}, [
    tlsSecretAlias === undefined ? undefined : element('secret', { type: 'tlskey', alias: tlsSecretAlias }),
    tlsAlias === undefined ? undefined : element('TLSx509', { alias: tlsAlias })
  ])
  return formatXml(
    element('domainbackup', { mode }, [
      incremental === undefined ? undefined : element('incremental', {}, [incremental]),
      server &&
        element('server', {
          transport: server.transport,
          tls: tls === undefined ? undefined : yesNo.format(tls),
          ...(server.transport === 'fd'
            ? { fdgroup: server.fdgroup }
            : { name: server.name, port: server.port, socket: server.socket })
        }),
      disks.length > 0
        ? element(
            'disks',
            {},
            disks.map(disk => formatDisk(disk, mode, status))
          )
        : undefined,
      status && objects.children.length > 0 ? element('privateData', {}, [objects]) : undefined
    ])
  )
}

/** The file a backup goes to if none is named: beside the image (virDomainBackupDefAssignStore). */
function chooseStore(one: BackupDisk, { source }: DiskDef, suffix: string): void {
  const { store } = one
  if (store && isStorageEmpty(source)) throw unsupported(`disk '${one.name}' has no media`)
  if (store && !isStorageEmpty(store)) return
  if (source.type !== 'file') throw unsupported(`refusing to generate file name for disk '${one.name}'`)
  one.store = { type: 'file', path: `${source.path}.${suffix}`, ...(store?.format && { format: store.format }) }
}

/**
 * Completes the list of disks from the domain: without any, all that can be written are backed up, else those named
 * (virDomainBackupAlignDisks).
 * @param suffix of files that are not named
 * @throws VIR_ERR_CONFIG_UNSUPPORTED
 */
export function alignBackupDisks(def: BackupDef, { devices }: DomainDef, suffix: string): void {
  if (devices.disks.length === 0) throw unsupported('domain must have at least one disk to perform backup')
  const all = def.disks.length === 0
  const seen = new Set<string>()
  for (const one of def.disks) {
    const disk = devices.disks.find(({ target }) => target?.dev === one.name)
    if (!disk) throw unsupported(`no disk named '${one.name}'`)
    if (seen.has(one.name)) throw unsupported(`disk '${one.name}' specified twice`)
    seen.add(one.name)
    if (one.backupMode === 'incremental' && one.incremental === undefined && def.incremental === undefined)
      throw unsupported(
        `'incremental' backup mode of disk '${one.name}' requires setting 'incremental' field for disk or backup`
      )
    if (one.backup) chooseStore(one, disk, suffix)
  }
  for (const disk of devices.disks) {
    const name = disk.target?.dev ?? ''
    if (seen.has(name)) continue
    const added: BackupDisk = { name, backup: all && !isStorageEmpty(disk.source) && !disk.readonly }
    if (added.backup) chooseStore(added, disk, suffix)
    def.disks.push(added)
  }
  for (const one of def.disks) {
    one.backupMode ??= (def.incremental ?? one.incremental) === undefined ? 'full' : 'incremental'
    if (one.backupMode === 'incremental') one.incremental ??= def.incremental
  }
}
