// Plugging of vCPUs that are enabled and hotpluggable, before the guest runs (qemuProcessSetupHotpluggableVcpus).
import type { VcpuState } from '../../../conf/domain/vcpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** A place for a vCPU: properties for device_add, and the object that is there already, if any. */
interface CpuPlace {
  type: string
  props: Record<string, number>
  'qom-path'?: string
}

/** Properties that order the places as the guest counts its CPUs, the most significant first. */
const LEVELS = ['socket-id', 'die-id', 'core-id', 'thread-id']

function byPlace(a: CpuPlace, b: CpuPlace): number {
  for (const level of LEVELS) {
    const difference = (a.props[level] ?? 0) - (b.props[level] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

const isPlugged = ({ enabled, hotpluggable }: VcpuState) => enabled && hotpluggable === true

/** Plugs vCPUs that are not plugged yet, in the user's order. @throws VIR_ERR_INTERNAL_ERROR if QEMU has no place */
export async function plugVcpus({ vcpus = [] }: DomainDef, monitor: QmpMonitor): Promise<void> {
  const wanted = vcpus.filter(isPlugged).sort((a, b) => (a.order ?? a.id) - (b.order ?? b.id))
  if (wanted.length === 0) return
  const places = await monitor.execute<CpuPlace[]>('query-hotpluggable-cpus')
  places.sort(byPlace)
  for (const { id } of wanted) {
    const place = places[id]
    if (!place) throw fail('VIR_ERR_INTERNAL_ERROR', `qemu didn't report a place for vcpu '${id}'`)
    if (place['qom-path'] !== undefined) continue
    await monitor.execute('device_add', { driver: place.type, id: `vcpu${id}`, ...place.props })
  }
}
