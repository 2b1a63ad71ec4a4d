// SD cards, which QEMU takes as -drive only (qemuBuildDriveStr).
import type { DiskDef } from '../../../../conf/devices/disk.ts'
import { diskIndex } from '../../../../conf/devices/disk-name.ts'
import { isLocalStorage, isStorageEmpty } from '../../../../conf/storage/source.ts'
import { encryptionSecret, isDecrypted } from '../../block/format.ts'
import { idsAfter, type StorageIds } from '../../block/node-names.ts'
import { addStorageObjects } from '../../block/nodes.ts'
import { protocolProps } from '../../block/protocol.ts'
import type { Builder } from '../../parts/builder.ts'
import { keyValue, type Props, type PropValue } from '../../parts/props.ts'

/** Nested options in key=value form: `server.0.host`. */
function flatten(prefix: string, value: PropValue | undefined): Props {
  if (typeof value !== 'object' || value === null) return { [prefix]: value }
  return Object.assign({}, ...Object.entries(value).map(([key, inner]) => flatten(`${prefix}.${key}`, inner)))
}

/** Ids of the objects of a card's image: they are named for the card, which has no nodes. */
const sdIds = ({ source, alias }: DiskDef): StorageIds => idsAfter(source, alias!, alias!)

/** Adds the objects that the options of a card refer to (qemuDomainPrepareDiskSourceLegacy). */
export function addSdObjects(to: Builder, disk: DiskDef): void {
  addStorageObjects(to, disk.source, sdIds(disk))
}

/** Place of the image: a path, or the options of its server. */
function fileProps(to: Builder, disk: DiskDef): Props {
  const { source } = disk
  if (source.type === 'network') {
    const use = { readOnly: disk.readonly ?? false }
    return flatten('file', protocolProps(to, source, use, sdIds(disk)))
  }
  if (!isLocalStorage(source)) return {}
  const path = source.path ?? ''
  return { file: source.type === 'dir' ? `fat:${disk.device === 'floppy' ? 'floppy:' : ''}${path}` : path }
}

/** The value of -drive for an SD card. */
export function sdDriveArg(to: Builder, disk: DiskDef): string {
  const { source, driver, readonly, target, alias } = disk
  const isDirectory = source.type === 'dir'
  const decrypts = isDecrypted(source) && source.encryption!.secrets.length > 0
  const key = encryptionSecret(alias!)
  const isRaw = source.format === 'raw'
  const { discard, detectZeroes, cache, copyOnRead, io } = isStorageEmpty(source) ? {} : driver
  return keyValue('', {
    ...fileProps(to, disk),
    'key-secret': decrypts && isRaw ? key : undefined,
    'encrypt.format': decrypts && !isRaw ? 'luks' : undefined,
    'encrypt.key-secret': decrypts && !isRaw ? key : undefined,
    format: isDirectory ? undefined : decrypts && isRaw ? 'luks' : source.format,
    if: 'sd',
    index: diskIndex(target?.dev ?? ''),
    readonly,
    cache,
    'copy-on-read': copyOnRead,
    discard,
    'detect-zeroes': detectZeroes === 'unmap' && discard !== 'unmap' ? 'on' : detectZeroes,
    aio: io
  })
}
