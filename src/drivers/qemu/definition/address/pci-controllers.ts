// Defaults of PCI controllers once they have their places: QEMU device, chassis, port, bus number (qemuDomainAssignPCIAddresses).
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import type { PciModel, PciModelName } from '../../../../conf/devices/controller-models.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { Qemu } from '../../capabilities/qemu.ts'
import type { QemuContext } from '../../context.ts'
import { isPseries } from '../../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** QEMU's device for each model; root ports and host bridges depend on more than the model. */
const MODEL_NAMES: Partial<Record<PciModel, PciModelName>> = {
  'pci-bridge': 'pci-bridge',
  'dmi-to-pci-bridge': 'i82801b11-bridge',
  'pcie-to-pci-bridge': 'pcie-pci-bridge',
  'pcie-switch-upstream-port': 'x3130-upstream',
  'pcie-switch-downstream-port': 'xio3130-downstream',
  'pci-expander-bus': 'pxb',
  'pcie-expander-bus': 'pxb-pcie'
}

function defaultModelName(model: string | undefined, def: DomainDef, qemu: Qemu): PciModelName | undefined {
  if (model === 'pcie-root-port') return qemu.has('pcie-root-port') ? 'pcie-root-port' : 'ioh3420'
  if (model === 'pci-root') return isPseries(def) ? 'spapr-pci-host-bridge' : undefined
  return MODEL_NAMES[model as PciModel]
}

/** Fills in what the user left open. @throws VIR_ERR_CONFIG_UNSUPPORTED when numbers have run out or a bridge is misplaced */
export function completePciControllers(def: DomainDef, { qemu }: QemuContext): void {
  for (const dev of def.devices.controllers) {
    if (dev.type !== 'pci') continue
    dev.pciModelName ??= defaultModelName(dev.model, def, qemu)
    const { bus = 0, slot = 0, function: fn = 0 } = dev.address?.type === 'pci' ? dev.address : {}
    const { index = 0 } = dev
    const target = { ...dev.target }
    switch (dev.model) {
      case 'pci-bridge':
        target.chassisNr ??= index
        break
      case 'pcie-root-port':
        target.chassis ??= index
        target.port ??= (slot << 3) + fn
        break
      case 'pcie-switch-downstream-port':
        target.chassis ??= index
        target.port ??= slot
        break
      case 'pci-expander-bus':
      case 'pcie-expander-bus':
        target.busNr ??= newBusNr(def, bus)
        break
      case 'pci-root':
        if (isPseries(def)) target.index ??= index === 0 ? 0 : newTargetIndex(def, bus)
        break
    }
    if (Object.keys(target).length > 0) dev.target = target
    if (dev.model === 'pci-bridge' && index <= bus) {
      const hex = (value: number) => `0x${value.toString(16).padStart(2, '0')}`
      throw fail(
        'VIR_ERR_CONFIG_UNSUPPORTED',
        `PCI controller at index ${index} (${hex(index)}) has bus='${hex(bus)}', but index must be larger than bus`
      )
    }
  }
}

/** The default bus number of an expander: two below the lowest, one for it and one for its own bridge. */
function newBusNr({ devices }: DomainDef, bus: number): number {
  const given = devices.controllers.flatMap(({ type, target }) =>
    type === 'pci' && target?.busNr !== undefined ? [target.busNr] : []
  )
  const lowest = Math.min(256, ...given)
  if (lowest > 2) return lowest - 2
  throw fail(
    'VIR_ERR_CONFIG_UNSUPPORTED',
    `No free busNr lower than current lowest busNr is available to auto-assign to bus ${bus}. Must be manually assigned`
  )
}

/** pSeries host bridges are numbered 1 to 31; 0 is the one every guest has. */
function newTargetIndex({ devices }: DomainDef, bus: number): number {
  const isHostBridge = ({ type, model, pciModelName }: ControllerDef) =>
    type === 'pci' && model === 'pci-root' && pciModelName === 'spapr-pci-host-bridge'
  const used = new Set(devices.controllers.filter(isHostBridge).map(({ target }) => target?.index))
  for (let index = 1; index <= 31; index++) if (!used.has(index)) return index
  throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `No usable target index found for ${bus}`)
}
