// The upper node of an image: how its content is laid out (qemuBlockStorageSourceGetBlockdevFormatProps).
import { errorsFrom } from '../../../conf/error.ts'
import type { StorageFormat, StorageSource } from '../../../conf/storage/source.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { Props } from '../parts/props.ts'
import type { StorageIds, StorageUse } from './node-names.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

type Driver = Props & { driver: string }

/** QEMU decrypts the image itself. */
export const isDecrypted = ({ encryption }: StorageSource): boolean => encryption?.engine !== 'librbd' && !!encryption

const isRawLuks = (source: StorageSource): boolean => isDecrypted(source) && source.encryption?.format === 'luks'

/** A part of the storage needs a node of its own (qemuBlockStorageSourceNeedsStorageSliceLayer). */
export const needsSliceNode = ({ slice }: StorageSource): boolean => slice !== undefined

/**
 * The content needs a node above that of its storage. Newer QEMU works on the storage of a raw image itself
 * (qemuBlockStorageSourceNeedsFormatLayer).
 */
export function needsFormatNode(source: StorageSource, qemu: Qemu): boolean {
  // of files, QEMU takes the one it may do as much with as it asks for: a disk that only reads asks above that one
  const isWritable = source.handed?.count === 1 && source.handed.writable
  return !qemu.has('blockjob.backing-mask-protocol') || source.format !== 'raw' || isRawLuks(source) || isWritable
}

/** Secrets that decrypt an image, the outermost layer's first; they are named for the node above its storage if it has one. */
export function encryptionSecrets(source: StorageSource, ids: StorageIds, qemu: Qemu): string[] {
  const node = needsFormatNode(source, qemu) ? ids.formatNode : ids.storageNode
  return (source.encryption?.secrets ?? []).map((_, layer) => encryptionSecret(node, layer))
}
export const encryptionSecret = (owner: string, layer = 0): string => `${owner}-encryption-secret${layer}`

function rawProps(source: StorageSource, { formatNode }: StorageIds): Driver {
  if (!isRawLuks(source)) return { driver: 'raw' }
  if (source.encryption!.secrets.length === 0)
    throw fail('VIR_ERR_INTERNAL_ERROR', "missing secret info for 'luks' driver")
  return { driver: 'luks', 'key-secret': encryptionSecret(formatNode) }
}

/** Encryption of qcow and qcow2, in the image itself. */
function decryption(source: StorageSource, { formatNode }: StorageIds): Props | undefined {
  const { encryption } = source
  if (!isDecrypted(source) || encryption!.secrets.length === 0) return undefined
  const format = encryption!.format === 'qcow' ? 'aes' : encryption!.format
  return { format, 'key-secret': encryptionSecret(formatNode) }
}

/** QEMU's names of formats it calls otherwise. */
const NAMES: { [F in StorageFormat]?: string } = { ploop: 'parallels', vhd: 'vhdx' }
/** Formats no driver of QEMU reads. */
const UNREADABLE: (StorageFormat | undefined)[] = ['cow', 'iso', 'dir', undefined]

/**
 * Driver and options of the format node.
 * @param dataNode of the image the data is in
 * @throws VIR_ERR_INTERNAL_ERROR for a format QEMU cannot read
 */
export function formatProps(
  source: StorageSource,
  ids: StorageIds,
  { discardNoUnref }: StorageUse,
  dataNode: string | undefined
): Driver {
  const { format, metadataCacheMaxSize } = source
  if (format === 'raw' || format === 'fat') return rawProps(source, ids)
  if (format === 'qcow') return { driver: format, encrypt: decryption(source, ids) }
  if (format === 'qcow2') {
    return {
      driver: format,
      encrypt: decryption(source, ids),
      'cache-size': metadataCacheMaxSize,
      'discard-no-unref': discardNoUnref,
      'data-file': dataNode
    }
  }
  if (format === undefined || UNREADABLE.includes(format))
    throw fail('VIR_ERR_INTERNAL_ERROR', `mishandled storage format '${format ?? 'none'}'`)
  return { driver: NAMES[format] ?? format }
}
