// vCPUs that come and go: of a running guest by QEMU, in a definition for its next start.
import { type Bitmap, bitsOf } from '../../../conf/bitmap.ts'
import { topologyVcpus } from '../../../conf/domain/cpu.ts'
import { cellCpus, fillNumaCpus, numaCells } from '../../../conf/domain/numa.ts'
import {
  currentVcpuCount,
  type VcpuState,
  vcpuStates,
  withVcpuCount,
  withVcpuMax,
  withVcpus
} from '../../../conf/domain/vcpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Meant } from '../../method.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { claimMore } from '../process/claim.ts'
import { addVcpus, canPlugVcpus, syncVcpus, type VcpuGroup, vcpuAlias, vcpuGroups } from '../process/vcpus.ts'
import { deviceHolder, unplugged } from './unplug.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const badArgument = (message: string) => fail('VIR_ERR_INVALID_ARG', message)
const unsupported = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)

export interface PlugOptions {
  /** the guest is only asked to give vCPUs up: they go when it does */
  isAsync: boolean
}

/**
 * Sets how many vCPUs there are (qemuDomainSetVcpusInternal). Those that were plugged before one that QEMU or the guest
 * refuses stay.
 * @param isHotpluggable vCPUs added to the definition can be unplugged later
 * @throws VIR_ERR_INVALID_ARG for more than there can be, VIR_ERR_CONFIG_UNSUPPORTED for a number that cannot be made up
 *   of vCPUs that can come and go, and as setOnline
 */
export async function setVcpuCount(
  domain: QemuDomain,
  count: number,
  { live, config }: Meant,
  { isHotpluggable, ...options }: PlugOptions & { isHotpluggable: boolean }
): Promise<void> {
  for (const [def, which] of [
    [live, 'live'],
    [config, 'persistent']
  ] as const) {
    if (def && count > def.vcpu.max) {
      const range = `${count} > ${def.vcpu.max}`
      throw badArgument(`requested vcpus is greater than max allowable vcpus for the ${which} domain: ${range}`)
    }
  }
  if (live && currentVcpuCount(live) !== count) {
    const groups = await presentGroups(domain)
    const current = currentVcpuCount(domain.def)
    await setOnline(domain, groupsForCount(groups, current, count), count > current, options)
  }
  if (config) domain.change({ config }, def => withCount(def, count, isHotpluggable))
}

/** QEMU's vCPUs; of a machine whose vCPUs stay as they are none. */
const groupsOf = async (domain: QemuDomain): Promise<VcpuGroup[]> =>
  canPlugVcpus(domain) ? vcpuGroups(domain, { withThreads: false }) : []

/** The same, with the definition brought in step where one has come of which QEMU could not tell then. */
async function presentGroups(domain: QemuDomain): Promise<VcpuGroup[]> {
  const groups = await groupsOf(domain)
  const online = groups.reduce((sum, { isOnline, count }) => sum + (isOnline ? count : 0), 0)
  return groups.length === 0 || online === currentVcpuCount(domain.def) ? groups : syncVcpus(domain)
}

/** The vCPUs to plug or unplug for a number of them (qemuDomainSelectHotplugVcpuEntities). */
function groupsForCount(groups: VcpuGroup[], current: number, count: number): VcpuGroup[] {
  const isMore = count > current
  const candidates = isMore
    ? groups.filter(({ isOnline }) => !isOnline)
    : groups.filter(({ alias }) => alias !== undefined).reverse()
  if (isMore && groups.length === 0) throw unsupported('cpu hotplug is not supported')
  const chosen: VcpuGroup[] = []
  let left = Math.abs(count - current)
  for (const group of candidates) {
    if (left === 0) break
    left -= group.count
    if (left < 0) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'target vm vcpu granularity does not allow the desired vcpu count')
    }
    chosen.push(group)
  }
  if (left === 0) return chosen
  const what = 'failed to find appropriate hotpluggable vcpus to reach the desired target vcpu count'
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', what)
}

