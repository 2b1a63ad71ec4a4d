// The upper node of an image: how its content is laid out (qemuBlockStorageSourceGetBlockdevFormatProps).
import { errorsFrom } from '../../../conf/error.ts'
import type { StorageFormat, StorageSource } from '../../../conf/storage/source.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { Props } from '../parts/props.ts'
import type { StorageIds } from './node-names.ts'

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
  return !qemu.has('blockjob.backing-mask-protocol') || source.format !== 'raw' || isRawLuks(source)
}

function rawProps(source: StorageSource, ids: StorageIds): Driver {
  if (!isRawLuks(source)) return { driver: 'raw' }
  if (source.encryption!.secrets.length === 0)
    throw fail('VIR_ERR_INTERNAL_ERROR', "missing secret info for 'luks' driver")
  return { driver: 'luks', 'key-secret': ids.encryptionSecret }
}

function qcowProps(source: StorageSource, ids: StorageIds): Driver {
  const { format, encryption, metadataCacheMaxSize } = source
  const decrypts = isDecrypted(source) && encryption!.secrets.length > 0
  return {
    driver: format!,
    encrypt: decrypts
      ? { format: encryption!.format === 'qcow' ? 'aes' : encryption!.format, 'key-secret': ids.encryptionSecret }
      : undefined,
    'cache-size': format === 'qcow2' ? metadataCacheMaxSize : undefined
  }
}

/** QEMU's names of formats it calls otherwise. */
const NAMES: { [F in StorageFormat]?: string } = { ploop: 'parallels', vhd: 'vhdx' }
/** Formats no driver of QEMU reads. */
const UNREADABLE: (StorageFormat | undefined)[] = ['cow', 'iso', 'dir', undefined]

/** Driver and options of the format node. @throws VIR_ERR_INTERNAL_ERROR for a format QEMU cannot read */
export function formatProps(source: StorageSource, ids: StorageIds): Driver {
  const { format } = source
  if (format === 'raw' || format === 'fat') return rawProps(source, ids)
  if (format === 'qcow2' || format === 'qcow') return qcowProps(source, ids)
  if (format === undefined || UNREADABLE.includes(format))
    throw fail('VIR_ERR_INTERNAL_ERROR', `mishandled storage format '${format ?? 'none'}'`)
  return { driver: NAMES[format] ?? format }
}
