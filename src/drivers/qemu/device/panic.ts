// <panic>: QEMU's defaults, checks and arguments.
import type { PanicDef, PanicModel } from '../../../conf/devices/panic.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { isPseries, isS390, isX86 } from '../machine-type.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuPanic: QemuFamily<PanicDef> = {
  postParse(dev, def) {
    dev.model ??= isPseries(def) ? 'pseries' : isS390(def) ? 's390' : 'isa'
  },
  add(to, { model, address }) {
    if (model !== 'isa') return
    to.device({ driver: 'pvpanic', ioport: address?.type === 'isa' ? (address.iobase ?? 0) : undefined })
  }
}

/** Models that are no device but part of machine, firmware or CPU: who has them, in libvirt's words. */
const BUILT_IN: Record<Exclude<PanicModel, 'isa'>, { has: (def: DomainDef) => boolean; refusal: string }> = {
  s390: { has: isS390, refusal: "only S390 guests support panic device of model 's390'" },
  hyperv: { has: isX86, refusal: "only i686 and x86_64 guests support panic device of model 'hyperv'" },
  pseries: { has: isPseries, refusal: "only pSeries guests support panic device of model 'pseries'" }
}

/** qemuValidateDomainDefPanic */
export function validatePanics(def: DomainDef, { qemu }: QemuContext): void {
  for (const { model = 'isa', address } of def.devices.panics) {
    if (model === 'isa') {
      if (!qemu.has('pvpanic')) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'the QEMU binary does not support the ISA panic device')
      }
      if (address && address.type !== 'isa') {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'panic is supported only with ISA address type')
      }
      continue
    }
    const { has, refusal } = BUILT_IN[model]
    if (!has(def)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', refusal)
    if (address) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `setting the panic device address is not supported for model '${model}'`)
    }
  }
}
