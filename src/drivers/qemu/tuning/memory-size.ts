// Sizes of a guest's memory: what it starts with, and what it is to make do with.
import { numaCells } from '../../../conf/domain/numa.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Meant } from '../../method.ts'
import { qemuMemballoon } from '../device/memballoon.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { balloonMaxKiB, hasBalloon, setBalloon } from '../process/balloon.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const invalid = (message: string) => fail('VIR_ERR_OPERATION_INVALID', message)

/**
 * Sets the memory a guest is to make do with. The live definition follows what the guest does (BALLOON_CHANGE).
 * @throws VIR_ERR_INVALID_ARG for more than it has, as setBalloon
 */
export async function setCurrentMemory(domain: QemuDomain, sizeKiB: number, { live, config }: Meant): Promise<void> {
  const most = Math.min(...[live, config].map(def => (def ? balloonMaxKiB(def) : Infinity)))
  if (sizeKiB > most) throw fail('VIR_ERR_INVALID_ARG', 'cannot set memory higher than max memory')
  if (live) await setBalloon(domain, sizeKiB)
  if (config) domain.change({ config }, def => ({ ...def, currentMemoryKiB: sizeKiB }))
}

/** Sets the memory a guest starts with. @throws VIR_ERR_OPERATION_INVALID where something else says how much that is */
export function setInitialMemory(domain: QemuDomain, sizeKiB: number, { live, config }: Meant): void {
  if (live) throw invalid('cannot resize the maximum memory on an active domain')
  if (numaCells(config!).length > 0) {
    throw invalid('initial memory size of a domain with NUMA nodes cannot be modified with this API')
  }
  const { maxMemory } = config!
  if (maxMemory && maxMemory.sizeKiB < sizeKiB) {
    throw invalid('cannot set initial memory size greater than the maximum memory size')
  }
  domain.change({ config: config! }, def => ({
    ...def,
    memoryKiB: sizeKiB,
    currentMemoryKiB: Math.min(def.currentMemoryKiB ?? sizeKiB, sizeKiB)
  }))
}

/** The definition with a balloon that reports that often. */
function withPeriod(def: DomainDef, period: number): DomainDef {
  const [{ statsPeriod: _, ...balloon }] = def.devices.memballoons as [DomainDef['devices']['memballoons'][0]]
  const memballoons = [{ ...balloon, ...(period > 0 && { statsPeriod: period }) }]
  return { ...def, devices: { ...def.devices, memballoons } }
}

/**
 * Sets how often a guest reports its use of memory, in seconds; 0: never.
 * @throws VIR_ERR_INTERNAL_ERROR without a balloon, VIR_ERR_OPERATION_INVALID when QEMU refuses
 */
export async function setStatsPeriod(domain: QemuDomain, period: number, meant: Meant): Promise<void> {
  const { live, config } = meant
  const missing = [live, config].some(def => def && !hasBalloon(def))
  if (missing) {
    const what = 'No memory balloon device configured, can not set the collection period'
    throw fail('VIR_ERR_INTERNAL_ERROR', what)
  }
  if (live) {
    const [balloon] = live.devices.memballoons
    try {
      await qemuMemballoon.update!({ ...balloon!, statsPeriod: period }, domain.qmp, balloon)
    } catch (error) {
      throw fail('VIR_ERR_OPERATION_INVALID', 'unable to set balloon driver collection period', error)
    }
    domain.checkActive()
  }
  domain.change(meant, def => withPeriod(def, period))
}
