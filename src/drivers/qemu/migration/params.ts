// Settings of a migration: what callers ask for by flags and parameters, and the capabilities and parameters of QEMU's
// migration that come of it on either side (qemu_migration_params.c).
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Refuse } from '../../../conf/refuse.ts'
import type { MigrationParams } from '../../migration.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { CookieCapability } from './cookie.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const wrong = (message: string) => fail('VIR_ERR_INVALID_ARG', message)

const FLAG = virDomainMigrateFlags

/** The side of a migration. */
export type Party = 'source' | 'destination'

/** QEMU's migration capabilities that libvirt knows, in its order; `events` is always on. */
export const CAPABILITIES = [
  'xbzrle',
  'auto-converge',
  'rdma-pin-all',
  'postcopy-ram',
  'compress',
  'pause-before-switchover',
  'late-block-activate',
  'multifd',
  'dirty-bitmaps',
  'return-path',
  'zero-copy-send',
  'postcopy-preempt',
  'switchover-ack',
  'mapped-ram'
] as const
export type Capability = (typeof CAPABILITIES)[number]

/** QEMU's migration parameters that libvirt sets, in its order, with their JSON types. */
const PARAMETERS = {
  'compress-level': 'number',
  'compress-threads': 'number',
  'decompress-threads': 'number',
  'cpu-throttle-initial': 'number',
  'cpu-throttle-increment': 'number',
  'tls-creds': 'string',
  'tls-hostname': 'string',
  'max-bandwidth': 'number',
  'downtime-limit': 'number',
  'block-incremental': 'boolean',
  'xbzrle-cache-size': 'number',
  'max-postcopy-bandwidth': 'number',
  'multifd-channels': 'number',
  'multifd-compression': 'string',
  'multifd-zlib-level': 'number',
  'multifd-zstd-level': 'number',
  'avail-switchover-bandwidth': 'number',
  'direct-io': 'boolean'
} as const
type Parameter = keyof typeof PARAMETERS
interface Types {
  number: number | bigint
  string: string
  boolean: boolean
}
/** Parameters of QEMU's migration: bytes, bytes per second, ms. */
export type Parameters = { [K in Parameter]?: Types[(typeof PARAMETERS)[K]] }

/** Those that a post-copy migration which goes on after a pause takes. */
const ON_RESUME: readonly Parameter[] = ['max-postcopy-bandwidth']

/** Capabilities that are on wherever QEMU has them. */
const ALWAYS_ON: Record<Party, readonly Capability[]> = {
  source: ['pause-before-switchover'],
  destination: ['late-block-activate']
}

/** Capabilities by flags. */
const BY_FLAG: {
  flag: number
  /** on without the flag rather than with it */
  absent?: true
  capability: Capability
  /** on with it where QEMU has that too */
  optional?: Capability
  /** absent: both */
  party?: Party
}[] = [
  { flag: FLAG.VIR_MIGRATE_RDMA_PIN_ALL, capability: 'rdma-pin-all' },
  { flag: FLAG.VIR_MIGRATE_AUTO_CONVERGE, capability: 'auto-converge', party: 'source' },
  { flag: FLAG.VIR_MIGRATE_POSTCOPY, capability: 'postcopy-ram', optional: 'postcopy-preempt' },
  { flag: FLAG.VIR_MIGRATE_PARALLEL, capability: 'multifd' },
  { flag: FLAG.VIR_MIGRATE_TUNNELLED, absent: true, capability: 'return-path', optional: 'switchover-ack' },
  { flag: FLAG.VIR_MIGRATE_ZEROCOPY, capability: 'zero-copy-send', party: 'source' }
]

export const MIB = 1024n * 1024n

/** Speed of a migration without a limit, MiB/s (QEMU_DOMAIN_MIG_BANDWIDTH_MAX). */
export const SPEED_MAX_MIB = (2n ** 63n - 1n) / MIB

/** Speed that the guest's migrations are limited to, MiB/s. */
export const migrationSpeed = ({ migrationSpeedMiB }: QemuDomain): bigint =>
  migrationSpeedMiB === undefined ? SPEED_MAX_MIB : BigInt(migrationSpeedMiB)

