// The images of a guest about to start: those that must be there, and what they stand on as far as the user has not
// told it (qemuProcessPrepareHostStorage, qemuDomainDetermineDiskChain).
import { accessSync, constants } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { storageChain } from '../../../conf/storage/chain.ts'
import { isLocalStorage, isStorageEmpty, type StorageFormat, type StorageSource } from '../../../conf/storage/source.ts'
import { type Backing, backingOf, dataFileOf, probeFormat, readHeader } from './image-header.ts'
import { applyStartupPolicy } from './startup-policy.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failStorage = errorsFrom('VIR_FROM_STORAGE')

/** Layers an image can have; each is a level of nesting in the live XML. */
const MAX_DEPTH = 200

/**
 * Completes the chains of all disks and drops media their disks can start without.
 * @param dropped told of each disk that lost its image, with the path it had
 * @throws VIR_ERR_SYSTEM_ERROR for an image that is missing, VIR_ERR_OPERATION_INVALID for one of unknown format
 */
export function determineDiskChains(def: DomainDef, dropped: (disk: DiskDef, path: string | undefined) => void): void {
  let index = Math.max(0, ...def.devices.disks.flatMap(({ source }) => storageChain(source).map(one => one.index ?? 0)))
  for (const disk of [...def.devices.disks].reverse()) {
    const { source } = disk
    if (isStorageEmpty(source) || source.type === 'vhostuser') continue
    try {
      determineChain(source)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      const path = isLocalStorage(source) ? source.path : undefined
      applyStartupPolicy(def, disk, error)
      dropped(disk, path)
      continue
    }
    const chain = storageChain(source)
    if (chain.length > MAX_DEPTH) {
      throw fail(
        'VIR_ERR_OPERATION_UNSUPPORTED',
        `backing chains more than ${MAX_DEPTH} layers deep are not supported for disk '${disk.target?.dev}'`
      )
    }
    for (const image of chain) image.index ??= ++index
  }
}

function determineChain(top: StorageSource): void {
  const chain = storageChain(top)
  for (const image of chain) checkAccess(image, top)
  // those below the last are looked at as they are found
  for (const { format, ...image } of chain.slice(0, -1)) {
    if (format === 'qcow2' && isLocalStorage(image) && image.path !== undefined) refuseDataFile(image.path)
  }
  const last = chain.at(-1)
  if (last && !last.backingStore) detectBacking(last, new Set())
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

/** Reads what an image stands on out of the image, and so on down. */
function detectBacking(image: StorageSource, seen: Set<string>): void {
  if (!isLocalStorage(image) || image.type === 'dir' || image.path === undefined) {
    if (isLocalStorage(image)) image.backingStore = { type: 'none' }
    return
  }
  if (seen.has(image.path) || seen.size > MAX_DEPTH) {
    throw failStorage(
      'VIR_ERR_INTERNAL_ERROR',
      `backing store for ${image.path} is self-referential or too deeply nested`
    )
  }
  seen.add(image.path)
  const { backing: told } = look(image.path, image.format ?? 'raw')
  if (!told) {
    image.backingStore = { type: 'none' }
    return
  }
  // Differs from libvirt: what lies below a URI or a JSON description is left to QEMU
  if (/^[a-z0-9+]+:/i.test(told.name)) return
  const path = isAbsolute(told.name) ? told.name : resolve(dirname(image.path), told.name)
  const below: StorageSource = { type: 'file', path, detected: true, ...(told.format && { format: told.format }) }
  checkAccess(below, image)
  if (!told.format) below.format = safelyProbed(path, told, image.path)
  image.backingStore = below
  detectBacking(below, seen)
}

/**
 * An image's format, the given one or else that of its signature, and the image below it.
 * @throws VIR_ERR_INTERNAL_ERROR for what cannot be read or contradicts itself
 */
function look(path: string, given?: StorageFormat): { format: StorageFormat; backing: Backing | undefined } {
  let found: { format: StorageFormat; backing: Backing | undefined; dataFile: string | undefined }
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
  if (found.format === 'qcow2') refuseDataFile(path, found.dataFile)
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

/** What cannot be read here cannot by QEMU, which will say so. */
function dataFileIn(path: string): string | undefined {
  try {
    return dataFileOf(readHeader(path))
  } catch {
    return undefined
  }
}

/** A format only guessed is taken if it leads no further: a guest that can write an image must not choose files. */
function safelyProbed(path: string, told: Backing, above: string): StorageFormat {
  const { format, backing } = look(path)
  if (backing) {
    throw failStorage(
      'VIR_ERR_OPERATION_INVALID',
      `format of backing image '${told.name}' of image '${above}' was not specified in the image metadata (See https://libvirt.org/kbase/backing_chains.html for troubleshooting)`
    )
  }
  return format
}
