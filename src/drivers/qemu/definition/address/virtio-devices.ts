// virtio devices on machines where they are not PCI devices by themselves (qemuDomainPrimeVirtioDeviceAddresses).
import { type AnyDevice, type DeviceKind, type Devices, eachDeviceInfo } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import type { QemuContext } from '../../context.ts'
import { isArm, isArmVirt, isRiscv, isRiscvVirt } from '../../machine-type.ts'
import { hasPcieRoot } from './pci-connect.ts'

const always = () => true
const isVirtioNet = (model: string | undefined) =>
  model === 'virtio' || model === 'virtio-transitional' || model === 'virtio-non-transitional'

/** Families with virtio devices, and which of them are. */
const VIRTIO_DEVICES: { [K in DeviceKind]?: (dev: Devices[K][number]) => boolean } = {
  disks: ({ target }) => target?.bus === 'virtio',
  interfaces: ({ model }) => isVirtioNet(model),
  videos: ({ model }) => model?.type === 'virtio',
  inputs: ({ bus }) => bus === 'virtio',
  controllers: ({ type }) => type === 'virtio-serial' || type === 'scsi',
  hostdevs: ({ source }) => source.type === 'scsi_host',
  memballoons: ({ model }) => model !== 'none',
  rngs: always,
  sounds: ({ model }) => model === 'virtio',
  cryptos: always,
  memories: ({ model }) => model === 'virtio-pmem' || model === 'virtio-mem'
}
/** Families of virtio devices that get such an address on s390 only. */
const CCW_ONLY: DeviceKind[] = ['filesystems', 'vsocks']

/** Declares virtio devices without an address to be of that type. */
export function setVirtioAddressType({ devices }: DomainDef, type: 'pci' | 'ccw' | 'virtio-mmio'): void {
  const empty = (): AnyDevice['address'] =>
    type === 'pci' ? { type, domain: 0, bus: 0, slot: 0, function: 0 } : { type }
  const rows = Object.entries(VIRTIO_DEVICES) as [DeviceKind, (dev: unknown) => boolean][]
  const more = type === 'ccw' ? CCW_ONLY.map(kind => [kind, always] as const) : []
  for (const [kind, isVirtio] of [...rows, ...more]) {
    for (const dev of devices[kind] as AnyDevice[]) if (isVirtio(dev)) dev.address ??= empty()
  }
}

/**
 * Puts virtio devices of ARM and RISC-V boards on PCI where the board has it, else, and where the user has put one there
 * already, on virtio-mmio (qemuDomainAssignVirtioMMIOAddresses).
 */
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
