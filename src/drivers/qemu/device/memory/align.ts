// Memory hotplug: what a guest with memory devices must have, slots for them, sizes QEMU takes.
import type { MemoryDef } from '../../../../conf/devices/memory.ts'
import { initialMemoryKiB } from '../../../../conf/domain/memory.ts'
import { numaCells } from '../../../../conf/domain/numa.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { isPpc64, isS390 } from '../../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

const isModule = ({ model }: MemoryDef) => model === 'dimm' || model === 'nvdimm'

/**
 * qemuDomainDefValidateMemoryHotplug
 * @param added a device that a running guest gets; those it has are not checked again then
 * @throws VIR_ERR_CONFIG_UNSUPPORTED
 */
export function validateMemoryHotplug(def: DomainDef, added?: MemoryDef): void {
  const { maxMemory, devices } = def
  const memories = added ? [...devices.memories, added] : devices.memories
  if (added?.model === 'sgx-epc') throw unsupported(`hotplug is not supported for the ${added.model} device`)
  if (added) validateDevice(added, def, maxMemory?.slots ?? 0)
  if (!maxMemory) {
    if (memories.length === 0) return
    throw unsupported("cannot use/hotplug a memory device when domain 'maxMemory' is not defined")
  }
  if (!isPpc64(def) && !isS390(def) && numaCells(def).length === 0) {
    throw unsupported('At least one numa node has to be configured when enabling memory hotplug')
  }
  if (!added) for (const dev of memories) validateDevice(dev, def, maxMemory.slots)
  const needed = memories.filter(isModule).length
  if (needed > maxMemory.slots) {
    throw unsupported(
      `count of memory devices requiring memory slots '${needed}' exceeds slots count '${maxMemory.slots}'`
    )
  }
  const hotplug = memories.reduce((sum, { target }) => sum + target.sizeKiB, 0)
  if (hotplug > maxMemory.sizeKiB - initialMemoryKiB(def)) {
    throw unsupported('memory device total size exceeds hotplug space')
  }
}

/** qemuDomainDefValidateMemoryHotplugDevice; enclave memory is no hotplug device. */
function validateDevice(dev: MemoryDef, def: DomainDef, slots: number): void {
  const { model, address, target } = dev
  if (model === 'sgx-epc') return
  const cells = numaCells(def).length
  if (isModule(dev)) {
    if (address && address.type !== 'dimm') {
      throw unsupported("only 'dimm' addresses are supported for the pc-dimm device")
    }
    if (address && address.slot >= slots) {
      throw unsupported(`memory device slot '${address.slot}' exceeds slots count '${slots}'`)
    }
  } else if (address && address.type !== 'pci' && !(model === 'virtio-mem' && address.type === 'ccw')) {
    const kinds = model === 'virtio-mem' ? "'pci' and 'ccw'" : "'pci'"
    throw unsupported(`only ${kinds} addresses are supported for the ${model} device`)
  }
  if (model !== 'virtio-pmem' && cells > 0 && target.node === undefined) {
    throw unsupported('target NUMA node needs to be specified for memory device')
  }
}

/** Slots for modules that have none, lowest first (qemuDomainAssignMemorySlots). */
export function assignMemorySlots({ maxMemory, devices }: DomainDef): void {
  if (!maxMemory) return
  const modules = devices.memories.filter(isModule)
  const used = new Set(modules.flatMap(({ address }) => (address?.type === 'dimm' ? [address.slot] : [])))
  let slot = 0
  for (const dev of modules) {
    if (dev.address?.type === 'dimm') continue
    while (used.has(slot)) slot++
    if (slot >= maxMemory.slots) throw fail('VIR_ERR_INTERNAL_ERROR', 'failed to find an empty memory slot')
    used.add(slot)
    dev.address = { type: 'dimm', slot }
  }
}

const ALIGN_KIB = 1024
const MODULE_ALIGN_KIB = 2048
const PPC64_ALIGN_KIB = 256 * 1024

const roundUp = (kib: number, align: number) => Math.ceil(kib / align) * align

/** At a start all sizes become multiples of what QEMU takes (qemuDomainAlignMemorySizes). */
export function alignMemory(def: DomainDef): void {
  const align = isPpc64(def) ? PPC64_ALIGN_KIB : ALIGN_KIB
  const moduleAlign = isPpc64(def) ? PPC64_ALIGN_KIB : MODULE_ALIGN_KIB
  const initial = initialMemoryKiB(def)
  const cells = numaCells(def)
  for (const cell of cells) cell.memoryKiB = roundUp(cell.memoryKiB, align)
  const initialKiB = cells.reduce((sum, cell) => sum + cell.memoryKiB, 0) || roundUp(initial, align)
  if (def.maxMemory) def.maxMemory.sizeKiB = roundUp(def.maxMemory.sizeKiB, align)
  let hotplugKiB = 0
  for (const dev of def.devices.memories) {
    if (isPpc64(def) && dev.model === 'nvdimm') alignPpc64Nvdimm(dev)
    else dev.target.sizeKiB = roundUp(dev.target.sizeKiB, moduleAlign)
    hotplugKiB += dev.target.sizeKiB
  }
  def.memoryKiB = initialKiB + hotplugKiB
}

/** The size of a device that is meant for a running guest (qemuDomainMemoryDeviceAlignSize). */
export function alignMemoryDevice(dev: MemoryDef, def: DomainDef): void {
  if (isPpc64(def)) alignPpc64Memory(dev, def)
  else dev.target.sizeKiB = roundUp(dev.target.sizeKiB, ALIGN_KIB)
}

/** pSeries firmware wants whole 256 MiB; alignment is known when the guest is defined already. */
export function alignPpc64Memory(dev: MemoryDef, def: DomainDef): void {
  if (!isPpc64(def)) return
  if (dev.model === 'nvdimm') alignPpc64Nvdimm(dev)
  else dev.target.sizeKiB = roundUp(dev.target.sizeKiB, PPC64_ALIGN_KIB)
}

/** An NVDIMM's contents must not be exceeded: its guest visible part shrinks (qemuDomainNVDimmAlignSizePseries). */
function alignPpc64Nvdimm({ target }: MemoryDef): void {
  const label = target.labelSizeKiB ?? 0
  const visible = target.sizeKiB - label
  if (visible < PPC64_ALIGN_KIB) {
    throw fail('VIR_ERR_XML_ERROR', 'minimum target size for the NVDIMM must be 256MB plus the label size')
  }
  target.sizeKiB = Math.floor(visible / PPC64_ALIGN_KIB) * PPC64_ALIGN_KIB + label
}
