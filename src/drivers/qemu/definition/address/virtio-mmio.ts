// Memory-mapped virtio devices of ARM and RISC-V boards (qemuDomainAssignVirtioMMIOAddresses).
import { eachDeviceInfo } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import type { QemuContext } from '../../context.ts'
import { isArm, isArmVirt, isRiscv, isRiscvVirt } from '../../machine-type.ts'
import { hasPcieRoot } from './pci-connect.ts'
import { setVirtioAddressType } from './virtio-devices.ts'

/** PCI is preferred where it is to be had, unless the user has put a device on virtio-mmio already. */
export function assignVirtioMmioAddresses(def: DomainDef, { qemu }: QemuContext): void {
  if (!isArm(def) && !isRiscv(def)) return
  const isVexpress = def.os.machine?.startsWith('vexpress-') ?? false
  if (!isVexpress && !isArmVirt(def) && !isRiscvVirt(def)) return
  const hasPorts = qemu.has('pcie-root-port') || qemu.has('ioh3420')
  if (hasPcieRoot(def) && hasPorts && !hasMmio(def)) setVirtioAddressType(def, 'pci')
  else if (qemu.has('virtio-mmio')) setVirtioAddressType(def, 'virtio-mmio')
}

function hasMmio({ devices }: DomainDef): boolean {
  for (const [, { address }] of eachDeviceInfo(devices)) if (address?.type === 'virtio-mmio') return true
  return false
}
