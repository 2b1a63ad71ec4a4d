// The images of a guest about to start: those that must be there, and what they stand on as far as the user has not
// told it (qemuProcessPrepareHostStorage, qemuDomainDetermineDiskChain).
import { accessSync, constants, statSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { checkAll, orThrow, type Refuse } from '../../../conf/refuse.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isLocalStorage, isStorageEmpty, type StorageFormat, type StorageSource } from '../../../conf/storage/source.ts'
import type { QemuContext } from '../context.ts'
import { isFileName, sourceOfName } from './backing-name.ts'
import { type Backing, backingOf, dataFileOf, probeFormat, readHeader } from './image-header.ts'
import { prepareImage } from './prepare.ts'
import { applyStartupPolicy } from './startup-policy.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failStorage = errorsFrom('VIR_FROM_STORAGE')

/** Layers an image can have; each is a level of nesting in the live XML. */
const MAX_DEPTH = 200

interface Images {
  context: QemuContext
  /** numbers the block nodes of an image that is found */
  nextNode(): number
}

export interface Chains extends Images {
  /** told of each disk that lost its image, with the path it had */
  dropped(disk: DiskDef, path: string | undefined): void
  /** told of each disk that must have its image; absent: the first one ends it */
  refuse?: Refuse
}

/**
 * Completes the chains of all disks and drops media their disks can start without.
 * @throws VIR_ERR_SYSTEM_ERROR for an image that is missing, VIR_ERR_OPERATION_INVALID for one of unknown format,
 * VIR_ERR_INVALID_ARG and others for one that is named in a way libvirt does not know
 */
export function determineDiskChains(def: DomainDef, { dropped, refuse = orThrow, ...images }: Chains): void {
  for (const disk of [...def.devices.disks].reverse()) {
    checkAll(
      (error, device = disk.target?.dev) => refuse(error, device),
      [() => determineOrDrop(def, disk, images, dropped)]
    )
  }
}

function determineOrDrop(def: DomainDef, disk: DiskDef, images: Images, dropped: Chains['dropped']): void {
  const { source } = disk
  try {
    completeChain(disk, images)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const path = isLocalStorage(source) ? source.path : undefined
    applyStartupPolicy(def, disk, error)
    dropped(disk, path)
    return
  }
  checkDepth(disk)
}

/** Completes the chain of one disk, whose image must be there. @throws as determineDiskChains */
export function determineDiskChain(disk: DiskDef, images: Images): void {
  completeChain(disk, images)
  checkDepth(disk)
}

function completeChain({ source, target }: DiskDef, { context, nextNode }: Images): void {
  if (isStorageEmpty(source) || source.type === 'vhostuser') return
  for (const image of determineChain(source)) {
    prepareImage(image, true, context)
    if (target?.bus !== 'sd') image.index = nextNode()
  }
}

function checkDepth({ source, target }: DiskDef): void {
  if (storageChain(source).length <= MAX_DEPTH) return
  throw fail(
    'VIR_ERR_OPERATION_UNSUPPORTED',
    `backing chains more than ${MAX_DEPTH} layers deep are not supported for disk '${target?.dev}'`
  )
}

/** Looks for the images below; gives those that were found. */
function determineChain(top: StorageSource): StorageSource[] {
  const chain = storageChain(top)
  for (const image of chain) if (!image.handed) checkAccess(image, top)
  // those below the last are looked at as they are found
  for (const image of chain.slice(0, -1)) {
    if (image.format !== 'qcow2' || image.dataStore || !isLocalStorage(image)) continue
    if (image.path !== undefined) refuseDataFile(image.path)
  }
  const last = chain.at(-1)
  if (!last || last.backingStore) return []
  // a client's image has another name for it than the host
  if (last.handed) last.backingStore = { type: 'none', detected: true }
  if (last.handed) return []
  detectBacking(last, new Set())
  return storageChain(last).slice(1)
}

function checkAccess(image: StorageSource, top: StorageSource): void {
  if (!isLocalStorage(image) || image.path === undefined) return
  try {
    accessSync(image.path, constants.R_OK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const reason = code === 'ENOENT' ? 'No such file or directory' : 'Permission denied'
    const of = image !== top && isLocalStorage(top) ? ` of storage file '${top.path}'` : ''
    const what = image === top ? 'storage' : 'backing'
    throw failStorage('VIR_ERR_SYSTEM_ERROR', `Cannot access ${what} file '${image.path}'${of}: ${reason}`, error)
  }
}

/** Formats whose images can stand on another; the others are not looked at (VIR_STORAGE_FILE_BACKING). */
const STACKABLE: ReadonlySet<StorageFormat | undefined> = new Set<StorageFormat>([
  'cow',
  'qcow',
  'qcow2',
  'qed',
  'vmdk'
])

/** Reads what an image stands on out of the image, and so on down. */
function detectBacking(image: StorageSource, seen: Set<string>): void {
  if (!isLocalStorage(image) || image.type === 'dir' || image.path === undefined || !STACKABLE.has(image.format)) {
    if (isLocalStorage(image)) image.backingStore = { type: 'none', detected: true }
    return
  }
  if (seen.has(image.path) || seen.size > MAX_DEPTH) {
    throw failStorage(
      'VIR_ERR_INTERNAL_ERROR',
      `backing store for ${image.path} is self-referential or too deeply nested`
    )
  }
  seen.add(image.path)
  const { backing: told } = look(image.path, image.format ?? 'raw', image.dataStore)
  if (!told) {
    image.backingStore = { type: 'none', detected: true }
    return
  }
  const below = sourceOf(told, image.path)
  if (!below) return
  if (image.seclabels) below.seclabels = image.seclabels
  if (isLocalStorage(below) && below.type !== 'dir') checkAccess(below, image)
  below.format = told.format ?? safelyProbed(below, told, image.path)
  image.backingStore = below
  detectBacking(below, seen)
}

/** The image that is told of, with its present kind; undefined where only QEMU can open it. @throws as sourceOfName */
function sourceOf({ name }: Backing, above: string): StorageSource | undefined {
  const path = isFileName(name) && !isAbsolute(name) ? `${dirname(above)}/${name}`.replace(/^\/+/, '/') : name
  const source = sourceOfName(path)
  if (!source) return undefined
  return { ...source, type: presentType(source), detected: true } as StorageSource
}

/** A path does not tell the kind of what lies there. */
function presentType(source: StorageSource): StorageSource['type'] {
  if (source.type !== 'file') return source.type
  try {
    const found = statSync(source.path!)
    if (found.isDirectory()) return 'dir'
    return found.isBlockDevice() ? 'block' : 'file'
  } catch {
    // told when it is to be read
    return 'file'
  }
}

interface ImageHeader {
  format: StorageFormat
  backing: Backing | undefined
  dataFile: string | undefined
}

/**
 * An image's format, the given one or else that of its signature, and the image below it.
 * @param dataStore the image its data is in, as far as the definition names it
 * @throws VIR_ERR_INTERNAL_ERROR for what cannot be read or contradicts itself
 */
function look(path: string, given?: StorageFormat, dataStore?: StorageSource): Pick<ImageHeader, 'format' | 'backing'> {
  let found: ImageHeader
  try {
    const header = readHeader(path)
    const format = given ?? probeFormat(header)
    found = { format, backing: backingOf(header, format), dataFile: dataFileOf(header) }
  } catch (error) {
    throw failStorage(
      'VIR_ERR_INTERNAL_ERROR',
      `cannot read the header of '${path}': ${(error as Error).message}`,
      error
    )
  }
  // a name of the definition's takes the place of the header's
  if (found.format === 'qcow2' && !dataStore) refuseDataFile(path, found.dataFile)
  return found
}

/**
 * Refuses an image whose header has QEMU keep its data in another file: whoever may write the image would choose any
 * file of the host's (CVE-2024-32498).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED
 */
function refuseDataFile(path: string, dataFile = dataFileIn(path)): void {
  if (dataFile === undefined) return
  throw failStorage(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `image '${path}' has its data in another file, '${dataFile}', which the definition does not name`
  )
}

/** Leaves a file that cannot be read to QEMU, which cannot read it either and says so. */
function dataFileIn(path: string): string | undefined {
  try {
    return dataFileOf(readHeader(path))
  } catch {
    return undefined
  }
}

/**
 * The format of an image that none was told of. A guess is taken if it leads no further: a guest that can write an image
 * must not choose files.
 */
function safelyProbed(image: StorageSource, told: Backing, above: string): StorageFormat {
  const found = isLocalStorage(image) && image.type !== 'dir' ? look(image.path!) : undefined
  if (found && !found.backing) return found.format
  throw failStorage(
    'VIR_ERR_OPERATION_INVALID',
    `format of backing image '${told.name}' of image '${above}' was not specified in the image metadata (See https://libvirt.org/kbase/backing_chains.html for troubleshooting)`
  )
}
