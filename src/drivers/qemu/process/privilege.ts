// Least privilege for QEMU: its user and groups, capabilities, limits. Done by util-linux's setpriv and prlimit between
// us and QEMU, as Node has none of the system calls.
import { accessSync, constants, readFileSync } from 'node:fs'
import { parseBitmap } from '../../../conf/bitmap.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { userName } from '../../../host/ids.ts'
import { ownerIds, type ProcessOwner } from '../../../host/owner.ts'
import { TASKSET } from '../../../host/thread.ts'
import { hostCpus } from '../../../host/topology.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failNone = errorsFrom('VIR_FROM_NONE')

const SETPRIV = '/usr/bin/setpriv'
export const PRLIMIT = '/usr/bin/prlimit'

/** Number of a capability in the kernel's masks. */
const CAP_SETPCAP = 8

export interface Privileges {
  owner: ProcessOwner
  /** words before QEMU's that confine it */
  confining?: readonly string[]
  /** QEMU dies with this process */
  dieWithUs: boolean
  /** bytes of memory QEMU may lock, if the usual ones are not enough */
  memoryLock?: number | 'unlimited' | undefined
  /** host CPUs it is started on, as a list; absent: ours */
  cpus?: string | undefined
}

/**
 * The command that runs `argv` with no more than it needs: no new privileges ever, and no capabilities. A QEMU of root
 * without --user keeps one, to read and write files of any owner, as images are not given to it.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED where an option needs setpriv, prlimit or taskset and the host has none,
 *   VIR_ERR_SYSTEM_ERROR where it has none of the CPUs
 */
export function withLeastPrivilege(argv: string[], privileges: Privileges): string[] {
  const { owner, dieWithUs, memoryLock, cpus, confining = [] } = privileges
  const limit = [...memoryLockArgs(memoryLock), ...affinityArgs(cpus)]
  const ids = ownerIds(owner)
  if (!isExecutable(SETPRIV)) {
    if (ids || dieWithUs) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `running QEMU as another user needs ${SETPRIV}`)
    return [...limit, ...argv]
  }
  return [
    ...limit,
    ...confining,
    SETPRIV,
    '--no-new-privs',
    ...(dieWithUs ? ['--pdeathsig', 'KILL'] : []),
    ...(ids ? userArgs(ids.uid, ids.gid, owner.groups) : []),
    ...(hasCapability(CAP_SETPCAP) ? capabilityArgs(ids === undefined) : []),
    '--',
    ...argv
  ]
}

/** User, group and supplementary groups of QEMU: with all the user is in, it may open /dev/kvm where the user may. */
const userArgs = (uid: number, gid: number, groups: readonly number[] = []) => [
  `--reuid=${uid}`,
  `--regid=${gid}`,
  userName(uid) !== undefined ? '--init-groups' : groups.length > 0 ? `--groups=${groups}` : '--clear-groups'
]

const capabilityArgs = (isOurs: boolean) => [
  '--inh-caps=-all',
  `--bounding-set=-all${isOurs && process.getuid?.() === 0 ? ',+dac_override' : ''}`
]

/** Arguments that raise the limit of locked memory; none where QEMU may lock as much anyway. */
function memoryLockArgs(limit: number | 'unlimited' | undefined): string[] {
  if (limit === undefined || maxMemoryLock() >= (limit === 'unlimited' ? Number.POSITIVE_INFINITY : limit)) return []
  if (!isExecutable(PRLIMIT)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `locking the guest's memory needs ${PRLIMIT}`)
  return [PRLIMIT, `--memlock=${limit}:${limit}`]
}

/** Arguments that bind a program and all it makes to host CPUs (qemuProcessInitCpuAffinity). */
function affinityArgs(cpus: string | undefined): string[] {
  if (cpus === undefined) return []
  if (!isExecutable(TASKSET)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `pinning the guest to CPUs needs ${TASKSET}`)
  const wanted = parseBitmap(cpus)
  if (!hostCpus().online.some(cpu => ((wanted >> BigInt(cpu)) & 1n) === 1n)) {
    throw failNone('VIR_ERR_SYSTEM_ERROR', 'cannot set CPU affinity on process 0: Invalid argument')
  }
  return [TASKSET, '-c', cpus]
}

/** Bytes we may lock, and so QEMU. */
function maxMemoryLock(): number {
  const [, soft] = /^Max locked memory\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft ?? 0)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** True if we have that capability ourselves; in a container root may lack it. */
function hasCapability(number: number): boolean {
  try {
    const [, mask] = /^CapEff:\s+([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(number)) & 1n) === 1n
  } catch {
    return false
  }
}
