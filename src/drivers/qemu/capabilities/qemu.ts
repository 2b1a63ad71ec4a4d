// Capabilities of a QEMU binary (virQEMUCaps): probed once, kept on disk until the binary changes.
import { accessSync, constants, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { dirname, join } from 'node:path'
import type { VirtType } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { formatJson, parseJson } from '../../../conf/json.ts'
import { randomUUID } from '../../../conf/random.ts'
import { cpuIdentity } from '../../../host/cpuinfo.ts'
import { makePrivateDirectory } from '../../../state/store.ts'
import type { Accelerator, HostCpu, Probed, SevHost, SgxHost } from './probe.ts'
import { CAPABILITY_SIGNS, type Capability } from './signs.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Form of the cache files; files of another form are made anew. */
const CACHE_VERSION = 7

/** A QEMU binary as the rest of the driver sees it. */
export interface Qemu {
  /** path of the binary */
  binary: string
  /** 7.2.22 is 7002022 */
  version: number
  /** the distributor's package version, if given */
  package: string
  /** libvirt's name of the target: x86_64, aarch64, … */
  arch: string
  /** this binary can use /dev/kvm here */
  kvm: boolean
  machines: Machine[]
  cpuModels: CpuModel[]
  /** the CPU this accelerator offers at most; absent where QEMU does not tell */
  hostCpu?: HostCpu
  /** Hyper-V enlightenments the accelerator can give, under libvirt's names; absent where CPUs have none */
  hyperv?: string[]
  /** of AMD hosts that can encrypt guest memory, and a QEMU that can use it */
  sev?: SevHost
  /** of Intel hosts whose guests can have enclaves */
  sgx?: SgxHost
  has(capability: Capability): boolean
  /** the machine of that name or alias */
  machine(name: string): Machine | undefined
}

export interface Machine {
  name: string
  alias?: string
  isDefault: boolean
  cpuMax: number
  hotpluggableCpus: boolean
  defaultCpuType?: string
  defaultRamId?: string
  numaMemSupported: boolean
  /** takes `acpi` as an option; absent where QEMU does not tell (before 8.2) */
  acpi?: boolean
  deprecated: boolean
}

export interface CpuModel {
  name: string
  type: string
  deprecated: boolean
  /** features the model needs and this host with this accelerator lacks, under QEMU's names, space between */
  blockers: string
}

/** The state of the binary and the host that a cache file is valid for, and the signs it was probed for. */
interface CacheKey {
  version: number
  /** kernel and CPU, for what KVM offers */
  host?: string
  signs: typeof CAPABILITY_SIGNS
  binary: string
  size: string
  mtimeNs: string
  ctimeNs: string
}

/**
 * The capabilities of a QEMU binary with the accelerator a guest of that type uses, from the cache or else by one
 * launch of it. Two processes probing at once both write a whole file; the last one stays.
 * @throws VIR_ERR_SYSTEM_ERROR when the binary is missing or not executable, VIR_ERR_INTERNAL_ERROR when it fails
 */
export async function qemuCapabilities(binary: string, cacheDir: string, type: VirtType): Promise<Qemu> {
  const accelerator = type === 'kvm' && kvmUsable() ? 'kvm' : 'tcg'
  const key = cacheKey(binary, accelerator)
  const file = join(cacheDir, 'capabilities', `${binary.slice(1).replaceAll('/', '-')}-${accelerator}.json`)
  const last = lastProbed.get(file)
  if (last?.key === key) return asQemu(last.probed, type)
  let probed = readCache(file, key)
  if (!probed) {
    probed = await (await import('./probe.ts')).probeQemu(binary, accelerator)
    writeCache(file, key, probed)
  }
  lastProbed.set(file, { key, probed })
  return asQemu(probed, type)
}

/** Results this process has read or probed, by cache file. */
const lastProbed = new Map<string, { key: string; probed: Probed }>()

/** A CacheKey as text, for comparing. */
function cacheKey(binary: string, accelerator: Accelerator): string {
  checkBinary(binary)
  const { size, mtimeNs, ctimeNs } = statSync(binary, { bigint: true })
  const key: CacheKey = {
    version: CACHE_VERSION,
    ...(accelerator === 'kvm' && { host: `${release()} ${cpuIdentity()}` }),
    binary,
    size: `${size}`,
    mtimeNs: `${mtimeNs}`,
    ctimeNs: `${ctimeNs}`,
    signs: CAPABILITY_SIGNS
  }
  return JSON.stringify(key)
}

/** Checks that the binary can be run (virQEMUCapsNewForBinaryInternal). @throws VIR_ERR_SYSTEM_ERROR */
function checkBinary(binary: string): void {
  const refuse = (message: string, error?: unknown) => fail('VIR_ERR_SYSTEM_ERROR', message, error)
  let isDirectory: boolean
  try {
    isDirectory = statSync(binary).isDirectory()
  } catch (error) {
    throw refuse(`Cannot check QEMU binary ${binary}: ${reason(error)}`, error)
  }
  if (isDirectory) throw refuse(`QEMU binary ${binary} is not executable: Is a directory`)
  try {
    accessSync(binary, constants.X_OK)
  } catch (error) {
    throw refuse(`QEMU binary ${binary} is not executable: ${reason(error)}`, error)
  }
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return (
    { ENOENT: 'No such file or directory', EACCES: 'Permission denied', ENOTDIR: 'Not a directory' }[code ?? ''] ??
    message
  )
}

/** The beginning of a cache file of that key; the result and a brace follow. */
const beginning = (key: string) => `{"key":${key},"probed":`

function readCache(file: string, key: string): Probed | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    const start = beginning(key)
    return text.startsWith(start) ? (parseJson(text.slice(start.length, -1)) as Probed) : undefined
  } catch {
    return undefined
  }
}

function writeCache(file: string, key: string, probed: Probed): void {
  const temporary = `${file}.${randomUUID()}`
  try {
    makePrivateDirectory(dirname(file))
    writeFileSync(temporary, `${beginning(key)}${formatJson(probed)}}`, { mode: 0o600 })
    renameSync(temporary, file)
  } catch {
    // A cache that cannot be written costs the next start a probe, nothing else.
  }
}

/** A result as a guest of that type sees it: without machine none, and without any where the accelerator is missing. */
function asQemu(probed: Probed, type: VirtType): Qemu {
  const capabilities = new Set(probed.capabilities)
  const kvm = probed.kvmBuilt && kvmUsable()
  const machines =
    type === 'hvf' || (type === 'kvm' && !kvm) ? [] : probed.machines.filter(({ name }) => name !== 'none')
  return {
    ...probed,
    kvm,
    machines,
    has: capability => capabilities.has(capability),
    machine: name => machines.find(machine => machine.name === name || machine.alias === name)
  }
}

function kvmUsable(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}
