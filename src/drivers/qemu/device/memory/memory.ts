// <memory> below <devices>: QEMU's checks and arguments.
import { existsSync } from 'node:fs'
import { sameAddress } from '../../../../conf/devices/device-address.ts'
import { hasDeviceAt } from '../../../../conf/devices/index.ts'
import { type MemoryDef, type MemoryModel, memory, sameMemory } from '../../../../conf/devices/memory.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { transparentHugePageKiB } from '../../../../host/memory.ts'
import type { Capability } from '../../capabilities/signs.ts'
import { addressProps } from '../../parts/address.ts'
import type { Builder, DeviceProps } from '../../parts/builder.ts'
import { leave, missing, type QemuFamily } from '../family.ts'
import { alignPpc64Memory } from './align.ts'
import { addMemoryObject, deviceMemory, memoryBytes, memoryObject } from './backend.ts'
import { memoryFile } from './files.ts'
import { pageSizes } from './pages.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failConf = errorsFrom('VIR_FROM_DOMAIN')

/** Without it QEMU says it has no enclave memory to give. */
const SGX_VEPC = '/dev/sgx_vepc'

/** QEMU's device for a model, what it needs of QEMU, and libvirt's words where it is missing. */
const MODELS: Record<MemoryModel, { driver?: string; capability: Capability; missing: string }> = {
  dimm: {
    driver: 'pc-dimm',
    capability: 'pc-dimm',
    missing: "memory hotplug isn't supported by this QEMU binary"
  },
  nvdimm: { driver: 'nvdimm', capability: 'nvdimm', missing: "nvdimm isn't supported by this QEMU binary" },
  'virtio-pmem': {
    driver: 'virtio-pmem-pci',
    capability: 'virtio-pmem-pci',
    missing: "virtio-pmem isn't supported by this QEMU binary"
  },
  'virtio-mem': {
    driver: 'virtio-mem-pci',
    capability: 'virtio-mem-pci',
    missing: "virtio-mem isn't supported by this QEMU binary"
  },
  'sgx-epc': { capability: 'sgx-epc', missing: "sgx epc isn't supported by this QEMU binary" }
}

export const qemuMemory: QemuFamily<MemoryDef> = {
  postParse: alignPpc64Memory,
  validate(dev, _def, { qemu }) {
    if (dev.model === 'virtio-mem') checkBlocks(dev)
    const { capability, missing } = MODELS[dev.model]
    const there = qemu.has(capability) && (dev.model !== 'sgx-epc' || existsSync(SGX_VEPC))
    if (!there) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', missing)
    if (dev.target.dynamicMemslots && !qemu.has('virtio-mem-pci.dynamic-memslots')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'virtio-mem does not support dynamicMemslots')
    }
    if (dev.model === 'nvdimm' && dev.target.readonly && !qemu.has('nvdimm.unarmed')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'nvdimm readonly property is not available with this QEMU binary')
    }
  },
  add: addMemory,
  host: memoryFile,
  // virDomainMemoryRemove
  unplug(dev, def) {
    leave('memories')(dev, def)
    def.memoryKiB -= dev.target.sizeKiB
  },
  config: {
    attach: attachMemory,
    // the place of one that has none yet is no matter
    find: (dev, { devices: { memories } }) =>
      memories.find(one => memory.same?.(dev, one)) ?? memories.find(one => !one.address && sameMemory(dev, one)),
    noneToDetach: missing('matching memory device was not found'),
    detach(dev, def) {
      qemuMemory.unplug?.(dev, def)
      if (def.currentMemoryKiB !== undefined) def.currentMemoryKiB -= dev.target.sizeKiB
    },
    // virDomainMemoryFindByDeviceInfo
    findToUpdate: ({ address, alias }, { devices }) =>
      devices.memories.find(one => sameAddress(one.address, address) && (alias === undefined || one.alias === alias)),
    noneToUpdate: missing('memory not found', 'VIR_ERR_INVALID_ARG')
  },
  live: async () => (await import('./live.ts')).liveMemory
}

/** A module takes a slot, and adds to the guest's memory (virDomainMemoryInsert). */
function attachMemory(dev: MemoryDef, def: DomainDef): void {
  const { devices, maxMemory } = def
  if (devices.memories.length === (maxMemory?.slots ?? 0)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'no free memory device slot available')
  }
  if (dev.address && hasDeviceAt(def, dev.address)) {
    throw failConf('VIR_ERR_OPERATION_INVALID', 'Domain already contains a device with the same address')
  }
  devices.memories.push(dev)
  def.memoryKiB += dev.target.sizeKiB
  if (def.currentMemoryKiB !== undefined) def.currentMemoryKiB += dev.target.sizeKiB
}

/** Modules are named by their slot, the others in order (qemuAssignDeviceMemoryAlias). */
export function assignMemoryAliases({ devices }: DomainDef): void {
  const { memories } = devices
  for (const dev of memories) {
    if (dev.alias !== undefined) continue
    const prefix = dev.model.replace('-', '').replace('sgx', '')
    const numbers = memories.map(({ alias }) => Number(alias?.startsWith(prefix) ? alias.slice(prefix.length) : -1))
    const number = dev.address?.type === 'dimm' ? dev.address.slot : Math.max(-1, ...numbers) + 1
    dev.alias = `${prefix}${number}`
  }
}

/** virtio-mem's part of virDomainMemoryDefValidate. @throws VIR_ERR_XML_DETAIL */
function checkBlocks({ target }: MemoryDef): void {
  const { sizeKiB, blockKiB = 0, requestedKiB = 0 } = target
  const bad = (message: string) => failConf('VIR_ERR_XML_DETAIL', message)
  if (requestedKiB > sizeKiB) {
    throw bad(`requested size must be smaller than or equal to @size (${sizeKiB}KiB)`)
  }
  const block = BigInt(blockKiB)
  if (block === 0n || (block & (block - 1n)) !== 0n) throw bad('block size must be a power of two')
  if (blockKiB < transparentHugePageKiB()) {
    throw bad(`block size too small, must be at least ${transparentHugePageKiB()}KiB`)
  }
  if (requestedKiB % blockKiB !== 0) throw bad('requested size must be an integer multiple of block size')
  if ((target.address ?? 0n) % (block * 1024n) !== 0n) {
    throw bad('memory device address must be aligned to blocksize')
  }
}

/** Enclave memory is no device but the machine's. */
function addMemory(to: Builder, dev: MemoryDef): void {
  addMemoryObject(to, memoryObject(to, `mem${dev.alias}`, deviceMemory(dev)))
  const { driver } = MODELS[dev.model]
  if (driver !== undefined) to.device(memoryDeviceProps(to, driver, dev))
}

/** -device of one memory device (qemuBuildMemoryDeviceProps). */
function memoryDeviceProps(to: Builder, driver: string, dev: MemoryDef): DeviceProps {
  const { target, alias, uuid } = dev
  const amount = (kib: number | undefined) => (kib ? memoryBytes(kib) : undefined)
  const prealloc =
    dev.model === 'virtio-mem' &&
    to.qemu.has('virtio-mem-pci.prealloc') &&
    pageSizes(to.def, deviceMemory(dev)).prealloc
  return {
    driver,
    node: target.node,
    'label-size': amount(target.labelSizeKiB),
    'block-size': amount(target.blockKiB),
    'requested-size': amount(target.requestedKiB),
    uuid,
    unarmed: target.readonly,
    memdev: `mem${alias}`,
    prealloc: prealloc || undefined,
    memaddr: target.address,
    'dynamic-memslots': target.dynamicMemslots,
    id: alias,
    ...addressProps(to, dev)
  }
}
