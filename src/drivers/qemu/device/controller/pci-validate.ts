// PCI controllers: which options each model has, must have and cannot have (qemuValidateDomainDeviceDefControllerPCI).
import type { ControllerDef, ControllerTarget } from '../../../../conf/devices/controller.ts'
import { type PciModel, type PciModelName, pciModelOf } from '../../../../conf/devices/controller-models.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { Capability } from '../../capabilities/signs.ts'
import type { QemuContext } from '../../context.ts'
import { isI440fx, isPseries, isQ35 } from '../../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const HOST_BRIDGE = 'spapr-pci-host-bridge'

/** Names a model may have in QEMU, and its options besides. */
interface Row {
  names: readonly PciModelName[]
  required?: readonly (keyof ControllerTarget)[]
  optional?: readonly (keyof ControllerTarget)[]
}
const PORT_OPTIONS = { required: ['chassis', 'port'], optional: ['hotplug'] } as const
const EXPANDER_OPTIONS = { required: ['busNr'], optional: ['node'] } as const

const MODELS: Record<PciModel, Row> = {
  'pci-root': { names: [HOST_BRIDGE], optional: ['index', 'node', 'hotplug'] },
  'pcie-root': { names: [] },
  'pci-bridge': { names: ['pci-bridge'], required: ['chassisNr'], optional: ['memReserve'] },
  'dmi-to-pci-bridge': { names: ['i82801b11-bridge'] },
  'pcie-to-pci-bridge': { names: ['pcie-pci-bridge'] },
  'pcie-root-port': {
    names: ['ioh3420', 'pcie-root-port'],
    required: PORT_OPTIONS.required,
    optional: ['hotplug', 'memReserve']
  },
  'pcie-switch-upstream-port': { names: ['x3130-upstream'] },
  'pcie-switch-downstream-port': { names: ['xio3130-downstream'], ...PORT_OPTIONS },
  'pci-expander-bus': { names: ['pxb'], ...EXPANDER_OPTIONS },
  'pcie-expander-bus': { names: ['pxb-pcie'], ...EXPANDER_OPTIONS }
}

const CAPABILITIES: Record<PciModelName, Capability> = {
  'pci-bridge': 'pci-bridge',
  'i82801b11-bridge': 'dmi-to-pci-bridge',
  ioh3420: 'ioh3420',
  'x3130-upstream': 'x3130-upstream',
  'xio3130-downstream': 'xio3130-downstream',
  pxb: 'pxb',
  'pxb-pcie': 'pxb-pcie',
  'pcie-root-port': 'pcie-root-port',
  'spapr-pci-host-bridge': 'spapr-pci-host-bridge',
  'pcie-pci-bridge': 'pcie-pci-bridge'
}

/** libvirt's names of the options, in the order it looks at them. */
const OPTIONS = [
  ['index', 'targetIndex'],
  ['pcihole64', 'pcihole64'],
  ['busNr', 'busNr'],
  ['node', 'numaNode'],
  ['chassisNr', 'chassisNr'],
  ['chassis', 'chassis'],
  ['port', 'port'],
  ['hotplug', 'hotplug'],
  ['memReserve', 'memReserve']
] as const

/** @throws VIR_ERR_CONFIG_UNSUPPORTED for options that do not fit, VIR_ERR_INTERNAL_ERROR for missing ones */
export function validatePciController(dev: ControllerDef, def: DomainDef, { qemu }: QemuContext): void {
  const model = pciModelOf(dev)
  if (model === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'Unexpected PCI controller model -1')
  const { index = -1, pciModelName, target = {} } = dev
  const { names, required = [], optional = [] } = MODELS[model]
  const of = `PCI controller with index '${index}', model '${model}' and modelName '${pciModelName ?? 'none'}'`
  const invalid = (option: string) => unsupported(`Option '${option}' is not valid for ${of}`)
  const missing = (option: string) => fail('VIR_ERR_INTERNAL_ERROR', `Required option '${option}' is not set for ${of}`)

  const hasName = model === 'pci-root' ? isPseries(def) : model !== 'pcie-root'
  if (hasName && pciModelName === undefined) throw missing('modelName')
  if (!hasName && pciModelName !== undefined) throw invalid('modelName')
  if (pciModelName !== undefined && !names.includes(pciModelName)) {
    throw unsupported(`Option 'modelName' has invalid value for ${of}`)
  }
  checkIndex(model, index, pciModelName)

  for (const [key, name] of OPTIONS) {
    if (key === 'pcihole64') {
      checkHole(dev, def)
      continue
    }
    const given = target[key] !== undefined
    if (given && !required.includes(key) && !optional.includes(key)) throw invalid(name)
    if (!given && required.includes(key)) throw missing(name)
    if (model === 'pci-root') checkHostBridge(key, name)
  }
  if (target.hotplug !== undefined) {
    const [capability, device] =
      model === 'pci-root'
        ? (['piix4.acpi-root-pci-hotplug', 'pci-root'] as const)
        : (['pcie-root-port.hotplug', pciModelName] as const)
    if (!qemu.has(capability)) {
      throw unsupported(`setting the 'hotplug' property on a '${device}' device is not supported by this QEMU binary`)
    }
  }
  if (pciModelName !== undefined && !qemu.has(CAPABILITIES[pciModelName])) {
    throw unsupported(`The '${pciModelName}' device is not supported by this QEMU binary`)
  }
  if (model === 'pci-root' && target.node !== undefined && !qemu.has('spapr-pci-host-bridge.numa_node')) {
    throw unsupported(`Option 'numaNode' is not supported by '${pciModelName}' device with this QEMU binary`)
  }

  /** Host bridges have a number and may have a NUMA node, the first one not; other root buses have neither. */
  function checkHostBridge(key: keyof ControllerTarget, name: string): void {
    const isHostBridge = pciModelName === HOST_BRIDGE
    const given = target[key] !== undefined
    if (key === 'index' && !given && isHostBridge) throw missing(name)
    if ((key === 'index' || key === 'node') && given && !isHostBridge) throw invalid(name)
    if (key === 'node' && given && target.index === 0) throw invalid(name)
  }
}

/** Root buses are controller 0, all others are not. */
function checkIndex(model: PciModel, index: number, name: PciModelName | undefined): void {
  const isRoot = model === 'pci-root' || model === 'pcie-root'
  if (!isRoot && index === 0) throw unsupported(`Index for '${model}' controllers must be > 0`)
  if (isRoot && index !== 0 && name !== HOST_BRIDGE) throw unsupported(`Index for '${model}' controllers must be 0`)
}

/** The hole for 64-bit addresses is an option of the 440FX and Q35 host bridges. */
function checkHole({ model, pcihole64KiB }: ControllerDef, def: DomainDef): void {
  if (pcihole64KiB === undefined) return
  if (model === 'pci-root' ? isI440fx(def) : isQ35(def)) return
  throw unsupported(`Setting the 64-bit PCI hole size is not supported for machine '${def.os.machine}'`)
}
