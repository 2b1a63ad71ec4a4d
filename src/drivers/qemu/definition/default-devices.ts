// The devices a machine has whether the user names them or not (qemuDomainDefAddDefaultDevices).
import { addUsbController, ensureController, findController } from '../../../conf/controllers.ts'
import type { UsbModel } from '../../../conf/devices/controller-models.ts'
import type { InputDef } from '../../../conf/devices/input.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuContext } from '../context.ts'
import { canRemapManyVcpus, needsEim } from '../device/iommu.ts'
import { hasPs2, isArmVirt, isI440fx, isMipsMalta, isPseries, isQ35, isRiscvVirt } from '../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Devices a machine has by default. */
interface Defaults {
  /** a USB controller: of this model, of the default one, or none at all */
  usb: UsbModel | 'default' | false
  sata?: boolean
  pciRoot?: 'pci-root' | 'pcie-root'
  memballoon?: boolean
  /** mouse and keyboard where there is a screen */
  usbInput?: boolean
  /** the firmware or machine tells of a guest's panic */
  panic?: 'pseries' | 's390'
}

const pcie = (qemu: Qemu) => (qemu.has('gpex-pcihost') ? 'pcie-root' : undefined)

/** Q35 has USB 3, or else USB 2. */
function q35Usb(qemu: Qemu): UsbModel | false {
  if (qemu.has('qemu-xhci')) return 'qemu-xhci'
  if (qemu.has('nec-usb-xhci')) return 'nec-xhci'
  return qemu.has('ich9-usb-ehci1') && 'ich9-ehci1'
}

function x86(def: DomainDef, qemu: Qemu): Defaults {
  const memballoon = true
  if (def.os.machine === 'isapc') return { usb: false, memballoon }
  if (isQ35(def)) return { usb: q35Usb(qemu), sata: true, pciRoot: 'pcie-root', memballoon }
  return { usb: 'default', memballoon, ...(isI440fx(def) && { pciRoot: 'pci-root' }) }
}

const arm = (def: DomainDef, qemu: Qemu): Defaults => ({
  usb: false,
  pciRoot: isArmVirt(def) ? pcie(qemu) : undefined
})
const ppc64 = (def: DomainDef): Defaults => ({
  usb: 'default',
  pciRoot: 'pci-root',
  memballoon: true,
  usbInput: true,
  panic: isPseries(def) ? 'pseries' : undefined
})
const withPci = (): Defaults => ({ usb: 'default', pciRoot: 'pci-root', memballoon: true })
const riscv = (def: DomainDef, qemu: Qemu): Defaults => ({
  usb: false,
  pciRoot: isRiscvVirt(def) ? pcie(qemu) : undefined,
  memballoon: true
})
const s390 = (_def: DomainDef, qemu: Qemu): Defaults => ({
  usb: false,
  pciRoot: qemu.has('zpci') ? 'pci-root' : undefined,
  memballoon: true,
  panic: 's390'
})
const mips = (def: DomainDef): Defaults => ({
  usb: 'default',
  pciRoot: isMipsMalta(def) ? 'pci-root' : undefined,
  memballoon: true
})
const ANY: Defaults = { usb: 'default', memballoon: true }

const DEFAULTS: Record<string, (def: DomainDef, qemu: Qemu) => Defaults> = {
  i686: x86,
  x86_64: x86,
  armv6l: def => ({ usb: false, pciRoot: def.os.machine === 'versatilepb' ? 'pci-root' : undefined }),
  armv7l: arm,
  aarch64: arm,
  ppc64,
  ppc64le: ppc64,
  alpha: withPci,
  ppc: withPci,
  ppcemb: withPci,
  sh4: withPci,
  sh4eb: withPci,
  sparc64: withPci,
  riscv32: riscv,
  riscv64: riscv,
  s390,
  s390x: s390,
  sparc: () => ({ usb: false }),
  mips,
  mipsel: mips,
  mips64: mips,
  mips64el: mips
}

/** What q35 machines have by themselves, or need for many vCPUs. */
function addOfQ35(def: DomainDef, qemu: Qemu): void {
  const { watchdogs, iommus } = def.devices
  if (!watchdogs.some(({ model }) => model === 'itco')) {
    watchdogs.push({ model: 'itco', action: watchdogs[0]?.action ?? 'reset' })
  }
  if (iommus.length === 0 && needsEim(def) && canRemapManyVcpus(qemu)) {
    iommus.push({ model: 'intel', driver: { intremap: true, eim: true } })
  }
}

/** Adds what is missing. @throws VIR_ERR_XML_ERROR when PCI controller 0 is not the machine's root */
export function addDefaultDevices(def: DomainDef, { qemu }: QemuContext): void {
  const { devices } = def
  if (hasPs2(def, qemu) && def.features?.ps2 !== false) {
    ensureInput(def, 'mouse', 'ps2')
    ensureInput(def, 'keyboard', 'ps2')
  }
  const { usb, sata, pciRoot, memballoon, usbInput, panic } = DEFAULTS[def.os.arch ?? '']?.(def, qemu) ?? ANY
  if (usb && !findController(def, 'usb', 0)) addUsbController(def, 0, usb === 'default' ? undefined : usb)
  if (sata) ensureController(def, 'sata', 0)
  if (pciRoot) ensurePciRoot(def, pciRoot)
  if (memballoon && devices.memballoons.length === 0) devices.memballoons.push({ model: 'virtio' })
  if (usbInput && devices.graphics.length > 0) {
    ensureInput(def, 'keyboard', 'usb')
    const hasTablet = devices.inputs.some(({ type, bus }) => type === 'tablet' && bus === 'usb')
    if (!hasTablet) ensureInput(def, 'mouse', 'usb')
  }
  const hasPanic = devices.panics.some(({ model }) => model === undefined || model === panic)
  if (panic && !hasPanic) devices.panics.push({})
  if (isQ35(def)) addOfQ35(def, qemu)
}

function ensurePciRoot(def: DomainDef, model: 'pci-root' | 'pcie-root'): void {
  const { controller } = ensureController(def, 'pci', 0, model)
  if (controller.model === model) return
  throw fail(
    'VIR_ERR_XML_ERROR',
    `The PCI controller with index='0' must be model='${model}' for this machine type, but model='${controller.model ?? '(null)'}' was found instead`
  )
}

/** virDomainDefMaybeAddInput */
function ensureInput({ devices }: DomainDef, type: InputDef['type'], bus: InputDef['bus']): void {
  if (!devices.inputs.some(input => input.type === type && input.bus === bus)) devices.inputs.push({ type, bus })
}
