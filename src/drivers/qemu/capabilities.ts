// What the QEMU binary at hand can do: asked of it once, remembered on disk until the binary changes.
import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { accessSync, constants, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorsFrom } from '../../conf/error.ts'
import { formatJson, parseJson } from '../../conf/json.ts'
import { CAPABILITY_SIGNS, type Capability, type Sign } from './capability-signs.ts'
import { indexSchema, type Schema, type SchemaEntry, schemaHas } from './qapi-schema.ts'
import { QmpMonitor } from './qmp.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Form of the cache files; files of another form are made anew. */
const CACHE_VERSION = 1
const PROBE_TIMEOUT_MS = 20_000

/** What the rest of the driver asks of a QEMU binary. */
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
  /** every property of TCG's `max` CPU with its value */
  maxCpu: Record<string, unknown>
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
  deprecated: boolean
}

export interface CpuModel {
  name: string
  type: string
  /** runs on this host with the accelerator probed */
  usable: boolean
  deprecated: boolean
}

interface Probed extends Omit<Qemu, 'has' | 'machine' | 'kvm'> {
  capabilities: Capability[]
  /** the binary was built with KVM */
  kvmBuilt: boolean
}

/** The state of the binary a cache file speaks of, and what was asked of it. */
interface CacheKey {
  version: number
  /** digest of CAPABILITY_SIGNS */
  signs: string
  binary: string
  size: string
  mtimeNs: string
  ctimeNs: string
}

/**
 * The capabilities of a QEMU binary, from the cache or else by one launch of it.
 * Two processes probing at once both write a whole file; the last one stays.
 * @throws VIR_ERR_INVALID_ARG when the binary is missing or not executable, VIR_ERR_INTERNAL_ERROR when it fails
 */
export async function qemuCapabilities(binary: string, cacheDir: string): Promise<Qemu> {
  const key = cacheKey(binary)
  const file = join(cacheDir, 'capabilities', `${createHash('sha256').update(binary).digest('hex')}.json`)
  const cached = readCache(file, key)
  if (cached) return asQemu(cached)
  const probed = await probe(binary)
  writeCache(file, key, probed)
  return asQemu(probed)
}

function cacheKey(binary: string): CacheKey {
  try {
    accessSync(binary, constants.X_OK)
    const { size, mtimeNs, ctimeNs } = statSync(binary, { bigint: true })
    const signs = createHash('sha256').update(JSON.stringify(CAPABILITY_SIGNS)).digest('hex')
    return { version: CACHE_VERSION, signs, binary, size: `${size}`, mtimeNs: `${mtimeNs}`, ctimeNs: `${ctimeNs}` }
  } catch (error) {
    throw fail('VIR_ERR_INVALID_ARG', `Cannot check QEMU binary ${binary}: ${reason(error)}`, error)
  }
}

function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT') return 'No such file or directory'
  return code === 'EACCES' ? 'Permission denied' : String((error as Error).message)
}

function readCache(file: string, key: CacheKey): Probed | undefined {
  try {
    const cached = parseJson(readFileSync(file, 'utf8')) as { key: CacheKey; probed: Probed }
    return JSON.stringify(cached.key) === JSON.stringify(key) ? cached.probed : undefined
  } catch {
    return undefined
  }
}

function writeCache(file: string, key: CacheKey, probed: Probed): void {
  const temporary = `${file}.${randomUUID()}`
  const text = formatJson({ key, probed })
  try {
    mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 })
    writeFileSync(temporary, text, { mode: 0o600 })
    renameSync(temporary, file)
  } catch {
    // A cache that cannot be written costs the next start a probe, nothing else.
  }
}

function asQemu(probed: Probed): Qemu {
  const capabilities = new Set(probed.capabilities)
  return {
    ...probed,
    kvm: probed.kvmBuilt && kvmUsable(),
    has: capability => capabilities.has(capability),
    machine: name => probed.machines.find(machine => machine.name === name || machine.alias === name)
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

/** libvirt's names of QEMU's targets, where they differ. */
const ARCH_NAMES: Record<string, string> = { i386: 'i686', arm: 'armv7l', ppc: 'ppc' }

async function probe(binary: string): Promise<Probed> {
  const child = spawn(
    binary,
    ['-S', '-no-user-config', '-nodefaults', '-nographic', '-machine', 'none,accel=tcg', '-qmp', 'stdio'],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { LC_ALL: 'C', PATH: process.env.PATH ?? '' } }
  )
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', chunk => {
    stderr = (stderr + chunk).slice(-2000)
  })
  const exited = new Promise<void>(resolve => {
    child.once('exit', () => resolve())
    child.once('error', error => {
      stderr ||= error.message
      resolve()
    })
  })
  const monitor = new QmpMonitor(child.stdout, child.stdin)
  try {
    await monitor.handshake(PROBE_TIMEOUT_MS)
    return await ask(binary, monitor)
  } catch (error) {
    throw fail(
      'VIR_ERR_INTERNAL_ERROR',
      `Failed to probe QEMU binary ${binary}: ${stderr.trim() || String(error)}`,
      error
    )
  } finally {
    monitor.close()
    child.kill('SIGKILL')
    await exited
  }
}

type Named = { name: string }

