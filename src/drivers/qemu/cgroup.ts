// A guest's own control group, v1 and v2: made before QEMU's CPUs run, removed when it is gone.
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom } from '../../conf/error.ts'
import type { ProcessIdentity } from '../../state/status.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** v1 controllers a guest gets a group in; cpuset is made when pinning asks for it. */
const V1_CONTROLLERS = ['cpu,cpuacct', 'memory', 'blkio', 'freezer', 'devices', 'pids']
const BASE = '/sys/fs/cgroup'

/** `<resource register=…>` decides; without it the best the host has: an own group if we can make one. */
export type Register = 'none' | 'cgroup' | 'direct' | 'machined' | 'systemd' | undefined

/**
 * The directories of a guest's own groups, by its QEMU's pid; saved before they are made, so that none is forgotten.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED when a kind of registration was asked for that cannot be had
 */
export function cgroupPaths(name: string, process: ProcessIdentity, register: Register): string[] {
  if (register === 'none') return []
  if (register === 'machined' || register === 'systemd') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `resource registration '${register}' is not available`)
  }
  const leaf = `qemu-${process.pid}-${name.replace(/[^\w.-]/g, '_').slice(0, 40)}.virshim`
  const paths = parents().map(parent => join(parent, 'machine', leaf))
  if (paths.length === 0 && register !== undefined) {
    throw fail(
      'VIR_ERR_CONFIG_UNSUPPORTED',
      `no cgroup hierarchy can be written for resource registration '${register}'`
    )
  }
  return paths
}

/** Makes the groups and moves the process in. What was not asked for and cannot be made is left out. */
export function enterCgroups(paths: string[], process: ProcessIdentity, register: Register): string[] {
  return paths.filter(path => {
    try {
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, 'cgroup.procs'), `${process.pid}`)
      return true
    } catch (error) {
      isBusy(path)
      if (register === undefined) return false
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `cannot use cgroup '${path}': ${(error as Error).message}`, error)
    }
  })
}

/** Hierarchies we may make groups in: v2 when its controllers are there, else v1's. */
function parents(): string[] {
  const writable = (path: string) => {
    try {
      accessSync(path, constants.W_OK)
      return true
    } catch {
      return false
    }
  }
  const unified = join(BASE, 'cgroup.controllers')
  if (existsSync(unified)) return readFileSync(unified, 'utf8').trim() !== '' && writable(BASE) ? [BASE] : []
  return V1_CONTROLLERS.map(name => join(BASE, name)).filter(
    path => existsSync(join(path, 'cgroup.procs')) && writable(path)
  )
}

/** A dead process leaves its group when its parent has taken note of it; this long that may last. */
const REMOVE_TIMEOUT_MS = 2000

/** Removes the groups of a guest that is gone; gives those that stay busy. */
export async function leaveCgroups(groups: string[]): Promise<string[]> {
  const deadline = Date.now() + REMOVE_TIMEOUT_MS
  let left = groups.filter(isBusy)
  while (left.length > 0 && Date.now() < deadline) {
    await sleep(10)
    left = left.filter(isBusy)
  }
  return left
}

/** Tries to remove one group. */
function isBusy(group: string): boolean {
  try {
    rmdirSync(group)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}
