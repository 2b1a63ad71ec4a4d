// <controller>: QEMU's defaults and what it refuses at once (qemuDomainControllerDefPostParse).
import type { ControllerDef } from '../../../../conf/devices/controller.ts'
import type { ScsiModel, UsbModel } from '../../../../conf/devices/controller-models.ts'
import { numaCells } from '../../../../conf/domain/numa.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { QemuContext } from '../../context.ts'
import { hasBuiltinEsp, isArmVirt, isI440fx, isPpc64, isPseries, isQ35, isS390 } from '../../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** Ports of QEMU's xHCI, each of USB 2 and USB 3. */
const XHCI_MAX_PORTS = 15

/** Fills in the model of the machine. @throws VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_XML_ERROR, VIR_ERR_INTERNAL_ERROR */
export function postParseController(dev: ControllerDef, def: DomainDef, context: QemuContext): void {
  // libvirt takes 'auto' for no model
  if (dev.type === 'scsi' && (dev.model === undefined || dev.model === 'auto')) dev.model = scsiModel(dev, def, context)
  if (dev.type === 'usb') {
    dev.model ??= usbModel(dev, def, context)
    checkUsb(dev, def)
  }
  if (dev.type === 'pci') checkPci(dev, def)
}

/** qemuDomainGetSCSIControllerModel */
function scsiModel({ index }: ControllerDef, def: DomainDef, { qemu }: QemuContext): ScsiModel {
  if (isPseries(def)) return 'ibmvscsi'
  if (isS390(def)) return 'virtio-scsi'
  if (qemu.has('lsi')) return 'lsilogic'
  if (qemu.has('virtio-scsi-pci')) return 'virtio-scsi'
  if (hasBuiltinEsp(def)) return 'ncr53c90'
  throw fail('VIR_ERR_INTERNAL_ERROR', `Unable to determine model for SCSI controller idx=${index}`)
}

/** The first of these that QEMU has; without any, the machine's own USB is all there is. */
function usbModel({ address }: ControllerDef, def: DomainDef, { qemu }: QemuContext): UsbModel | undefined {
  const uhci = qemu.has('piix3-usb-uhci') ? 'piix3-uhci' : undefined
  const xhci = qemu.has('qemu-xhci') ? 'qemu-xhci' : qemu.has('nec-usb-xhci') ? 'nec-xhci' : undefined
  if (isS390(def)) return address ? uhci : 'none'
  if (isPpc64(def)) return xhci ?? (qemu.has('pci-ohci') ? 'pci-ohci' : undefined)
  return def.os.arch === 'aarch64' ? (xhci ?? uhci) : uhci
}

function checkUsb({ model, ports = 0 }: ControllerDef, def: DomainDef): void {
  if (model === 'qusb1' || model === 'qusb2') {
    throw unsupported(`USB controller model type 'qusb1' or 'qusb2' is not supported in ${def.type}`)
  }
  if ((model === 'nec-xhci' || model === 'qemu-xhci') && ports > XHCI_MAX_PORTS) {
    throw unsupported(`'${model}' controller only supports up to '${XHCI_MAX_PORTS}' ports`)
  }
}

function checkPci({ model, index, target }: ControllerDef, def: DomainDef): void {
  if ((model === 'pci-root' || model === 'pcie-root') && index !== 0 && !isPseries(def)) {
    throw fail('VIR_ERR_XML_ERROR', 'pci-root and pcie-root controllers should have index 0')
  }
  if (model === 'pci-expander-bus' && !isI440fx(def)) {
    throw unsupported('pci-expander-bus controllers are only supported on 440fx-based machinetypes')
  }
  if (model === 'pcie-expander-bus' && !isQ35(def) && !isArmVirt(def)) {
    throw unsupported('pcie-expander-bus controllers are not supported with this machine type')
  }
  const cells = numaCells(def).length
  if (target?.node !== undefined && target.node >= cells) {
    throw fail(
      'VIR_ERR_XML_ERROR',
      `${model} with index ${index} is configured for a NUMA node (${target.node}) not present in the domain's <cpu><numa> array (${cells})`
    )
  }
}
