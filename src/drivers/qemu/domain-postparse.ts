// QEMU's domain-wide defaults (qemuDomainDefPostParse).
import { arch as nodeArch } from 'node:os'
import type { DomainDef } from '../../conf/domain-def.ts'
import { errorsFrom } from '../../conf/error.ts'
import type { QemuContext } from './context.ts'
import { addDefaultDevices } from './default-devices.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const HOST_ARCH = nodeArch() === 'arm64' ? 'aarch64' : 'x86_64'
/** Names QEMU's binaries have where the architecture's name differs. */
const BINARY_ARCH: Record<string, string> = { i686: 'i386', armv7l: 'arm', ppc64le: 'ppc64' }

/** Architecture and emulator, before anything can be asked of it. */
export function postParseBasic(def: DomainDef): void {
  def.os.arch ??= HOST_ARCH
  def.devices.emulator ??= `/usr/bin/qemu-system-${BINARY_ARCH[def.os.arch] ?? def.os.arch}`
}

/** libvirt's steps, in its order. */
const STEPS: ((def: DomainDef, context: QemuContext) => void)[] = [
  chooseMachine,
  addDefaultDevices,
  addDefaultAudio,
  defaultCpu
]

export function postParseDomain(def: DomainDef, context: QemuContext): void {
  for (const step of STEPS) step(def, context)
}

/** The preferred machine where none is named, and an alias replaced by what it stands for. */
function chooseMachine(def: DomainDef, { qemu }: QemuContext): void {
  const preferred = qemu.machines.find(machine => machine.isDefault)?.name
  const wanted = def.os.machine ?? preferred
  if (wanted === undefined)
    throw fail('VIR_ERR_INVALID_ARG', `could not get preferred machine for ${qemu.binary} type=${def.type}`)
  def.os.machine = qemu.machine(wanted)?.name ?? wanted
}

/** Sound needs a host side: Spice takes it if it is there, else it goes nowhere (qemuDomainDefAddDefaultAudioBackend). */
function addDefaultAudio({ devices }: DomainDef): void {
  if (devices.audios.length > 0) return
  const spice = devices.graphics.some(({ type }) => type === 'spice')
  devices.audios.push({ id: 1, type: spice ? 'spice' : 'none' })
}

/** TCG guests without a CPU get the machine's own, so that it stays the same over upgrades. */
function defaultCpu(def: DomainDef, { qemu }: QemuContext): void {
  if (!/^(i686|x86_64)$/.test(def.os.arch ?? '') || (def.cpu && (def.cpu.mode !== undefined || def.cpu.model))) return
  const type = qemu.machine(def.os.machine!)?.defaultCpuType
  if (type === undefined) return
  const name = type.replace(/-(x86_64|i386)-cpu$/, '')
  def.cpu = {
    features: [],
    ...def.cpu,
    mode: 'custom',
    match: 'exact',
    check: 'none',
    model: { fallback: 'forbid', name }
  }
}
