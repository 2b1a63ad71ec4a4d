// Probe of a QEMU binary's capabilities: one launch without a machine, questions over QMP.
import { spawn } from 'node:child_process'
import { errorsFrom } from '../../../conf/error.ts'
import { QmpMonitor } from '../monitor/qmp.ts'
import { indexSchema, type Schema, type SchemaEntry, schemaHas } from './qapi-schema.ts'
import type { CpuModel, Machine, Qemu } from './qemu.ts'
import { CAPABILITY_SIGNS, type Capability, type Sign } from './signs.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const PROBE_TIMEOUT_MS = 20_000

/** libvirt's names of QEMU's targets, where they differ. */
const ARCH_NAMES: Record<string, string> = { i386: 'i686', arm: 'armv7l', ppc: 'ppc' }

/** Launches the binary and asks (virQEMUCapsInitQMP). @throws VIR_ERR_INTERNAL_ERROR with QEMU's last words */
export async function probeQemu(binary: string, accelerator: Accelerator): Promise<Probed> {
  const child = spawn(
    binary,
    ['-S', '-no-user-config', '-nodefaults', '-nographic', '-machine', `none,accel=${accelerator}`, '-qmp', 'stdio'],
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
    return await ask(binary, monitor, accelerator)
  } catch (error) {
    throw fail(
      'VIR_ERR_INTERNAL_ERROR',
      `Failed to probe QEMU binary ${binary}: ${stderr.trim() || (error as Error).message}`,
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
  acpi?: boolean
  deprecated: boolean
}

interface QmpCpuDefinition extends Named {
  typename: string
  'unavailable-features'?: string[]
  deprecated?: boolean
}

type Execute = <T>(command: string, args?: object) => Promise<T>

async function ask(binary: string, monitor: QmpMonitor, accelerator: Accelerator): Promise<Probed> {
  const execute: Execute = (command, args) => monitor.execute(command, args, { timeoutMs: PROBE_TIMEOUT_MS })
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
  const typeNames = new Set(types.map(type => type.name))
  const machineType = (name: string) => `${machines.find(({ alias }) => alias === name)?.name ?? name}-machine`
  const properties = await askProperties(execute, typeNames, machineType)
  const facts = {
    arch: ARCH_NAMES[target.arch] ?? target.arch,
    types: typeNames,
    machineType,
    ...properties,
    commands: new Set(commands.map(command => command.name)),
    options: new Map(options.map(({ option, parameters }) => [option, new Set(parameters.map(({ name }) => name))])),
    schema: indexSchema(schema)
  }
  const has = (capability: Capability) => CAPABILITY_SIGNS[capability].some((sign: Sign) => holds(sign, facts))
  const host = await askHost(execute, accelerator, has('query-cpu-model-expansion.deprecated-props'))
  const { major, minor, micro } = version.qemu
  return {
    binary,
    version: major * 1_000_000 + minor * 1000 + micro,
    package: version.package,
    arch: facts.arch,
    kvmBuilt: kvm.present,
    machines: machines.map(machineOf),
    cpuModels: models.map(cpuModelOf),
    ...host,
    capabilities: (Object.keys(CAPABILITY_SIGNS) as Capability[]).filter(has)
  }
}

/** Properties of the types that signs of capabilities name, as far as the binary has these types. */
async function askProperties(
  execute: Execute,
  types: ReadonlySet<string>,
  machineType: (name: string) => string
): Promise<Pick<Facts, 'deviceProps' | 'objectProps'>> {
  const signs = Object.values<Sign[]>(CAPABILITY_SIGNS).flat()
  const named = (pick: (sign: Sign) => string | false) =>
    [...new Set(signs.map(pick).filter(name => name !== false && types.has(name)))] as string[]
  const list = (command: string, names: string[]) =>
    Promise.all(
      names.map(async name => {
        const found = await execute<Named[]>(command, { typename: name }).catch(() => [])
        return [name, new Set(found.map(property => property.name))] as const
      })
    )
  const [devices, objects] = await Promise.all([
    list(
      'device-list-properties',
      named(sign => 'device' in sign && sign.device)
    ),
    list('qom-list-properties', [
      ...named(sign => 'object' in sign && sign.object),
      ...named(sign => 'machine' in sign && machineType(sign.machine))
    ])
  ])
  return { deviceProps: new Map(devices), objectProps: new Map(objects) }
}

/** Abilities of the host that QEMU tells of: the CPU this accelerator can give, enlightenments, SEV, SGX. */
async function askHost(
  execute: Execute,
  accelerator: Accelerator,
  tellsDeprecated: boolean
): Promise<Pick<Probed, 'hostCpu' | 'hyperv' | 'sev' | 'sgx'>> {
  const expand = (type: 'static' | 'full', props?: object) =>
    execute<Expansion>('query-cpu-model-expansion', {
      type,
      model: { name: accelerator === 'kvm' ? 'host' : 'max', ...(props && { props }) }
    }).catch(() => undefined)
  const [expanded, unmigratable, deprecated, hyperv, sev, sgx] = await Promise.all([
    expand('static'),
    expand('static', { migratable: false }),
    tellsDeprecated ? expand('full') : undefined,
    expand('full', { migratable: false, 'hv-passthrough': true }),
    execute<QmpSev>('query-sev-capabilities').catch(() => undefined),
    execute<QmpSgx>('query-sgx-capabilities').catch(() => undefined)
  ])
  return {
    ...(expanded && { hostCpu: { ...hostCpu(expanded, unmigratable), deprecated: deprecated?.['deprecated-props'] } }),
    ...(hyperv && { hyperv: enlightenments(hyperv) }),
    ...(sev && { sev: sevHost(sev) }),
    ...(sgx?.sections && { sgx: sgxHost(sgx) })
  }
}

const machineOf = (machine: QmpMachine): Machine => ({
  name: machine.name,
  alias: machine.alias,
  isDefault: machine['is-default'] ?? false,
  cpuMax: machine['cpu-max'],
  hotpluggableCpus: machine['hotpluggable-cpus'],
  defaultCpuType: machine['default-cpu-type'],
  defaultRamId: machine['default-ram-id'],
  numaMemSupported: machine['numa-mem-supported'],
  acpi: machine.acpi,
  deprecated: machine.deprecated
})

const cpuModelOf = (model: QmpCpuDefinition): CpuModel => ({
  name: model.name,
  type: model.typename,
  deprecated: model.deprecated ?? false,
  blockers: (model['unavailable-features'] ?? []).join(' ')
})

interface Expansion {
  model: { props: Record<string, unknown> }
  'deprecated-props'?: string[]
}

/**
 * The host's CPU from its expansion; features that only the expansion for guests which need not migrate has are told
 * apart (virQEMUCapsProbeQMPHostCPU).
 */
function hostCpu(expanded: Expansion, unmigratable: Expansion | undefined): HostCpu {
  const { props } = expanded.model
  const known = Object.keys(props)
  const lost = known.filter(name => props[name] === false && unmigratable?.model.props[name] === true)
  const { vendor } = props
  const number = (name: string) => Number(props[name] ?? 0)
  return {
    known,
    features: known.filter(name => props[name] === true || lost.includes(name)),
    unmigratable: lost,
    ...(typeof vendor === 'string' && { vendor }),
    family: number('family'),
    model: number('model'),
    stepping: number('stepping')
  }
}

/** The enlightenments that are on or have a value (virQEMUCapsProbeHypervCapabilities). */
function enlightenments({ model: { props } }: Expansion): string[] {
  return Object.entries(props)
    .filter(([name, value]) => name.startsWith('hv-') && (typeof value === 'string' || Number(value) > 0))
    .map(([name]) => name.slice('hv-'.length).replaceAll('-', '_'))
}

interface QmpSev {
  cbitpos: number
  'reduced-phys-bits': number
}

interface QmpSgx {
  flc: boolean
  sgx1: boolean
  sgx2: boolean
  'section-size'?: number
  sections?: { node: number; size: number }[]
}

function sgxHost({ flc, sgx1, sgx2, sections = [], ...sizes }: QmpSgx): SgxHost {
  const inKiB = sections.map(({ node, size }) => ({ node, sizeKiB: Math.floor(size / 1024) }))
  const sum = inKiB.reduce((all, { sizeKiB }) => all + sizeKiB, 0)
  const whole = sizes['section-size']
  return { flc, sgx1, sgx2, sectionSizeKiB: whole === undefined ? sum : Math.floor(whole / 1024), sections: inKiB }
}

const sevHost = (sev: QmpSev): SevHost => ({ cbitpos: sev.cbitpos, reducedPhysBits: sev['reduced-phys-bits'] })

interface Facts {
  arch: string
  types: Set<string>
  /** QEMU's type of a machine, or of what its alias stands for */
  machineType: (name: string) => string
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
  if ('machine' in sign) return facts.objectProps.get(facts.machineType(sign.machine))?.has(sign.prop) ?? false
  if ('command' in sign) return facts.commands.has(sign.command)
  if ('qapi' in sign) return schemaHas(facts.schema, sign.qapi)
  if ('arch' in sign) return facts.arch === sign.arch
  const parameters = facts.options.get(sign.option)
  return parameters !== undefined && (sign.parameter === undefined || parameters.has(sign.parameter))
}

/** The most a guest can be given: KVM's `host` or TCG's `max`, features under QEMU's names. */
export interface HostCpu {
  /** everything QEMU knows for a property of the CPU */
  known: string[]
  features: string[]
  /** those of `features` a guest that may migrate cannot have */
  unmigratable: string[]
  /** those QEMU may do without one day, of a QEMU that tells */
  deprecated?: string[]
  vendor?: string
  family: number
  model: number
  stepping: number
}

export interface SgxHost {
  flc: boolean
  sgx1: boolean
  sgx2: boolean
  sectionSizeKiB: number
  /** memory for enclaves by NUMA cell */
  sections: { node: number; sizeKiB: number }[]
}

export interface SevHost {
  cbitpos: number
  reducedPhysBits: number
}

export type Accelerator = 'kvm' | 'tcg'

/** The answers of one launch of the binary. */
export interface Probed extends Omit<Qemu, 'has' | 'machine' | 'kvm'> {
  capabilities: Capability[]
  /** the binary was built with KVM */
  kvmBuilt: boolean
}
