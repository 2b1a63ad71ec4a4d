// <panic>: QEMU's defaults, checks and arguments.
import type { PanicDef, PanicModel } from '../../../conf/devices/panic.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'
import { isArmVirt, isPseries, isS390, isX86 } from '../machine-type.ts'
import { addressProps } from '../parts/address.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuPanic: QemuFamily<PanicDef> = {
  postParse(dev, def) {
    dev.model ??= defaultModel(def)
  },
  add(to, dev) {
    const { model, address } = dev
    if (model === 'pvpanic') to.device({ driver: 'pvpanic-pci', ...addressProps(to, dev) })
    if (model !== 'isa') return
    to.device({ driver: 'pvpanic', ioport: address?.type === 'isa' ? (address.iobase ?? 0) : undefined })
  }
}

/** The model machines of that kind have had; others have none by default (qemuDomainDefaultPanicModel). */
function defaultModel(def: DomainDef): PanicModel | undefined {
  if (isPseries(def)) return 'pseries'
  if (isS390(def)) return 's390'
  return isX86(def) ? 'isa' : isArmVirt(def) ? 'pvpanic' : undefined
}

/** Models that are no device but part of machine, firmware or CPU: who has them, in libvirt's words. */
const BUILT_IN: Record<
  Exclude<PanicModel, 'isa' | 'pvpanic'>,
  { has: (def: DomainDef) => boolean; refusal: string }
> = {
  s390: { has: isS390, refusal: "only S390 guests support panic device of model 's390'" },
  hyperv: { has: isX86, refusal: "only i686 and x86_64 guests support panic device of model 'hyperv'" },
  pseries: { has: isPseries, refusal: "only pSeries guests support panic device of model 'pseries'" }
}

/** qemuValidateDomainDefPanic */
export function validatePanics(def: DomainDef, { qemu }: QemuContext): void {
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  for (const { model, address } of def.devices.panics) {
    if (model === undefined)
      throw unsupported('no panic model provided, and no default for the architecture and machine type')
    if (model === 'isa') {
      if (!qemu.has('pvpanic')) throw unsupported('the QEMU binary does not support the ISA panic device')
      if (address && address.type !== 'isa') throw unsupported('panic is supported only with ISA address type')
    } else if (model === 'pvpanic') {
      if (!qemu.has('pvpanic-pci')) throw unsupported('the QEMU binary does not support the PCI pvpanic device')
      if (address?.type !== 'pci') throw unsupported('pvpanic is supported only with PCI address type')
    } else {
      const { has, refusal } = BUILT_IN[model]
      if (!has(def)) throw unsupported(refusal)
      if (address) throw unsupported(`setting the panic device address is not supported for model '${model}'`)
    }
  }
}
