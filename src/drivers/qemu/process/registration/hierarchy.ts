// The control group hierarchies of this host, as this process sees them: v1's, one for each controller or few, and v2's.
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Controllers of v1 that libvirt uses, and pids. */
const V1_CONTROLLERS = ['cpu', 'cpuacct', 'cpuset', 'memory', 'blkio', 'freezer', 'devices', 'pids']

export interface Hierarchy {
  version: 1 | 2
  /** the mount point, and the group of the hierarchy that is shown there */
  mount: string
  root: string
  /** this process' own group in it, an absolute path */
  own: string
  /** v1: controllers mounted there; v2: those the top group may hand down */
  controllers: string[]
}

interface Mount extends Pick<Hierarchy, 'mount' | 'root'> {
  type: string
  options: string[]
}

/** The lines of /proc/self/mountinfo that speak of control groups. */
function cgroupMounts(mountInfo: string): Mount[] {
  return mountInfo.split('\n').flatMap(line => {
    const [before = '', after = ''] = line.split(' - ')
    const [, , , root, mount] = before.split(' ')
    const [type, , options = ''] = after.split(' ')
    if ((type !== 'cgroup' && type !== 'cgroup2') || root === undefined || mount === undefined) return []
    return [{ root, mount: withBlanks(mount), type, options: options.split(',') }]
  })
}

/** Blanks and the like are octal there. */
const withBlanks = (path: string) =>
  path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** This process' group by hierarchy: controllers of v1, and '' for v2 (cgroups(7)). */
export function groupsIn(procCgroup: string): Map<string, string> {
  const groups = new Map<string, string>()
  for (const line of procCgroup.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    for (const controller of controllers.split(',')) groups.set(controller, path)
  }
  return groups
}

/**
 * A group as a directory; undefined where it lies outside of what is mounted.
 * @param path as /proc/PID/cgroup has it
 */
function directoryOf({ root, mount }: Pick<Hierarchy, 'mount' | 'root'>, path: string | undefined): string | undefined {
  // mounted outside of our cgroup namespace: our own place in it cannot be told
  if (path === undefined || path.startsWith('/..') || root.startsWith('/..')) return undefined
  if (root === '/') return join(mount, path)
  return path === root || path.startsWith(`${root}/`) ? join(mount, path.slice(root.length)) : undefined
}

const readOwn = (name: string) => readFileSync(`/proc/self/${name}`, 'utf8')

/** The hierarchies a guest gets a group in: those of v1, or v2's where no controller is left to v1. */
export function hierarchies(mountInfo = readOwn('mountinfo'), procCgroup = readOwn('cgroup')): Hierarchy[] {
  const mounts = cgroupMounts(mountInfo)
  const groups = groupsIn(procCgroup)
  const v1 = mounts.flatMap((one): Hierarchy[] => {
    const controllers = one.type === 'cgroup' ? one.options.filter(option => V1_CONTROLLERS.includes(option)) : []
    const own = directoryOf(one, groups.get(controllers[0] ?? 'none'))
    return own === undefined ? [] : [{ version: 1, mount: one.mount, root: one.root, own, controllers }]
  })
  const unique = v1.filter((one, i) => v1.findIndex(({ own }) => own === one.own) === i)
  if (unique.length > 0) return unique
  return mounts.flatMap((one): Hierarchy[] => {
    const own = one.type === 'cgroup2' ? directoryOf(one, groups.get('')) : undefined
    if (own === undefined) return []
    return [{ version: 2, mount: one.mount, root: one.root, own, controllers: readControllers(one.mount) }]
  })
}

/** Controllers of v2's top group. */
function readControllers(mount: string): string[] {
  try {
    return readFileSync(join(mount, 'cgroup.controllers'), 'utf8').trim().split(' ').filter(Boolean)
  } catch {
    return []
  }
}

/** The group new ones may be made below: the top one, or our own where that is not ours to change. */
export const parentIn = ({ mount, own }: Hierarchy): string | undefined =>
  [mount, own].find(path => existsSync(join(path, 'cgroup.procs')) && isWritable(path))

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** The directories of a process' groups in those hierarchies. */
export function groupsOf(pid: number, all = hierarchies()): string[] {
  const groups = groupsIn(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))
  return all.flatMap(hierarchy => {
    const name = hierarchy.version === 1 ? (hierarchy.controllers[0] ?? '') : ''
    return directoryOf(hierarchy, groups.get(name)) ?? []
  })
}
