// QEMU's domain-wide defaults (qemuDomainDefPostParse).
import { arch as nodeArch } from 'node:os'
import { emptyCpu } from '../../../conf/domain/cpu.ts'
import { initialMemoryKiB } from '../../../conf/domain/memory.ts'
import { fillNumaCpus, numaCells } from '../../../conf/domain/numa.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { defaultEmulator } from '../capabilities/emulator.ts'
import { checkVcpuStates } from '../command/vcpu.ts'
import type { QemuContext } from '../context.ts'
import { defaultCpu, postParseCpu } from '../cpu/postparse.ts'
import { addDefaultAudio } from '../device/audio.ts'
import { needsEim } from '../device/iommu.ts'
import { postParseFirmware } from '../firmware/choose.ts'
import { isArmVirt, isQ35, isS390Ccw } from '../machine-type.ts'
import { addDefaultDevices } from './default-devices.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const MIB = 1024n * 1024n
const HOST_ARCH = nodeArch() === 'arm64' ? 'aarch64' : 'x86_64'
/** Architecture and emulator, before anything can be asked of it. */
export function postParseBasic(def: DomainDef): void {
  def.os.arch ??= HOST_ARCH
  def.devices.emulator ??= defaultEmulator(HOST_ARCH, def.os.arch)
}

/** Domain-wide defaults, and the checks between them, in libvirt's order. */
const DEFAULTS: ((def: DomainDef, context: QemuContext, abiUpdate: boolean) => void)[] = [
  preferredMachine,
  canonicalMachine,
  postParseFirmware,
  addDefaultDevices,
  addDefaultAudio,
  defaultCpu,
  defaultGic,
  defaultIoapic,
  checkVcpuStates,
  postParseCpu,
  checkTseg,
  addNumaCell,
  fillNumaCpus
]

/**
 * Fills QEMU's domain-wide defaults into a definition (qemuDomainDefPostParse).
 * @param abiUpdate into a new one, not one that is read again
 */
export function postParseDomain(def: DomainDef, context: QemuContext, abiUpdate: boolean): void {
  for (const fill of DEFAULTS) fill(def, context, abiUpdate)
}

/** QEMU's own choice where the user names no machine. */
function preferredMachine(def: DomainDef, { qemu }: QemuContext): void {
  if (def.os.machine !== undefined) return
  const preferred = (qemu.machines.find(({ isDefault }) => isDefault) ?? qemu.machines[0])?.name
  if (preferred === undefined) {
    throw fail('VIR_ERR_INVALID_ARG', `could not get preferred machine for ${qemu.binary} type=${def.type}`)
  }
  def.os.machine = preferred
}

/** Replaces an alias of a machine by its present meaning, as another QEMU has another version for it. */
function canonicalMachine({ os }: DomainDef, { qemu }: QemuContext): void {
  os.machine = qemu.machines.find(({ alias }) => alias === os.machine)?.name ?? os.machine
}

/** ARM's virt machine always has an interrupt controller; version 2 is the one emulation does best. */
function defaultGic(def: DomainDef): void {
  const { features } = def
  if (features?.gic ? features.gic.version === undefined : isArmVirt(def)) {
    def.features = { ...features, gic: { version: '2' } }
  }
}

/** Remapped interrupts need half of the I/O APIC in QEMU. */
function defaultIoapic(def: DomainDef): void {
  const [iommu] = def.devices.iommus
  if (!iommu || !(iommu.driver?.intremap || needsEim(def)) || def.features?.ioapic) return
  def.features = { ...def.features, ioapic: 'qemu' }
}

/** Only Q35 keeps a TSEG of a size that can be chosen, in MiB (qemuDomainDefTsegPostParse). */
function checkTseg(def: DomainDef, { qemu }: QemuContext): void {
  const bytes = def.features?.smm?.tsegBytes
  if (bytes === undefined) return
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  if (!isQ35(def)) throw unsupported('SMM TSEG is only supported with q35 machine type')
  if (!qemu.has('mch.extended-tseg-mbytes')) {
    throw unsupported('Setting TSEG size is not supported with this QEMU binary')
  }
  if (bytes % MIB !== 0n) throw unsupported('SMM TSEG size must be divisible by 1 MiB')
}

/**
 * Memory hotplug needs a NUMA cell: a new guest without any gets one with all memory that is no device's
 * (qemuDomainDefNumaAutoAdd).
 * @throws VIR_ERR_XML_ERROR if the devices alone have more memory than the guest
 */
function addNumaCell(def: DomainDef, _: QemuContext, abiUpdate: boolean): void {
  if (!abiUpdate || !def.maxMemory || isS390Ccw(def) || numaCells(def).length > 0) return
  const memoryKiB = initialMemoryKiB(def)
  if (memoryKiB < 0) throw fail('VIR_ERR_XML_ERROR', 'Total size of memory devices exceeds the total memory size')
  def.cpu = { ...(def.cpu ?? emptyCpu()), numa: { cells: [{ memoryKiB, caches: [] }], interconnects: [] } }
  for (const { model, target } of def.devices.memories) {
    if (model !== 'virtio-pmem' && model !== 'sgx-epc') target.node ??= 0
  }
}
