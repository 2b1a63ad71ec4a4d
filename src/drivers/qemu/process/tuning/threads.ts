// Groups of a guest's threads inside of its own, as libvirt has them: emulator, vcpuN and iothreadN. They are made when
// something is to be set for a thread, all at once: a guest of which nothing is asked has none.
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemError } from '../../../../conf/errno.ts'
import { type Controller, type Group, groupAt, readGroupFile, writeGroupFile } from '../../../../host/cgroup.ts'
import type { QemuDomain } from '../../domain/domain.ts'
import { queryIothreads } from '../iothreads.ts'
import { inheritCpuset } from '../registration/cgroup.ts'

/** Threads of one kind; those of the emulator are all that are of no other. */
export type ThreadKind = 'emulator' | 'vcpu' | 'iothread'

export interface GuestThread {
  kind: ThreadKind
  /** number of the vCPU or IOThread; 0 for the emulator */
  id: number
  /** the kernel's number; for the emulator QEMU's own, its first thread */
  tid: number
}

/** Controllers that are divided among threads. */
const DIVIDED: Controller[] = ['cpu', 'cpuset', 'cpuacct']
/** Of v2's those that a group of threads can have. */
const THREADED = ['cpu', 'cpuset'] as const

const groupName = (kind: ThreadKind, id: number) => (kind === 'emulator' ? kind : `${kind}${id}`)

/** Those of a guest's groups that hold groups of threads. */
function divided({ running }: QemuDomain): Group[] {
  return running.cgroups.flatMap(path => {
    const found = DIVIDED.map(controller => groupAt(path, controller)).find(group => group !== undefined)
    if (!found) return []
    // CPU times alone are no reason to divide one of v2
    return found.version === 2 && !THREADED.some(controller => groupAt(path, controller)) ? [] : [found]
  })
}

/** A thread's group that has a controller; undefined where there is none, or none yet. */
export function threadGroup(
  { running }: QemuDomain,
  { kind, id }: Pick<GuestThread, 'kind' | 'id'>,
  controller: Controller
): Group | undefined {
  for (const path of running.cgroups) {
    const group = groupAt(join(path, groupName(kind, id)), controller)
    if (group) return group
  }
  return undefined
}

/** IOThreads that QEMU has, by their numbers; others are the user's own. */
export async function iothreadsOf(domain: QemuDomain): Promise<GuestThread[]> {
  if (domain.def.iothreads.length === 0) return []
  const threads = await queryIothreads(domain.qmp)
  return [...threads].map(([id, tid]) => ({ kind: 'iothread', id, tid }))
}

export const vcpusOf = ({ running }: QemuDomain): GuestThread[] =>
  [...running.vcpuThreads].map(([id, tid]) => ({ kind: 'vcpu', id, tid }))

export const emulatorOf = ({ running }: QemuDomain): GuestThread => ({
  kind: 'emulator',
  id: 0,
  tid: running.process!.pid
})

/** All threads of QEMU that are no vCPU's and no IOThread's: its first, and workers that come and go. */
export async function emulatorThreads(domain: QemuDomain): Promise<number[]> {
  const others = new Set([...vcpusOf(domain), ...(await iothreadsOf(domain))].map(({ tid }) => tid))
  const { pid } = domain.running.process!
  try {
    const all = readdirSync(`/proc/${pid}/task`).map(Number)
    return all.filter(tid => tid === pid || !others.has(tid))
  } catch (error) {
    throw systemError('VIR_FROM_QEMU', 'Unable to read the threads of QEMU', error)
  }
}

/**
 * Makes the groups of all threads, where they are not there, and moves each thread into its own. What a process of ours
 * that was killed has begun is completed.
 * @throws VIR_ERR_SYSTEM_ERROR; what was made where nothing was is removed then
 */
export async function divideThreads(domain: QemuDomain): Promise<void> {
  const groups = divided(domain)
  if (groups.length === 0) return
  // the emulator first: all of QEMU moves with it
  const threads = [emulatorOf(domain), ...vcpusOf(domain), ...(await iothreadsOf(domain))]
  for (const group of groups) {
    const isNew = !isDivided(group)
    let all = false
    try {
      for (const thread of threads) {
        if (!all && (await hasThreads(group, thread))) continue
        await enterGroup(group, thread)
        all ||= thread.kind === 'emulator'
      }
    } catch (error) {
      if (isNew) await undivide(group, threads)
      throw error
    }
  }
}

/** True once groups of threads are being made. */
const isDivided = (group: Group) => existsSync(join(group.path, 'emulator'))

const threadsFile = ({ version }: Group) => (version === 1 ? 'tasks' : 'cgroup.threads')

/** A thread's group is there and has been entered. */
async function hasThreads(group: Group, { kind, id }: GuestThread): Promise<boolean> {
  try {
    return (await readGroupFile(join(group.path, groupName(kind, id), threadsFile(group)))) !== ''
  } catch {
    return false
  }
}

/** Makes the group of a thread that is new, where its siblings have theirs, and moves it in (virCgroupNewThread). */
export async function divideThread(domain: QemuDomain, thread: GuestThread): Promise<void> {
  for (const group of divided(domain)) if (isDivided(group)) await enterGroup(group, thread)
}

/** Removes the group of a thread that has ended. */
export async function removeThreadGroup({ running }: QemuDomain, kind: ThreadKind, id: number): Promise<void> {
  for (const path of running.cgroups) await rmdir(join(path, groupName(kind, id))).catch(() => undefined)
}

async function enterGroup(group: Group, { kind, id, tid }: GuestThread): Promise<void> {
  const path = join(group.path, groupName(kind, id))
  await makeThreadGroup(group, path)
  const file = kind === 'emulator' ? 'cgroup.procs' : threadsFile(group)
  await writeGroupFile(join(path, file), String(tid))
}

async function makeThreadGroup({ version }: Group, path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw systemError('VIR_FROM_CGROUP', `Failed to create cgroup '${path}'`, error)
  }
  const parent = dirname(path)
  if (version === 1) return inheritCpuset(parent, path)
  // only threads may be in a group below one that has processes
  await writeGroupFile(join(path, 'cgroup.type'), 'threaded')
  for (const controller of THREADED) {
    if (groupAt(parent, controller)) await writeGroupFile(join(parent, 'cgroup.subtree_control'), `+${controller}`)
  }
}

/** Moves QEMU back and removes what was made in a group. */
async function undivide({ path }: Group, threads: GuestThread[]): Promise<void> {
  await writeGroupFile(join(path, 'cgroup.procs'), String(threads[0]!.tid)).catch(() => undefined)
  for (const { kind, id } of [...threads].reverse()) await rmdir(join(path, groupName(kind, id))).catch(() => undefined)
}
