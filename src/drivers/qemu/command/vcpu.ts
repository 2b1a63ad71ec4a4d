// <vcpu>, <vcpus>: QEMU's defaults and checks.
import { currentVcpuCount } from '../../../conf/domain/vcpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { isPseries, isQ35, isX86 } from '../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** x86 interrupt remapping reaches this many CPUs without extended interrupt mode. */
const VCPUS_WITHOUT_EIM_MAX = 255
const UINT_MAX = 2 ** 32 - 1

/** QEMU boots with vCPU 0 and a run of cold-plugged ones behind it (qemuDomainDefVcpusPostParse). */
export function checkVcpuStates(def: DomainDef): void {
  const [first, ...others] = def.vcpus ?? []
  if (currentVcpuCount(def) === 0 || (first && !first.enabled)) throw unsupported("vcpu 0 can't be offline")
  if (!first) return
  if (first.hotpluggable) throw unsupported("vcpu0 can't be hotpluggable")
  if ((first.order ?? 1) !== 1) throw unsupported('vcpu0 must be enabled first')
  const ordered = first.order !== undefined
  let previous = first
  for (const vcpu of others) {
    if (vcpu.enabled && (vcpu.order !== undefined) !== ordered) {
      throw unsupported('all vcpus must have either set or unset order')
    }
    if (vcpu.hotpluggable === false) {
      if (previous.hotpluggable) {
        throw unsupported('online non-hotpluggable vcpus need to be ordered prior to hotplugable vcpus')
      }
      if ((previous.order ?? 0) > (vcpu.order ?? 0)) {
        throw unsupported('online non-hotpluggable vcpus must be ordered in ascending order')
      }
    }
    previous = vcpu
  }
}

/** vCPUs the CPU topology describes, undefined without one (virDomainDefGetVcpusTopology). */
function topologyVcpus({ cpu }: DomainDef): number | undefined {
  if (!cpu?.topology) return undefined
  const { sockets, dies = 1, cores, threads } = cpu.topology
  const factors = [sockets, dies, cores, threads]
  if (factors.some((_, i) => factors.slice(0, i + 1).reduce((a, b) => a * b, 1) > UINT_MAX)) {
    throw unsupported(`cpu topology results in more than ${UINT_MAX} cpus`)
  }
  return sockets * dies * cores * threads
}

/** qemuValidateDomainVCpuTopology. @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateVcpus(def: DomainDef, { qemu }: QemuContext): void {
  const current = currentVcpuCount(def)
  const { max } = def.vcpu
  if (current === 0) throw unsupported('Domain requires at least 1 vCPU')
  const limit = qemu.machine(def.os.machine!)?.cpuMax ?? 0
  if (limit > 0 && max > limit) {
    throw unsupported(`Maximum CPUs greater than specified machine type limit ${limit}`)
  }
  if (qemu.has('query-hotpluggable-cpus')) {
    const described = topologyVcpus(def)
    if (described !== undefined && described !== max) {
      throw unsupported("CPU topology doesn't match maximum vcpu count")
    }
    const granularity = hotplugGranularity(def)
    if (current % granularity !== 0) {
      throw unsupported(`vCPUs count must be a multiple of the vCPU hotplug granularity (${granularity})`)
    }
  }
  if (isX86(def) && max > VCPUS_WITHOUT_EIM_MAX) checkInterruptMode(def)
}

/** pSeries plugs whole cores. */
function hotplugGranularity(def: DomainDef): number {
  return isPseries(def) ? (def.cpu?.topology?.threads ?? 1) : 1
}

function checkInterruptMode(def: DomainDef): void {
  const many = `more than ${VCPUS_WITHOUT_EIM_MAX} vCPUs`
  if (!isQ35(def)) throw unsupported(`${many} are only supported on q35-based machine types`)
  const [iommu] = def.devices.iommus as { driver?: { eim?: boolean }; eim?: boolean }[]
  if (!(iommu?.driver?.eim ?? iommu?.eim)) {
    throw unsupported(`${many} require extended interrupt mode enabled on the iommu device`)
  }
}