/** Parameters by parameters. */
const BY_PARAM: {
  param: keyof MigrationParams
  parameter: Parameter
  /** the caller's unit in QEMU's */
  unit?: bigint
  /** absent: both */
  party?: Party
}[] = [
  { param: 'auto_converge.initial', parameter: 'cpu-throttle-initial', party: 'source' },
  { param: 'auto_converge.increment', parameter: 'cpu-throttle-increment', party: 'source' },
  { param: 'compression.mt.level', parameter: 'compress-level' },
  { param: 'compression.mt.threads', parameter: 'compress-threads' },
  { param: 'compression.mt.dthreads', parameter: 'decompress-threads' },
  { param: 'compression.xbzrle.cache', parameter: 'xbzrle-cache-size' },
  { param: 'bandwidth.postcopy', parameter: 'max-postcopy-bandwidth', unit: MIB },
  { param: 'parallel.connections', parameter: 'multifd-channels' },
  { param: 'compression.zlib.level', parameter: 'multifd-zlib-level' },
  { param: 'compression.zstd.level', parameter: 'multifd-zstd-level' },
  { param: 'tls.destination', parameter: 'tls-hostname', party: 'source' },
  {
    param: 'bandwidth.avail.switchover',
    parameter: 'avail-switchover-bandwidth',
    unit: MIB,
    party: 'source'
  }
]

/** Methods of compression: the capability each needs, or none where parallel connections compress by themselves. */
const COMPRESSIONS = {
  xbzrle: { capability: 'xbzrle', tuning: ['xbzrle-cache-size'], words: 'xbzrle' },
  mt: {
    capability: 'compress',
    tuning: ['compress-level', 'compress-threads', 'decompress-threads'],
    words: 'multithread'
  },
  zlib: { tuning: ['multifd-zlib-level'], words: 'zlib' },
  zstd: { tuning: ['multifd-zstd-level'], words: 'zstd' }
} as const satisfies Record<string, { capability?: Capability; tuning: readonly Parameter[]; words: string }>
type Compression = keyof typeof COMPRESSIONS

/** In the order in which tuning is refused of what is not on. */
const TUNED: readonly Compression[] = ['mt', 'xbzrle', 'zlib', 'zstd']

/** What one side's QEMU is to be told. */
export interface MigrationSettings {
  party: Party
  capabilities: Set<Capability>
  /** to be on as well if QEMU has them; remote: and if the other side's has them */
  optional: { capability: Capability; remote: boolean }[]
  parameters: Parameters
  compression: Compression[]
  /** bitmaps that go along, in QEMU's form (BitmapMigrationNodeAlias) */
  bitmapMapping?: object[]
}

/**
 * What flags and parameters come to (qemuMigrationParamsFromFlags).
 * @throws VIR_ERR_INVALID_ARG for tuning of what is not asked for, VIR_ERR_OVERFLOW
 */
export function settingsFor(params: MigrationParams, flags: number, party: Party): MigrationSettings {
  const settings: MigrationSettings = {
    party,
    capabilities: new Set(),
    optional: [],
    parameters: {},
    compression: []
  }
  const { capabilities, parameters } = settings
  for (const { flag, absent = false, capability, optional, party: only = party } of BY_FLAG) {
    if (only !== party || ((flags & flag) === 0) !== absent) continue
    capabilities.add(capability)
    if (optional) settings.optional.push({ capability: optional, remote: true })
  }
  for (const { param, parameter, unit, party: only = party } of BY_PARAM) {
    const value = params[param]
    if (only !== party || value === undefined) continue
    Object.assign(parameters, { [parameter]: unit === undefined ? value : inUnit(param, value as bigint, unit) })
  }
  const isSet = (names: readonly Parameter[]) => names.some(name => parameters[name] !== undefined)
  if (isSet(['cpu-throttle-initial', 'cpu-throttle-increment']) && (flags & FLAG.VIR_MIGRATE_AUTO_CONVERGE) === 0) {
    throw wrong('Turn auto convergence on to tune it')
  }
  if (isSet(['multifd-channels']) && (flags & FLAG.VIR_MIGRATE_PARALLEL) === 0) {
    throw wrong('Turn parallel migration on to tune it')
  }
  compress(settings, params.compression ?? [], flags)
  for (const method of TUNED) {
    const { tuning, words } = COMPRESSIONS[method]
    if (isSet(tuning) && !settings.compression.includes(method)) throw wrong(`Turn ${words} compression on to tune it`)
  }
  if (settings.compression.length === 0 && (flags & FLAG.VIR_MIGRATE_COMPRESSED) !== 0) {
    if ((flags & FLAG.VIR_MIGRATE_PARALLEL) !== 0) {
      throw wrong('No compression algorithm selected for parallel migration')
    }
    compress(settings, ['xbzrle'], flags)
  }
  return settings
}