interface QmpMachine extends Named {
  alias?: string
  'is-default'?: boolean
  'cpu-max': number
  'hotpluggable-cpus': boolean
  'default-cpu-type'?: string
  'default-ram-id'?: string
  'numa-mem-supported': boolean
  deprecated: boolean
}

interface QmpCpuDefinition extends Named {
  typename: string
  'unavailable-features'?: string[]
  deprecated?: boolean
}

async function ask(binary: string, monitor: QmpMonitor): Promise<Probed> {
  const execute = <T>(command: string, args?: object) =>
    monitor.execute<T>(command, args, { timeoutMs: PROBE_TIMEOUT_MS })
  /** properties of a type, none if there is no such type */
  const properties = async (command: string, typename: string): Promise<Set<string>> => {
    const list = await execute<Named[]>(command, { typename }).catch(() => [])
    return new Set(list.map(property => property.name))
  }
  const signs = Object.values<Sign[]>(CAPABILITY_SIGNS).flat()
  const named = (pick: (sign: Sign) => string | false) => [...new Set(signs.map(pick).filter(name => name !== false))]
  const devices = named(sign => 'device' in sign && sign.device)
  const objects = named(sign => 'object' in sign && sign.object)
  const machineTypes = named(sign => 'machine' in sign && `${sign.machine}-machine`)

  const [version, target, types, commands, options, schema, machines, models, kvm] = await Promise.all([
    execute<{ qemu: { major: number; minor: number; micro: number }; package: string }>('query-version'),
    execute<{ arch: string }>('query-target'),
    execute<Named[]>('qom-list-types'),
    execute<Named[]>('query-commands'),
    execute<{ option: string; parameters: Named[] }[]>('query-command-line-options'),
    execute<SchemaEntry[]>('query-qmp-schema'),
    execute<QmpMachine[]>('query-machines'),
    execute<QmpCpuDefinition[]>('query-cpu-definitions').catch(() => []),
    execute<{ present: boolean }>('query-kvm')
  ])
  const deviceProps = new Map<string, Set<string>>()
  const objectProps = new Map<string, Set<string>>()
  const typeNames = new Set(types.map(type => type.name))
  await Promise.all([
    ...devices
      .filter(name => typeNames.has(name))
      .map(async name => deviceProps.set(name, await properties('device-list-properties', name))),
    ...[...objects, ...machineTypes]
      .filter(name => typeNames.has(name))
      .map(async name => objectProps.set(name, await properties('qom-list-properties', name)))
  ])
  const maxCpu = await execute<{ model: { props: Record<string, unknown> } }>('query-cpu-model-expansion', {
    type: 'full',
    model: { name: 'max' }
  }).catch(() => ({ model: { props: {} } }))

  const facts = {
    arch: ARCH_NAMES[target.arch] ?? target.arch,
    types: typeNames,
    deviceProps,
    objectProps,
    commands: new Set(commands.map(command => command.name)),
    options: new Map(options.map(({ option, parameters }) => [option, new Set(parameters.map(({ name }) => name))])),
    schema: indexSchema(schema)
  }
  const { major, minor, micro } = version.qemu
  return {
    binary,
    version: major * 1_000_000 + minor * 1000 + micro,
    package: version.package,
    arch: facts.arch,
    kvmBuilt: kvm.present,
    machines: machines.map(machine => ({
      name: machine.name,
      alias: machine.alias,
      isDefault: machine['is-default'] ?? false,
      cpuMax: machine['cpu-max'],
      hotpluggableCpus: machine['hotpluggable-cpus'],
      defaultCpuType: machine['default-cpu-type'],
      defaultRamId: machine['default-ram-id'],
      numaMemSupported: machine['numa-mem-supported'],
      deprecated: machine.deprecated
    })),
    cpuModels: models.map(model => ({
      name: model.name,
      type: model.typename,
      usable: (model['unavailable-features'] ?? []).length === 0,
      deprecated: model.deprecated ?? false
    })),
    maxCpu: maxCpu.model.props,
    capabilities: (Object.entries(CAPABILITY_SIGNS) as [Capability, Sign[]][])
      .filter(([, any]) => any.some(sign => holds(sign, facts)))
      .map(([capability]) => capability)
  }
}

interface Facts {
  arch: string
  types: Set<string>
  deviceProps: Map<string, Set<string>>
  objectProps: Map<string, Set<string>>
  commands: Set<string>
  options: Map<string, Set<string>>
  schema: Schema
}

function holds(sign: Sign, facts: Facts): boolean {
  if ('type' in sign) return facts.types.has(sign.type)
  if ('device' in sign) return facts.deviceProps.get(sign.device)?.has(sign.prop) ?? false
  if ('object' in sign) return facts.objectProps.get(sign.object)?.has(sign.prop) ?? false
  if ('machine' in sign) return facts.objectProps.get(`${sign.machine}-machine`)?.has(sign.prop) ?? false
  if ('command' in sign) return facts.commands.has(sign.command)
  if ('qapi' in sign) return schemaHas(facts.schema, sign.qapi)
  if ('arch' in sign) return facts.arch === sign.arch
  const parameters = facts.options.get(sign.option)
  return parameters !== undefined && (sign.parameter === undefined || parameters.has(sign.parameter))
}
