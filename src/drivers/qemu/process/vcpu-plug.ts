// Plugging of vCPUs that are enabled and hotpluggable, before the guest runs (qemuProcessSetupHotpluggableVcpus).
import type { VcpuState } from '../../../conf/domain/vcpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import { addVcpus, queryVcpus, statesOf, type VcpuGroup } from './vcpus.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const isPlugged = ({ enabled, hotpluggable }: VcpuState) => enabled && hotpluggable === true

/** Checks of vCPUs that come together, and of the order (qemuProcessValidateHotpluggableVcpus). */
function checkGroups(vcpus: readonly VcpuState[], groups: readonly VcpuGroup[]): void {
  const orders = new Set<number>()
  for (const { first, count } of groups) {
    const [one, ...others] = vcpus.slice(first, first + count)
    if (one?.order !== undefined) {
      if (orders.has(one.order)) throw unsupported(`duplicate vcpu order '${one.order}'`)
      if (one.order > vcpus.length) throw unsupported(`vcpu order '${one.order}' exceeds vcpu count`)
      orders.add(one.order)
    }
    const differs = others.find(
      ({ enabled, hotpluggable, order }) =>
        enabled !== one?.enabled || hotpluggable !== one.hotpluggable || order !== one.order
    )
    if (differs) {
      throw unsupported(
        `vcpus '${first}' and '${differs.id}' are in the same hotplug group but differ in configuration`
      )
    }
  }
}

/**
 * Plugs vCPUs that are not plugged yet, in the user's order, and notes in which all have come.
 * @throws VIR_ERR_INTERNAL_ERROR if QEMU has no place, VIR_ERR_CONFIG_UNSUPPORTED for an order that is none
 */
export async function plugVcpus(def: DomainDef, qmp: QmpMonitor): Promise<void> {
  const { vcpus } = def
  if (!vcpus) return
  const groups = await queryVcpus(qmp, { withThreads: false })
  checkGroups(vcpus, groups)
  const inside = new Set(
    groups.flatMap(({ first, count }) => Array.from({ length: count - 1 }, (_, i) => first + 1 + i))
  )
  const wanted = vcpus.filter(isPlugged).sort((a, b) => (a.order ?? a.id) - (b.order ?? b.id))
  for (const { id } of wanted.filter(({ id }) => !inside.has(id))) {
    const group = groups.find(({ first }) => first === id)
    if (!group) throw fail('VIR_ERR_INTERNAL_ERROR', `qemu didn't report a place for vcpu '${id}'`)
    if (!group.isOnline) await addVcpus(qmp, group)
  }
  const orders = statesOf(await queryVcpus(qmp)).map(({ order }) => order)
  for (const vcpu of vcpus) {
    const order = orders[vcpu.id]
    if (vcpu.enabled && order !== undefined) vcpu.order = order
  }
}
