// Bytes of a disk as its image on the host has them.
import { close, read } from 'node:fs'
import { constants } from 'node:os'
import { promisify } from 'node:util'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { systemError } from '../../../conf/errno.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isLocalStorage } from '../../../conf/storage/source.ts'
import { openPlainFile } from '../../../host/plain-file.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/**
 * Reads from a raw image (qemuDomainBlockPeek).
 * @param name how the user calls the disk
 * @param size bytes, which the caller has limited
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for other images, VIR_ERR_SYSTEM_ERROR, VIR_ERR_INVALID_ARG beyond its end
 */
export async function peekDisk({ source }: DiskDef, name: string, offset: bigint, size: number): Promise<Uint8Array> {
  const unsupported = (what: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', `peeking is ${what}`)
  if (source.type === 'vhostuser') throw unsupported('not supported for vhostuser disk')
  const format = source.encryption?.format === 'luks' ? 'luks' : (source.format ?? 'raw')
  if (format !== 'raw') throw unsupported(`only supported for disk with 'raw' format not '${format}'`)
  if (source.type === 'file' && source.fdgroup !== undefined) throw unsupported('not supported for FD passed images')
  if (!isLocalStorage(source)) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `storage file reading is not supported for storage type ${source.type}`)
  }
  const path = source.path ?? ''
  const fd = open(path)
  const buffer = Buffer.alloc(size)
  let length = 0
  try {
    // libvirt has it read as no header is
    if (size === 0) throw Object.assign(new Error('nothing to read'), { errno: -constants.errno.EINVAL })
    // no file is longer
    while (length < size && offset <= Number.MAX_SAFE_INTEGER) {
      const { bytesRead } = await promisify(read)(fd, buffer, length, size - length, Number(offset) + length)
      if (bytesRead === 0) break
      length += bytesRead
    }
  } catch (error) {
    throw systemError('VIR_FROM_STORAGE', `cannot read header '${path}'`, error)
  } finally {
    await promisify(close)(fd)
  }
  if (length === size) return buffer
  throw fail('VIR_ERR_INVALID_ARG', `'${name}' starting from ${offset} has only ${length} bytes available`)
}

function open(path: string): number {
  try {
    return openPlainFile(path)
  } catch (error) {
    throw systemError('VIR_FROM_STORAGE', `Failed to open file '${path}'`, error)
  }
}
