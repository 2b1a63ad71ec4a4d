// <vcpus>: what QEMU wants of the states of single vCPUs.
import { currentVcpuCount } from '../../../conf/domain/vcpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

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
        throw unsupported('online non-hotpluggable vcpus need to be ordered prior to hotpluggable vcpus')
      }
      if ((previous.order ?? 0) > (vcpu.order ?? 0)) {
        throw unsupported('online non-hotpluggable vcpus must be ordered in ascending order')
      }
    }
    previous = vcpu
  }
}