/**
 * Plugs vCPUs in, or has the guest give them up (qemuDomainSetVcpusLive). More are claimed before; the report tells of
 * those that have come, and of less.
 * @throws ResourceTaken, VIR_ERR_RESOURCE_BUSY, VIR_ERR_OPERATION_UNSUPPORTED for one that stays, VIR_ERR_OPERATION_TIMEOUT for one that may still go,
 *   VIR_ERR_OPERATION_FAILED where the guest refuses, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
async function setOnline(
  domain: QemuDomain,
  groups: readonly VcpuGroup[],
  online: boolean,
  options: PlugOptions
): Promise<void> {
  if (!online) {
    for (const group of groups) await unplug(domain, group, options)
    return
  }
  const amount = groups.reduce((sum, { count }) => sum + count, 0)
  const claimed = await claimMore(domain, amount > 0 ? [{ kind: 'vcpu', amount, mode: 'shared' }] : [])
  try {
    for (const group of groups) await plug(domain, group)
  } catch (error) {
    await claimed.release()
    throw error
  }
}

/** qemuDomainHotplugAddVcpu */
async function plug(domain: QemuDomain, group: VcpuGroup): Promise<void> {
  await addVcpus(domain.qmp, group)
  const now = (await syncVcpus(domain)).find(({ first }) => first === group.first)
  if (now && now.threads.length < group.count) {
    throw fail('VIR_ERR_INTERNAL_ERROR', `qemu didn't report thread id for vcpu '${group.first + now.threads.length}'`)
  }
}

/** qemuDomainHotplugDelVcpu */
async function unplug(domain: QemuDomain, { first, alias }: VcpuGroup, { isAsync }: PlugOptions): Promise<void> {
  if (alias === undefined) throw unsupported(`vcpu '${first}' can't be unplugged`)
  const isGone = await unplugged(deviceHolder(domain), alias, !isAsync)
  if (!isGone && isAsync) return
  const now = (await syncVcpus(domain)).find(group => group.first === first)
  // libvirt asks no more; QEMU under TCG does not always tell of a vCPU that is gone
  if (!isGone) {
    const what = 'vcpu unplug request timed out. Unplug result must be manually inspected in the domain'
    throw fail('VIR_ERR_OPERATION_TIMEOUT', what)
  }
  if (now?.isOnline) throw fail('VIR_ERR_INTERNAL_ERROR', `qemu reported thread id for inactive vcpu '${first}'`)
}

const withoutOrder = ({ order: _, ...state }: VcpuState): VcpuState => state

/** The definition for that many vCPUs at the next start (qemuDomainSetVcpusConfig). */
function withCount(def: DomainDef, count: number, isHotpluggable: boolean): DomainDef {
  const current = currentVcpuCount(def)
  const isListed = def.vcpus !== undefined || (isHotpluggable && count > current)
  if (!isListed) return withVcpuCount(def, count)
  const states = vcpuStates(def).map(withoutOrder)
  let left = Math.abs(count - current)
  // those that stay come first: behind one that can go they all can
  let canGo = isHotpluggable
  if (count > current) {
    for (const state of states) {
      if (left === 0) break
      if (state.enabled) {
        canGo ||= state.hotpluggable === true
        continue
      }
      Object.assign(state, { enabled: true, hotpluggable: canGo })
      left--
    }
  } else {
    for (const state of states.toReversed()) {
      if (left === 0) break
      if (!state.enabled) continue
      Object.assign(state, { enabled: false, hotpluggable: true })
      left--
    }
  }
  return withVcpus(def, states)
}

/**
 * Sets how many vCPUs there can be at the next start (qemuDomainSetVcpusMax).
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for a running guest, VIR_ERR_INVALID_ARG for a number that NUMA cells or the
 *   topology do not allow
 */
export function setVcpuMax(domain: QemuDomain, max: number, { live, config }: Meant): void {
  if (live) throw unsupported("maximum vcpu count of a live domain can't be modified")
  const inCells = numaCells(config!).reduce((sum, cell) => sum + bitsOf(cellCpus(cell)).length, 0)
  if (inCells > max) throw badArgument('Number of CPUs in <numa> exceeds the desired maximum vcpu count')
  if ((topologyVcpus(config!.cpu) ?? max) !== max) {
    throw badArgument("CPU topology doesn't match the desired vcpu count")
  }
  domain.change({ config: config! }, def => {
    const changed = withVcpuMax({ ...def, ...(def.cpu && { cpu: structuredClone(def.cpu) }) }, max)
    fillNumaCpus(changed)
    return changed
  })
}

