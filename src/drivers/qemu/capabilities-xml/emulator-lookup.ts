// Lookup of the emulator, machine and accelerator that a call about capabilities means (virQEMUCapsCacheLookupDefault).
import { architecture } from '../../../conf/domain/os-type.ts'
import { type VirtType, virtType } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { optional, text } from '../../../conf/wire.ts'
import type { Connect } from '../../connection.ts'
import { findEmulator } from '../capabilities/emulator.ts'
import { type Qemu, qemuCapabilities } from '../capabilities/qemu.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const invalid = (message: string) => fail('VIR_ERR_INVALID_ARG', message)

/** Arguments that name an emulator by its parts, all may be left out. */
export const emulatorArgs = {
  arch: optional(text('architecture; absent: the host’s')),
  machine: optional(text('machine type; absent: the emulator’s preferred one')),
  virttype: optional(text('kvm or qemu; absent: kvm where the host has it'))
}

export interface Wanted {
  emulator?: string | undefined
  arch?: string | undefined
  machine?: string | undefined
  virttype?: string | undefined
}

export interface Found {
  qemu: Qemu
  arch: string
  type: VirtType
  /** canonical name; undefined where the emulator has no machine for that type */
  machine: string | undefined
}

/** Architectures whose emulators are taken for each other's. */
const RELATED = [/^(i686|x86_64)$/, /^ppc/, /^(arm|aarch64)/, /^s390/]

const related = (a: string, b: string) =>
  a === b || RELATED.some(architectures => architectures.test(a) && architectures.test(b))

/** Machines as libvirt lists them: QEMU's default first. */
export function machinesInOrder({ machines }: Qemu): Qemu['machines'] {
  return [...machines.filter(({ isDefault }) => isDefault), ...machines.filter(({ isDefault }) => !isDefault)]
}

/**
 * The emulator of a host as guests of that type see it. Capabilities are those with its fastest accelerator, as libvirt
 * probes that first; machines and CPUs are those with the accelerator of the type.
 */
export async function emulatorFor(connect: Connect, binary: string, type: VirtType): Promise<Qemu> {
  const fastest = await qemuCapabilities(binary, connect.cacheDir, 'kvm')
  if (type === 'kvm') return fastest
  const probed = await qemuCapabilities(binary, connect.cacheDir, type)
  // hvf is macOS's accelerator: QEMU here knows no CPUs for it
  const own: Qemu = type === 'hvf' ? { ...probed, cpuModels: [], hostCpu: undefined } : probed
  return { ...own, has: fastest.has, ...(fastest.hyperv && { hyperv: fastest.hyperv }) }
}

/**
 * The emulator, machine and type wanted, those that are left out chosen as libvirt does.
 * @throws VIR_ERR_INVALID_ARG, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_SYSTEM_ERROR
 */
export async function lookUpEmulator(connect: Connect, wanted: Wanted): Promise<Found> {
  const asked = wanted.virttype === undefined ? undefined : virtType.parse(wanted.virttype)
  if (wanted.virttype !== undefined && asked === undefined) throw invalid(`unknown virttype: ${wanted.virttype}`)
  const arch = wanted.arch === undefined ? connect.hostArch : architecture.parse(wanted.arch)
  if (arch === undefined) throw invalid(`unknown architecture: ${wanted.arch}`)
  const binary = wanted.emulator ?? findEmulator(connect.hostArch, arch)
  if (binary === undefined) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unable to find any emulator to serve '${wanted.arch}' architecture`)
  }
  const { kvm, arch: served } = await qemuCapabilities(binary, connect.cacheDir, 'kvm')
  if (!related(served, arch)) {
    throw invalid(`architecture from emulator '${served}' doesn't match given architecture '${arch}'`)
  }
  const type = asked === undefined || asked === 'none' ? (kvm ? 'kvm' : 'qemu') : asked
  if (type !== 'qemu' && !kvm) {
    const accelerator = type === 'kvm' || type === 'hvf' ? type : 'tcg'
    throw invalid(`the accel '${accelerator}' is not supported by '${binary}' on this host`)
  }
  const qemu = await emulatorFor(connect, binary, type)
  if (wanted.machine === undefined) return { qemu, arch, type, machine: machinesInOrder(qemu)[0]?.name }
  const machine = qemu.machine(wanted.machine)?.name
  if (machine === undefined) {
    throw invalid(`the machine '${wanted.machine}' is not supported by emulator '${binary}'`)
  }
  return { qemu, arch, type, machine }
}
