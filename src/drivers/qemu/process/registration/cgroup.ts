// A guest's own control groups, made directly: while its QEMU initialises, removed when it is gone.
import { constants, readFileSync } from 'node:fs'
import { access, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorsFrom } from '../../../../conf/error.ts'
import { type Hierarchy, hierarchies, parentIn } from './hierarchy.ts'
import { DEFAULT_PARTITION, escapeGroup, partitionGroups } from './partition.ts'

const fail = errorsFrom('VIR_FROM_CGROUP')

/** Time a dead process may stay in its group: it leaves when its parent has taken note of its end. */
const REMOVE_TIMEOUT_MS = 2000
const NAME_MAX = 40
/** Controllers a new group of v2 gets from its parent, where that has them. */
const V2_CONTROLLERS = ['cpu', 'cpuset', 'io', 'memory', 'pids', 'hugetlb']

/** The last part of the groups' names: no two guests of a host have the same. */
export const groupName = (guest: string, pid: number): string =>
  escapeGroup(`qemu-${pid}-${guest.replace(/[^\w.-]/g, '_').slice(0, NAME_MAX)}.virshim`)

/** The directories of a guest's groups, in every hierarchy where we may make some. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function groupPaths(name: string, partition: string, all: Hierarchy[] = hierarchies()): string[] {
  const groups = partitionGroups(partition)
  return all.flatMap(hierarchy => {
    const parent = parentIn(hierarchy)
    return parent === undefined ? [] : [join(parent, ...groups, name)]
  })
}

/** Errors of hierarchies that are not ours to use: a guest does without unless its groups were asked for. */
const LACKING = ['EACCES', 'EPERM', 'EROFS', 'ENXIO']

/**
 * Makes the groups and moves the processes in.
 * @param partition the one the paths lie in; only the default one is made
 * @param wanted the user has asked for groups
 * @param controllers the guest cannot do without those of v2: see makeRoom()
 * @returns the groups there are now
 * @throws VIR_ERR_SYSTEM_ERROR if one cannot be used; where none was `wanted`, only for other reasons than a lack of rights
 */
export async function enterGroups(
  paths: string[],
  pids: number[],
  { partition, wanted, controllers = false }: { partition: string; wanted: boolean; controllers?: boolean }
): Promise<string[]> {
  const makeParents = partition === DEFAULT_PARTITION
  const entered = await Promise.all(
    paths.map(async path => {
      try {
        await makeGroup(path, partitionGroups(partition).length, { makeParents, controllers })
        for (const pid of pids) await enter(path, pid)
        return path
      } catch (error) {
        await removeGroup(path)
        const { code = '', message } = error as NodeJS.ErrnoException
        if (!wanted && LACKING.includes(code)) return undefined
        throw fail('VIR_ERR_SYSTEM_ERROR', `Failed to create cgroup '${path}': ${message}`, error)
      }
    })
  )
  return entered.filter(path => path !== undefined)
}

async function enter(group: string, pid: number): Promise<void> {
  try {
    await writeFile(join(group, 'cgroup.procs'), `${pid}`)
  } catch (error) {
    // ESRCH: the process has ended meanwhile, which its start or stop deals with
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

interface Making {
  /** make those above it too, if they are not there */
  makeParents: boolean
  controllers: boolean
}

/** Readies a group and those above it, as many as the partition has parts. */
async function makeGroup(path: string, parents: number, how: Making, make = true): Promise<void> {
  const parent = dirname(path)
  if (parents > 0) await makeGroup(parent, parents - 1, how, how.makeParents)
  await handDownControllers(parent, how.controllers)
  try {
    if (make) await mkdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  await inheritCpuset(parent, path)
}

/** v1: copies a group's CPUs and nodes from above: no process can enter one without any (virCgroupV1CpuSetInherit). */
export async function inheritCpuset(parent: string, path: string): Promise<void> {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) await inherit(parent, path, file)
}

async function inherit(parent: string, path: string, file: string): Promise<void> {
  const mine = await readIfThere(join(path, file))
  // v2 has the same files, but an empty one there means the parent's
  if (mine === undefined || mine !== '' || (await readIfThere(join(path, 'cgroup.controllers'))) !== undefined) return
  const above = await readIfThere(join(parent, file))
  if (above) await writeFile(join(path, file), above)
}

/**
 * v2: lets groups below have the controllers. The kernel refuses it for a group with processes: those below go without,
 * unless room is to be made.
 */
async function handDownControllers(group: string, mayMakeRoom: boolean): Promise<void> {
  const there = ((await readIfThere(join(group, 'cgroup.controllers'))) ?? '').split(' ')
  const handDown = (controller: string) => writeFile(join(group, 'cgroup.subtree_control'), `+${controller}`)
  for (const controller of V2_CONTROLLERS.filter(name => there.includes(name))) {
    try {
      await handDown(controller)
    } catch (error) {
      if (!mayMakeRoom || (error as NodeJS.ErrnoException).code !== 'EBUSY' || !(await makeRoom(group))) continue
      await handDown(controller).catch(() => undefined)
    }
  }
}

/** The group beside the guests' that takes a group's own processes. */
const BESIDE = 'processes.virshim'

/**
 * v2: moves the processes of a group that is ours alone, as a container's or a delegated one, into one below it. They
 * stay there: other guests may have come to need it. Not where there are processes that did not come from us, unless it
 * is the top of a cgroup namespace, where all are of our container.
 * @returns false where they are not ours to move
 */
async function makeRoom(group: string): Promise<boolean> {
  const pids = ((await readIfThere(join(group, 'cgroup.procs'))) ?? '').split('\n').filter(Boolean).map(Number)
  const isTop = hierarchies().some(({ version, mount }) => version === 2 && mount === group)
  if (!isTop && !pids.every(isOurs)) return false
  const beside = join(group, BESIDE)
  try {
    await mkdir(beside).catch(error => {
      if (error.code !== 'EEXIST') throw error
    })
    for (const pid of pids) await enter(beside, pid)
    return true
  } catch {
    return false
  }
}

/** True for this process and those it has made, or they. */
function isOurs(pid: number): boolean {
  for (let at = pid; at > 0; at = parentOf(at)) if (at === process.pid) return true
  return false
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    await access(file, constants.R_OK)
    return (await readFile(file, 'utf8')).trim()
  } catch {
    return undefined
  }
}

/** Removes the groups of a guest that is gone; gives those that stay busy. */
export async function leaveGroups(groups: string[]): Promise<string[]> {
  const deadline = Date.now() + REMOVE_TIMEOUT_MS
  for (let left = groups; ; await sleep(10)) {
    const gone = await Promise.all(left.map(removeGroup))
    left = left.filter((_, i) => !gone[i])
    if (left.length === 0 || Date.now() >= deadline) return left
  }
}

/** Removes a group and those of the guest's threads in it; true when it is not there any more. */
async function removeGroup(group: string): Promise<boolean> {
  try {
    for (const entry of await readdir(group, { withFileTypes: true })) {
      if (entry.isDirectory()) await removeGroup(join(group, entry.name))
    }
    await rmdir(group)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