function inUnit(param: string, value: bigint, unit: bigint): bigint {
  const max = (2n ** 64n - 1n) / unit
  if (value > max) throw fail('VIR_ERR_OVERFLOW', `migration parameter '${param}' must be less than ${max + 1n}`)
  return value * unit
}

/** Turns methods of compression on (qemuMigrationParamsSetCompression). */
function compress(settings: MigrationSettings, methods: readonly string[], flags: number): void {
  const { capabilities, parameters, compression } = settings
  const isParallel = (flags & FLAG.VIR_MIGRATE_PARALLEL) !== 0
  for (const name of methods) {
    if (!Object.hasOwn(COMPRESSIONS, name)) throw wrong(`Unsupported compression method '${name}'`)
    const method = name as Compression
    if (compression.includes(method)) throw wrong(`Compression method '${name}' is specified twice`)
    const how = COMPRESSIONS[method]
    if ('capability' in how) {
      if (isParallel) throw wrong(`Compression method '${name}' isn't supported with parallel migration`)
      capabilities.add(how.capability)
    } else {
      if (!isParallel) throw wrong(`Compression method '${name}' is only supported with parallel migration`)
      if (parameters['multifd-compression'] !== undefined) {
        throw wrong('Only one compression method could be specified with parallel compression')
      }
      parameters['multifd-compression'] = name
    }
    compression.push(method)
  }
}

/** Parameters and flags for the other side of a migration that its source drives (qemuMigrationParamsDump). */
export function destinationParams(
  { compression, parameters }: MigrationSettings,
  params: MigrationParams,
  flags: number
): { params: MigrationParams; flags: number } {
  const isPlain = compression.join() === 'xbzrle' && parameters['xbzrle-cache-size'] === undefined
  const tuned = BY_PARAM.filter(({ party, param }) => party === undefined && params[param] !== undefined)
  return {
    params: {
      ...(compression.length > 0 && { compression: [...compression] }),
      ...Object.fromEntries(tuned.map(({ param }) => [param, params[param]]))
    },
    flags: isPlain ? flags | FLAG.VIR_MIGRATE_COMPRESSED : flags
  }
}

/** Has bitmaps go along, or none (qemuMigrationParamsSetBlockDirtyBitmapMapping). */
export function setBitmapMapping(settings: MigrationSettings, mapping: object[]): void {
  if (mapping.length > 0) {
    settings.bitmapMapping = mapping
    settings.capabilities.add('dirty-bitmaps')
  } else {
    delete settings.bitmapMapping
    settings.capabilities.delete('dirty-bitmaps')
  }
}

interface QmpCapability {
  capability: string
  state: boolean
}

const queryCapabilities = ({ qmp }: QemuDomain) => qmp.execute<QmpCapability[]>('query-migrate-capabilities')

/** Migration capabilities that the guest's QEMU has, on or off. */
export async function knownCapabilities(domain: QemuDomain): Promise<ReadonlySet<string>> {
  return new Set((await queryCapabilities(domain)).map(({ capability }) => capability))
}

/** Those for its cookie (qemuMigrationCookieAddCaps). */
export async function cookieCapabilities(domain: QemuDomain, party: Party): Promise<CookieCapability[]> {
  const known = await knownCapabilities(domain)
  return CAPABILITIES.filter(name => known.has(name)).map(name => ({ name, auto: ALWAYS_ON[party].includes(name) }))
}

/** Parameters of the guest's QEMU as they are (qemuMigrationParamsFetch). */
export async function currentParameters({ qmp }: QemuDomain): Promise<Parameters> {
  const told = await qmp.execute<Record<string, unknown>>('query-migrate-parameters')
  const isOf = (value: unknown, type: keyof Types) =>
    typeof value === type || (type === 'number' && typeof value === 'bigint')
  const known = Object.entries(PARAMETERS).filter(([name, type]) => isOf(told[name], type))
  return Object.fromEntries(known.map(([name]) => [name, told[name]])) as Parameters
}

