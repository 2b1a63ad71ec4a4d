// vCPUs as QEMU has them: each by itself, or several that come and go together.
import { type VcpuState, vcpuStates, withVcpus } from '../../../conf/domain/vcpu.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import { forgetThread, setUpThread } from './threads.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A vCPU of query-cpus-fast. */
export interface QmpVcpu {
  'cpu-index': number
  'thread-id': number
  'qom-path': string
}

/** A place of query-hotpluggable-cpus: properties for device_add, and the object that is there already, if any. */
interface CpuPlace {
  type: string
  props: Record<string, number>
  /** QEMU's own machines always say it */
  'vcpus-count'?: number
  'qom-path'?: string
}

/** vCPUs that come and go together; on most machines one. */
export interface VcpuGroup {
  /** number of the first of them, and how many they are */
  first: number
  count: number
  type: string
  props: Record<string, number>
  /** they are there */
  isOnline: boolean
  /** QEMU's id of those that can go again */
  alias?: string
  /** the place among those that are there, by when they came; 1 first */
  order?: number
  threads: number[]
}

/** Properties that order the places as the guest counts its CPUs, the most significant first. */
const LEVELS = ['socket-id', 'die-id', 'cluster-id', 'core-id', 'thread-id']

function byPlace(a: CpuPlace, b: CpuPlace): number {
  for (const level of LEVELS) {
    const difference = (a.props[level] ?? 0) - (b.props[level] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** QEMU's id of vCPUs that are plugged, by the first of them. */
export const vcpuAlias = (first: number): string => `vcpu${first}`

/** Plugs in vCPUs of that place. @throws VIR_ERR_INTERNAL_ERROR with QEMU's words */
export async function addVcpus(qmp: QmpMonitor, { first, type, props }: VcpuGroup): Promise<void> {
  await qmp.execute('device_add', { driver: type, id: vcpuAlias(first), ...props })
}

/** The id in an object's path, of those that were plugged. */
const aliasIn = (path: string | undefined) => /\/(vcpu[^/]*)$/.exec(path ?? '')?.[1]

/** True if vCPUs of the guest's machine can come and go (qemuDomainSupportsVcpuHotplug). */
export const canPlugVcpus = ({ def, context }: Pick<QemuDomain, 'def' | 'context'>): boolean =>
  context.qemu.machine(def.os.machine!)?.hotpluggableCpus === true

/**
 * QEMU's vCPUs in the order the guest counts them (qemuMonitorGetCPUInfo).
 * @param withThreads QEMU is also asked for their threads and in which order they came
 */
export async function queryVcpus(qmp: QmpMonitor, { withThreads = true } = {}): Promise<VcpuGroup[]> {
  const [places, online] = await Promise.all([
    qmp.execute<CpuPlace[]>('query-hotpluggable-cpus'),
    withThreads ? qmp.execute<QmpVcpu[]>('query-cpus-fast') : []
  ])
  places.sort(byPlace)
  // the object of several vCPUs has one for each of their threads
  const paths = online.map(one => one['qom-path'].replace(/\/thread.*$/, ''))
  const orders = [...new Set(paths)]
  let first = 0
  return places.map(({ type, props, 'vcpus-count': count = 1, 'qom-path': path }): VcpuGroup => {
    const alias = aliasIn(path)
    const order = path === undefined ? 0 : orders.indexOf(path) + 1
    const group = {
      ...{ first, count, type, props, isOnline: path !== undefined },
      ...(alias !== undefined && { alias }),
      ...(order > 0 && { order }),
      threads: online.filter((_, i) => paths[i] === path).map(one => one['thread-id'])
    }
    first += count
    return group
  })
}

/** The same of a guest that runs. @throws VIR_ERR_INTERNAL_ERROR when they are not those of its definition */
export async function vcpuGroups(domain: QemuDomain, options?: { withThreads: boolean }): Promise<VcpuGroup[]> {
  const groups = await queryVcpus(domain.qmp, options)
  domain.checkActive()
  const last = groups.at(-1)
  const count = last ? last.first + last.count : 0
  const { max } = domain.def.vcpu
  if (count !== max) throw fail('VIR_ERR_INTERNAL_ERROR', `qemu has places for ${count} vcpus, not for ${max}`)
  return groups
}

/** The thread of each vCPU that has one, by its number. */
function threadsOf(groups: readonly VcpuGroup[]): Map<number, number> {
  return new Map(groups.flatMap(({ first, threads }) => threads.map((tid, i) => [first + i, tid] as const)))
}

/** States as QEMU has them (qemuDomainRefreshVcpuInfo, qemuDomainVcpuPersistOrder). */
export function statesOf(groups: readonly VcpuGroup[]): VcpuState[] {
  return groups.flatMap(({ first, count, isOnline, alias, order }) =>
    Array.from({ length: count }, (_, i) => ({
      id: first + i,
      enabled: isOnline,
      hotpluggable: !isOnline || alias !== undefined,
      ...(order !== undefined && { order })
    }))
  )
}

const enabledIn = (states: readonly VcpuState[]) => states.filter(({ enabled }) => enabled).map(({ id }) => id)

/**
 * Takes QEMU's vCPUs for those of the live definition: after some have come or gone, and by who takes the guest over.
 * Threads that are new are set up, vCPUs that are gone are told of.
 * @throws VIR_ERR_INTERNAL_ERROR when QEMU's are not the definition's, what setting a thread up throws
 */
export async function syncVcpus(domain: QemuDomain): Promise<VcpuGroup[]> {
  const groups = await vcpuGroups(domain)
  const { running, def } = domain
  const before = new Set(enabledIn(vcpuStates(def)))
  const states = statesOf(groups)
  running.vcpuThreads = threadsOf(groups)
  // once some can go again the definition says which
  const isListed = def.vcpus !== undefined || groups.some(({ alias }) => alias !== undefined)
  if (isListed) domain.change({ live: true }, changed => withVcpus(changed, states))
  const now = new Set(enabledIn(states))
  for (const vcpuid of before) {
    if (now.has(vcpuid)) continue
    await forgetThread(domain, { kind: 'vcpu', id: vcpuid })
    domain.events.emit('VIR_DOMAIN_EVENT_ID_VCPU_REMOVED', { vcpuid })
  }
  for (const [id, tid] of running.vcpuThreads) {
    if (!before.has(id)) await setUpThread(domain, { kind: 'vcpu', id, tid })
  }
  return groups
}
