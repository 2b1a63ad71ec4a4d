// SD cards, which QEMU takes as -drive only (qemuBuildDriveStr).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { diskIndex } from '../../../conf/devices/disk-name.ts'
import { isStorageEmpty, storagePath } from '../../../conf/storage-source.ts'
import { keyValue } from './command.ts'
import { storageIds } from './storage.ts'
import { isDecrypted } from './storage-format.ts'

/** The value of -drive for an SD card. */
export function sdDriveArg(disk: DiskDef): string {
  const { source, driver, readonly, target, alias } = disk
  const path = storagePath(source) ?? ''
  const isDirectory = source.type === 'dir'
  const decrypts = isDecrypted(source) && source.encryption!.secrets.length > 0
  const key = storageIds(source, alias).encryptionSecret
  const isRaw = source.format === 'raw'
  const { discard, detectZeroes, cache, copyOnRead, io } = isStorageEmpty(source) ? {} : driver
  return keyValue('', {
    file: isDirectory ? `fat:${disk.device === 'floppy' ? 'floppy:' : ''}${path}` : path,
    'key-secret': decrypts && isRaw ? key : undefined,
    'encrypt.format': decrypts && !isRaw ? 'luks' : undefined,
    'encrypt.key-secret': decrypts && !isRaw ? key : undefined,
    format: isDirectory ? undefined : decrypts && isRaw ? 'luks' : source.format,
    if: 'sd',
    index: diskIndex(target?.dev ?? ''),
    readonly: readonly,
    cache,
    'copy-on-read': copyOnRead,
    discard,
    'detect-zeroes': detectZeroes === 'unmap' && discard !== 'unmap' ? 'on' : detectZeroes,
    aio: io
  })
}
