// An image that QEMU makes: the options of its blockdev-create, of the storage and of the format, and the name by which
// an image tells of the one below (qemuBlockStorageSourceCreate).
import { errorsFrom } from '../../../conf/error.ts'
import { formatJson } from '../../../conf/json.ts'
import { isLocalStorage, type StorageFormat, type StorageSource } from '../../../conf/storage/source.ts'
import type { Builder } from '../parts/builder.ts'
import type { Props } from '../parts/props.ts'
import { encryptionSecrets, isDecrypted, needsSliceNode } from './format.ts'
import { type StorageIds, type StorageUse, storageIds } from './node-names.ts'
import { protocolProps } from './protocol.ts'
import { storageUri } from './uri.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)

type CreateProps = Props & { driver: string }

/** Measures of a new image; sizes in bytes. */
export interface NewImageSize {
  /** what the guest sees */
  capacity: bigint
  /** what storage on a server is made with; raw storage has `capacity` */
  physical: bigint
  /** of qcow2 */
  clusterSize?: bigint
  extendedL2?: boolean
}

const isRaw = (source: StorageSource) => source.format === 'raw' && !isDecrypted(source)

/** The members of a source that say where it lies, and no more: what another image may tell of it. */
function placeOnly(source: StorageSource): StorageSource {
  return { ...source, auth: undefined, reservations: undefined, encryption: undefined, tls: undefined } as StorageSource
}

/** Protocols whose places fit into a URI. */
const URI_PROTOCOLS: readonly string[] = ['nbd', 'http', 'https', 'ftp', 'ftps', 'tftp', 'iscsi', 'gluster']

/**
 * The name an image gives the one below: a path, a URI, or QEMU's options as `json:` (qemuBlockGetBackingStoreString).
 * @throws VIR_ERR_INTERNAL_ERROR for what QEMU cannot open
 */
export function backingName(to: Builder, source: StorageSource): string {
  if (!needsSliceNode(source)) {
    if (isLocalStorage(source)) {
      const path = source.path ?? ''
      return source.type === 'dir' && source.format === 'fat' ? `fat:${path}` : path
    }
    if (source.type === 'network' && isSimple(source)) return storageUri(source)
  }
  const { driver, ...props } = protocolProps(to, placeOnly(source), { readOnly: true }, storageIds(source))
  const file = { driver, ...props }
  const shown = source.slice ? { driver: 'raw', ...source.slice, file } : file
  return `json:${formatJson({ file: shown })}`
}

function isSimple(source: StorageSource & { type: 'network' }): boolean {
  const { hosts, protocol, timeout, cookies, sslVerify, readahead, reconnectDelay } = source
  const hasMore = [timeout, cookies, sslVerify, readahead, reconnectDelay].some(one => one !== undefined)
  return hosts.length === 1 && hosts[0]?.transport === 'tcp' && !hasMore && URI_PROTOCOLS.includes(protocol)
}

/** Servers on which QEMU can make an image. */
const MADE_ON: readonly string[] = ['gluster', 'rbd', 'ssh', 'nfs']

/**
 * blockdev-create of an image's storage; undefined where there is nothing to make. A local file is there already, empty
 * and QEMU's own; only a raw one must have its size (qemuBlockStorageSourceCreateStorage).
 */
export function createStorage(
  to: Builder,
  source: StorageSource,
  { capacity, physical }: NewImageSize
): CreateProps | undefined {
  const size = isRaw(source) ? capacity : physical
  if (source.type === 'file') {
    return source.format === 'raw' ? { driver: 'file', filename: source.path, size } : undefined
  }
  if (source.type !== 'network' || !MADE_ON.includes(source.protocol)) return undefined
  const { driver, ...location } = protocolProps(to, source, CREATED, storageIds(source))
  return { driver, location, size }
}

const CREATED: StorageUse = { readOnly: false }

/** LUKS with its secret and cipher (qemuBlockStorageSourceCreateGetEncryptionLUKS). */
function luksProps(to: Builder, source: StorageSource, ids: StorageIds): Props {
  const { cipher, ivgen } = source.encryption ?? {}
  const [key] = encryptionSecrets(source, ids, to.qemu)
  return {
    'key-secret': key,
    'cipher-alg': cipher && `${cipher.name}-${cipher.size}`,
    'cipher-mode': cipher?.mode,
    'hash-alg': cipher?.hash,
    'ivgen-alg': ivgen?.name,
    'ivgen-hash-alg': ivgen?.hash
  }
}

function encryptProps(to: Builder, source: StorageSource, ids: StorageIds): Props | undefined {
  if (!source.encryption) return undefined
  if (source.encryption.format !== 'luks') {
    throw unsupported("creation of qcow/qcow2 files supports only 'luks' encryption")
  }
  return { ...luksProps(to, source, ids), format: 'luks' }
}

/** Formats that can be made, by QEMU's name; those that can stand on another image tell of it, some with its format. */
const MADE: { [F in StorageFormat]?: { driver: string; backing?: 'name' | 'format'; encrypts?: true } } = {
  qcow2: { driver: 'qcow2', backing: 'format', encrypts: true },
  qcow: { driver: 'qcow', backing: 'name', encrypts: true },
  qed: { driver: 'qed', backing: 'format' },
  vpc: { driver: 'vpc' },
  ploop: { driver: 'parallels' },
  vdi: { driver: 'vdi' },
  vhd: { driver: 'vhdx' },
  vmdk: { driver: 'vmdk', backing: 'name' }
}

/**
 * blockdev-create of an image's format upon its storage; undefined for a raw one (qemuBlockStorageSourceCreateFormat).
 * @param backing the image it is to name as the one below
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for formats QEMU cannot make
 */
export function createFormat(
  to: Builder,
  source: StorageSource,
  { capacity, clusterSize, extendedL2 }: NewImageSize,
  backing?: StorageSource
): CreateProps | undefined {
  const ids = storageIds(source)
  const file = ids.storageNode
  if (isRaw(source)) return undefined
  if (source.dataStore) {
    throw unsupported('creation of storage images with <dataStore> feature is not supported')
  }
  if (source.format === 'raw') return { driver: 'luks', file, size: capacity, ...luksProps(to, source, ids) }
  const made = source.format && MADE[source.format]
  if (!made) throw unsupported(`can't create storage format '${source.format ?? 'none'}'`)
  const below = backing && backing.type !== 'none' && made.backing ? backing : undefined
  const belowFormat = below && isDecrypted(below) && below.format === 'raw' ? 'luks' : below?.format
  return {
    driver: made.driver,
    file,
    size: capacity,
    ...(source.format === 'qcow2' && { 'cluster-size': clusterSize, 'extended-l2': extendedL2 || undefined }),
    'backing-file': below && backingName(to, below),
    'backing-fmt': made.backing === 'format' ? belowFormat : undefined,
    encrypt: made.encrypts ? encryptProps(to, source, ids) : undefined
  }
}

/** @throws VIR_ERR_OPERATION_UNSUPPORTED for a part of a file */
export function checkCreatable(source: StorageSource): void {
  if (source.slice) throw unsupported("creation of images with slice type='storage' is not supported")
}