const unsupported = (option: Capability) =>
  fail('VIR_ERR_ARGUMENT_UNSUPPORTED', `Migration option '${option}' is not supported by QEMU binary`)

/** Capabilities that a destination is told of by its caller. */
const OF_DESTINATION = [
  'xbzrle',
  'rdma-pin-all',
  'postcopy-ram',
  'compress',
  'multifd',
  'return-path'
] as const satisfies Capability[]

/** Checks a QEMU that is yet to be started for the same. @throws VIR_ERR_ARGUMENT_UNSUPPORTED */
export function checkDestinationSettings(qemu: Qemu, { capabilities }: MigrationSettings, refuse: Refuse): void {
  for (const name of OF_DESTINATION) {
    if (capabilities.has(name) && !qemu.has(`migration.${name}`)) refuse(unsupported(name))
  }
}

/**
 * Checks that QEMU can do what is asked, and adds what both sides can do beside it (qemuMigrationParamsCheck).
 * @param remote capabilities in the other side's cookie
 * @returns QEMU's parameters before the migration, for resetSettings
 * @throws VIR_ERR_ARGUMENT_UNSUPPORTED
 */
export async function checkSettings(
  domain: QemuDomain,
  settings: MigrationSettings,
  remote: readonly CookieCapability[] = []
): Promise<Parameters> {
  const { party, capabilities, optional } = settings
  const [known, parameters] = await Promise.all([knownCapabilities(domain), currentParameters(domain)])
  const lacking = CAPABILITIES.find(name => capabilities.has(name) && !known.has(name))
  if (lacking !== undefined) throw unsupported(lacking)
  for (const { capability, remote: both } of optional) {
    const isThere = !both || remote.some(({ name }) => name === capability)
    if (known.has(capability) && isThere) capabilities.add(capability)
  }
  for (const capability of ALWAYS_ON[party]) if (known.has(capability)) capabilities.add(capability)
  return parameters
}

/**
 * Tells QEMU; parameters that were not set stay as they are (qemuMigrationParamsApply).
 * @param flags virDomainMigrateFlags: with VIR_MIGRATE_POSTCOPY_RESUME only what can still change is told
 */
export async function applySettings(domain: QemuDomain, settings: MigrationSettings, flags = 0): Promise<void> {
  const resumes = (flags & FLAG.VIR_MIGRATE_POSTCOPY_RESUME) !== 0
  const { capabilities, parameters, bitmapMapping } = settings
  if (!resumes) await setCapabilities(domain, capabilities)
  const told = Object.entries(parameters).filter(([name]) => !resumes || ON_RESUME.includes(name as Parameter))
  await setParameters(domain, {
    ...Object.fromEntries(told),
    ...(bitmapMapping && { 'block-bitmap-mapping': bitmapMapping })
  })
}

/**
 * Puts QEMU's settings back, so that the next job which migrates (a save, a dump, a snapshot) does without them. What
 * cannot be put back is logged (qemuMigrationParamsReset).
 */
export async function resetSettings(domain: QemuDomain, original: Parameters): Promise<void> {
  if (!domain.isActive) return
  try {
    await setCapabilities(domain, new Set())
    await setParameters(domain, original)
  } catch (error) {
    domain.log.warn({ err: error }, 'settings of a migration could not be put back')
  }
}

/** Sets parameters of QEMU's migration, if there are any. */
export async function setParameters({ qmp }: QemuDomain, parameters: object): Promise<void> {
  if (Object.keys(parameters).length > 0) await qmp.execute('migrate-set-parameters', parameters)
}

/** Has QEMU tell of each step of migrations, and sets what it can do in the next; what is not named is off. */
export async function setCapabilities(domain: QemuDomain, wanted: ReadonlySet<Capability>): Promise<void> {
  const known = await queryCapabilities(domain)
  const states = new Map<string, boolean>(CAPABILITIES.map(name => [name, wanted.has(name)]))
  states.set('events', true)
  const capabilities = known
    .filter(({ capability, state }) => states.has(capability) && state !== states.get(capability))
    .map(({ capability, state }) => ({ capability, state: !state }))
  if (capabilities.length > 0) await domain.qmp.execute('migrate-set-capabilities', { capabilities })
}
