// Permissions of a daemon's sockets, as libvirtd's unix_sock_group and unix_sock_rw_perms give them.
import { chmodSync, chownSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import { userDirectories } from '../state/root.ts'

const fail = errorsFrom('VIR_FROM_RPC')

export interface SocketAccess {
  /** permission bits of the socket */
  mode: number
  /** its group; absent: the owner's own */
  gid?: number
}

export const OWNER_ONLY: SocketAccess = { mode: 0o600 }
/** of --socket-group */
export const GROUP_MODE = 0o660
/** As libvirtd's read-only socket. */
export const READ_ONLY_FOR_ALL: SocketAccess = { mode: 0o666 }

const OTHERS = 0o007
const GROUP = 0o070
const ALL_PASS = 0o011
const GROUP_PASSES = 0o010

/** Gives a socket its group and mode. @throws VIR_ERR_SYSTEM_ERROR */
export function applyAccess(path: string, { mode, gid }: SocketAccess): void {
  withReason(path, () => {
    if (gid !== undefined) chownSync(path, -1, gid)
    chmodSync(path, mode)
  })
}

/**
 * Lets those who may use sockets through to them: the directory can be passed, not listed. So can those of the system's
 * that it lies in, which all guests share.
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export function letPass(dir: string, accesses: readonly SocketAccess[]): void {
  const { run } = userDirectories()
  for (let above = dir; above === dir || above.startsWith(`${run}/`) || above === run; above = dirname(above)) {
    for (const { mode, gid } of accesses) {
      // the group of a directory that others pass need not be known
      if ((mode & OTHERS) !== 0) open(above, ALL_PASS)
      else if ((mode & GROUP) !== 0) open(above, above === dir ? GROUP_PASSES : ALL_PASS, gid)
    }
  }
}

function open(dir: string, bits: number, gid?: number): void {
  withReason(dir, () => {
    if (gid !== undefined && bits === GROUP_PASSES) chownSync(dir, -1, gid)
    chmodSync(dir, (statSync(dir).mode & 0o7777) | bits)
  })
}

function withReason(path: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot open '${path}' to others: ${(error as Error).message}`, error)
  }
}
