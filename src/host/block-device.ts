// Block devices of the host.
import { readFileSync, realpathSync } from 'node:fs'
import { basename } from 'node:path'
import { systemError } from '../conf/errno.ts'

/** The kernel counts in sectors, whatever the device does. */
const SECTOR = 512n

/** Its size now, in bytes. @throws VIR_ERR_SYSTEM_ERROR for what is no block device */
export function blockDeviceBytes(path: string): bigint {
  try {
    return BigInt(readFileSync(`/sys/class/block/${basename(realpathSync(path))}/size`, 'utf8').trim()) * SECTOR
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', `failed to get the size of '${path}'`, error)
  }
}