/**
 * Brings single vCPUs to a state (qemuDomainSetVcpuInternal).
 * @throws VIR_ERR_INVALID_ARG for vCPUs that are in it or that stay, VIR_ERR_OPERATION_UNSUPPORTED for those that do not
 *   come and go together, and as setOnline
 */
export async function setVcpus(
  domain: QemuDomain,
  chosen: Bitmap,
  enabled: boolean,
  { live, config }: Meant,
  options: PlugOptions
): Promise<void> {
  const ids = bitsOf(chosen)
  const last = ids.at(-1)!
  for (const [def, which] of [
    [config, 'persistent'],
    [live, 'live']
  ] as const) {
    if (def && last >= def.vcpu.max) throw badArgument(`vcpu ${last} is not present in ${which} config`)
  }
  let groups: VcpuGroup[] = []
  if (live) {
    if (!canPlugVcpus(domain)) throw unsupported('this qemu version does not support specific vCPU hotplug')
    groups = groupsOfVcpus(await groupsOf(domain), vcpuStates(live), ids, enabled)
    if (groups.length !== 1) throw unsupported('only one hotpluggable entity can be selected')
  }
  if (config) checkConfig(vcpuStates(config), ids)
  await setOnline(domain, groups, enabled, options)
  if (config) domain.change({ config }, def => withStates(def, new Set(ids), enabled))
}

/** What the chosen vCPUs come and go with (qemuDomainFilterHotplugVcpuEntities). */
function groupsOfVcpus(groups: VcpuGroup[], states: VcpuState[], ids: number[], enabled: boolean): VcpuGroup[] {
  const already = ids.find(id => states[id]?.enabled === enabled)
  if (already !== undefined) throw badArgument(`vcpu '${already}' is already in requested state`)
  const chosen = new Set(ids)
  return [...chosen].flatMap(id => {
    const group = groups.find(({ first, count }) => id >= first && id < first + count)!
    const { first, count } = group
    const members = Array.from({ length: count }, (_, i) => first + i)
    if (!chosen.has(first)) {
      throw badArgument(`vcpu '${id}' belongs to a larger hotpluggable entity, but siblings were not selected`)
    }
    const missing = members.find(member => !chosen.has(member))
    if (missing !== undefined) {
      const entity = `hotpluggable entity '${first}-${first + count - 1}' which was partially selected`
      throw badArgument(`vcpu '${missing}' was not selected but it belongs to ${entity}`)
    }
    return id === first ? [group] : []
  })
}

/** qemuDomainVcpuValidateConfig */
function checkConfig(states: readonly VcpuState[], ids: readonly number[]): void {
  if (ids[0] === 0) throw badArgument("vCPU '0' can't be modified")
  const isKept = ({ id, enabled, hotpluggable }: VcpuState) =>
    id > ids[0]! && !ids.includes(id) && enabled && hotpluggable === false
  if (states.some(isKept)) {
    throw badArgument(`vcpu '${ids[0]}' can't be modified as it is followed by non-hotpluggable online vcpus`)
  }
}

/** qemuDomainSetVcpuConfig */
function withStates(def: DomainDef, chosen: ReadonlySet<number>, enabled: boolean): DomainDef {
  const states = vcpuStates(def).map(state =>
    chosen.has(state.id) ? { id: state.id, enabled, hotpluggable: true } : withoutOrder(state)
  )
  return withVcpus(def, states)
}

/**
 * Takes vCPUs out of the live definition that the guest has given up late (qemuDomainRemoveVcpuAlias).
 * @param alias those that are gone; absent: some are
 */
export async function vcpuGone(domain: QemuDomain, alias?: string): Promise<void> {
  if (!domain.isActive || !canPlugVcpus(domain)) return
  const isThere = ({ id, enabled }: VcpuState) => enabled && (alias === undefined || vcpuAlias(id) === alias)
  if (vcpuStates(domain.def).some(isThere)) await syncVcpus(domain)
}
