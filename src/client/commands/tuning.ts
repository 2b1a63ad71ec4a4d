// Commands on what a guest may take of the host: CPUs, CPU time, memory, block I/O; and its performance counters.
import { formatBitmap, parseBitmap } from '../../conf/bitmap.ts'
import { NUMATUNE_MODES } from '../../conf/domain/numatune.ts'
import type { TypedJson } from '../../conf/wire.ts'
import type { ApiName, ArgsOf, RetOf } from '../../drivers/qemu/index.ts'
import { parseInteger, scaledInteger } from '../arguments.ts'
import { type Commands, type DomainCall, impact, impactFlags, onDomain, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'
import { formatTable } from '../table.ts'

const AFFECT_LIVE = 1
const AFFECT_CONFIG = 2
const VCPU_MAXIMUM = 4

/** VIR_DOMAIN_MEMORY_PARAM_UNLIMITED */
const UNLIMITED_KIB = 2n ** 53n - 1n
const LLONG_MAX = 2n ** 63n - 1n
/** CPUs virsh reads of a list. */
const LIST_MAX = 1024

const cpulist = { cpulist: option.text('host cpu number(s) to set, or omit option to query', { emptyOk: true }) }

/** CPUs of the host that may be there, of which a map has one entry each. */
async function hostCpuCount({ session }: DomainCall): Promise<number> {
  return (await session.ask('virNodeGetCPUMap')).cpumap.length
}

/** The map of a list, or of all for one that begins with r (virshParseCPUList). @throws ClientError */
function mapOf(list: string, count: number): boolean[] {
  if (list.startsWith('r')) return Array.from({ length: count }, () => true)
  const bad = (...why: string[]) => new ClientError(`Invalid cpulist '${list}'`, ...why)
  let bits: bigint
  try {
    bits = parseBitmap(list, LIST_MAX)
  } catch (error) {
    throw bad((error as Error).message)
  }
  if (bits === 0n) throw bad()
  const last = bits.toString(2).length - 1
  if (last >= count) throw new ClientError(`CPU ${last} in cpulist '${list}' exceed the maxcpu ${count}`)
  return Array.from({ length: last + 1 }, (_, cpu) => ((bits >> BigInt(cpu)) & 1n) === 1n)
}

const listOf = (map: readonly boolean[]) =>
  formatBitmap(map.reduce((bits, on, cpu) => (on ? bits | (1n << BigInt(cpu)) : bits), 0n))

/** An option of a number without sign. @throws ClientError */
const unsigned = ({ given }: DomainCall, name: string) => given.int(name, { min: 0, max: 2 ** 32 - 1 })

async function vcpupin(call: DomainCall): Promise<void> {
  const { shim, given } = call
  const flags = impactFlags(given)
  const list = given.text('cpulist')
  if (list === undefined) given.exclusive(['live', 'config'])
  const vcpu = unsigned(call, 'vcpu')
  if (list === undefined) return showVcpupins(call, vcpu, flags)
  if (vcpu === undefined) throw new ClientError('vcpupin: Missing vCPU number in pin mode.')
  const cpumap = mapOf(list, await hostCpuCount(call))
  if (flags === 0 && !given.has('current')) await shim.call('virDomainPinVcpu', { vcpu, cpumap })
  else await shim.call('virDomainPinVcpuFlags', { vcpu, cpumap, flags })
}

async function showVcpupins({ shim, session, id }: DomainCall, vcpu: number | undefined, flags: number): Promise<void> {
  const { num } = await shim.call('virDomainGetVcpusFlags', { flags: flags | VCPU_MAXIMUM })
  if (vcpu !== undefined && vcpu >= num) {
    const isLive = (flags & AFFECT_LIVE) !== 0 || ((flags & AFFECT_CONFIG) === 0 && id !== -1)
    throw new ClientError(`vcpu ${vcpu} is out of range of ${isLive ? 'live' : 'persistent'} cpu count ${num}`)
  }
  const { cpumaps } = await shim.call('virDomainGetVcpuPinInfo', { flags })
  const rows = cpumaps.map((map, i) => [String(i), listOf(map)])
  const shown = rows.filter((_, i) => vcpu === undefined || i === vcpu)
  session.print(formatTable(['VCPU', 'CPU Affinity'], shown, session.options.quiet))
}

async function emulatorpin(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  const flags = impactFlags(given)
  const list = given.text('cpulist')
  if (list === undefined) {
    const { cpumap } = await shim.call('virDomainGetEmulatorPinInfo', { flags })
    session.printExtra(`emulator: CPU Affinity\n${'-'.repeat(34)}\n       *: `)
    session.print(`${listOf(cpumap)}\n`)
    return
  }
  const cpumap = mapOf(list, await hostCpuCount(call))
  await shim.call('virDomainPinEmulator', { cpumap, flags: flags || given.has('current') ? flags : AFFECT_LIVE })
}

async function iothreadpin(call: DomainCall): Promise<void> {
  const { shim, given } = call
  const flags = impactFlags(given)
  const iothread_id = unsigned(call, 'iothread')!
  const cpumap = mapOf(given.text('cpulist')!, await hostCpuCount(call))
  await shim.call('virDomainPinIOThread', { iothread_id, cpumap, flags })
}

type Params = Record<string, TypedJson>

/** Parameters one a line. */
function print({ session }: DomainCall, params: Params, shown: (name: string, value: TypedJson) => string): void {
  for (const [name, value] of Object.entries(params)) session.print(`${name.padEnd(15)}: ${shown(name, value)}\n`)
}

const asIs = (_: string, value: TypedJson) => String(value)

async function schedinfo(call: DomainCall): Promise<void> {
  const { shim, given, session } = call
  const flags = impactFlags(given)
  const isPlain = flags === 0 && !given.has('current')
  const both = AFFECT_LIVE | AFFECT_CONFIG
  const get = async (): Promise<Params> => {
    if (isPlain) return (await shim.call('virDomainGetSchedulerParameters')).params
    return (await shim.call('virDomainGetSchedulerParametersFlags', { flags: flags === both ? 0 : flags })).params
  }
  const { type } = await shim.call('virDomainGetSchedulerType').catch(error => {
    session.print(`${'Scheduler'.padEnd(15)}: Unknown\n`)
    throw error
  })
  session.print(`${'Scheduler'.padEnd(15)}: ${type}\n`)
  let params = await get()
  const wanted = updates(call, params)
  if (wanted) {
    if (isPlain) await shim.call('virDomainSetSchedulerParameters', { params: wanted })
    else await shim.call('virDomainSetSchedulerParametersFlags', { params: wanted, flags })
    params = await get()
  } else if (flags === both) throw new ClientError('cannot query both live and config at once')
  print(call, params, asIs)
}

/** The parameters that are to be set, if any. @throws ClientError for one the scheduler has not */
function updates({ given }: DomainCall, known: Params): Record<string, bigint> | undefined {
  const pairs = given.all('set').map(text => {
    const [, name, value] = /^([^=]*)=(.*)$/s.exec(text) ?? []
    if (name === undefined || value === undefined)
      throw new ClientError('Invalid syntax for --set, expecting name=value')
    return [name, value] as const
  })
  for (const name of ['cap', 'weight']) if (given.has(name)) pairs.push([name, given.text(name)!])
  if (pairs.length === 0) return undefined
  const out: Record<string, bigint> = {}
  for (const [name, value] of pairs) {
    if (!Object.hasOwn(known, name)) throw new ClientError(`invalid scheduler option: ${name}`)
    const isSigned = name.endsWith('_quota')
    const number = parseNumber(value, isSigned)
    if (number === undefined) {
      const type = isSigned ? 'long long' : 'unsigned long long'
      throw new ClientError(`invalid argument: Invalid value for field '${name}': expected ${type}`)
    }
    out[name] = number
  }
  return out
}

/** A number of 64 bits; without sign it wraps around below zero, as C's does. */
function parseNumber(text: string, isSigned: boolean): bigint | undefined {
  const [digits] = /^\s*[+-]?\d+$/.exec(text) ?? []
  if (digits === undefined) return undefined
  const value = BigInt(digits.trim().replace(/^\+/, ''))
  if (isSigned) return BigInt.asIntN(64, value) === value ? value : undefined
  return value > 2n ** 64n - 1n || value < -(2n ** 64n - 1n) ? undefined : BigInt.asUintN(64, value)
}

/** First lines of the errors of a pair of APIs; virsh asks for the number of parameters first, which is what fails. */
type Words = [get: string, set: string]

/** Parameters of the guest, or a change of them: calls of one pair of APIs. */
async function showOrSet<G extends ApiName, S extends ApiName>(
  call: DomainCall,
  { get, set, what, wanted }: { get: G; set: S; what: Words; wanted: object },
  shown: (name: string, value: TypedJson) => string = asIs
): Promise<void> {
  const { shim, given } = call
  const flags = impactFlags(given)
  if (Object.keys(wanted).length > 0) {
    const args = { params: wanted, flags } as unknown as ArgsOf<S>
    await saying(what[1], shim.call(set, args))
    return
  }
  const { params } = (await saying(what[0], shim.call(get, { flags } as unknown as ArgsOf<G>))) as RetOf<G> & {
    params: Params
  }
  print(call, params, shown)
}

/** A size in KiB; none for a negative one (virshMemtuneGetSize). @throws ClientError */
function sizeOf({ given }: DomainCall, name: string): bigint | undefined {
  const text = given.text(name)
  if (text === undefined) return undefined
  const bad = (...why: string[]) => new ClientError(`Unable to parse integer parameter ${name}`, ...why)
  const [, sign, digits, suffix] = /^\s*([+-]?)(\d+)(.*)$/s.exec(text) ?? []
  if (digits === undefined) throw bad()
  if (sign === '-') return UNLIMITED_KIB
  try {
    const bytes = scaledInteger(`${digits}${suffix}`, name, { unit: 1024n, max: LLONG_MAX })
    return (bytes + 1023n) / 1024n
  } catch (error) {
    throw bad(...(error as ClientError).lines.slice(1))
  }
}

const given = (entries: [name: string, value: unknown][]) =>
  Object.fromEntries(entries.filter(([, value]) => value !== undefined))

const MEMORY_OPTIONS = {
  'hard-limit': ['hard_limit', 'Max memory, as scaled integer (default KiB)'],
  'soft-limit': ['soft_limit', 'Memory during contention, as scaled integer (default KiB)'],
  'swap-hard-limit': ['swap_hard_limit', 'Max memory plus swap, as scaled integer (default KiB)'],
  'min-guarantee': ['min_guarantee', 'Min guaranteed memory, as scaled integer (default KiB)']
} as const

async function memtune(call: DomainCall): Promise<void> {
  const wanted = given(Object.entries(MEMORY_OPTIONS).map(([name, [param]]) => [param, sizeOf(call, name)]))
  const what: Words = ['Unable to get number of memory parameters', 'Unable to change memory parameters']
  const apis = { get: 'virDomainGetMemoryParameters', set: 'virDomainSetMemoryParameters' } as const
  await showOrSet(call, { ...apis, what, wanted }, (_, value) =>
    BigInt(value as number) === UNLIMITED_KIB ? 'unlimited' : String(value)
  )
}

const DEVICE_OPTIONS = {
  'device-weights': ['device_weight', 'IO Weights', 'weight'],
  'device-read-iops-sec': ['device_read_iops_sec', 'read I/O limit per second', 'read_iops_sec'],
  'device-write-iops-sec': ['device_write_iops_sec', 'write I/O limit per second', 'write_iops_sec'],
  'device-read-bytes-sec': ['device_read_bytes_sec', 'bytes read per second', 'read_bytes_sec'],
  'device-write-bytes-sec': ['device_write_bytes_sec', 'bytes wrote per second', 'write_bytes_sec']
} as const

async function blkiotune(call: DomainCall): Promise<void> {
  const weight = call.given.int('weight')
  if (weight !== undefined && weight <= 0) throw new ClientError(`Invalid value of ${weight} for I/O weight`)
  const devices = Object.entries(DEVICE_OPTIONS).map(([name, [param]]): [string, unknown] => [
    param,
    call.given.text(name)
  ])
  const what: Words = ['Unable to get blkio parameters', 'Unable to change blkio parameters']
  const wanted = given([['weight', weight], ...devices])
  await showOrSet(call, { get: 'virDomainGetBlkioParameters', set: 'virDomainSetBlkioParameters', what, wanted })
}

async function numatune(call: DomainCall): Promise<void> {
  const text = call.given.text('mode')
  const known = (NUMATUNE_MODES as readonly (string | undefined)[]).indexOf(text)
  const mode = text === undefined ? undefined : known >= 0 ? known : parseInteger(text)
  if (text !== undefined && mode === undefined) throw new ClientError(`Invalid mode: ${text}`)
  const what: Words = ['Unable to get number of memory parameters', 'Unable to change numa parameters']
  const wanted = given([
    ['numa_nodeset', call.given.text('nodeset')],
    ['numa_mode', mode]
  ])
  const apis = { get: 'virDomainGetNumaParameters', set: 'virDomainSetNumaParameters' } as const
  await showOrSet(call, { ...apis, what, wanted }, (name, value) =>
    name === 'numa_mode' ? (NUMATUNE_MODES[Number(value)] ?? String(value)) : String(value)
  )
}

async function perf(call: DomainCall): Promise<void> {
  const { shim, given } = call
  const flags = impactFlags(given)
  const names = (option: string) => (given.text(option) ?? '').split(',').filter(Boolean)
  const wanted = Object.fromEntries([
    ...names('enable').map(name => [name, true]),
    ...names('disable').map(name => [name, false])
  ]) as ArgsOf<'virDomainSetPerfEvents'>['params']
  const state = (_: string, value: TypedJson) => (value ? 'enabled' : 'disabled')
  if (Object.keys(wanted).length === 0) {
    const call1 = shim.call('virDomainGetPerfEvents', { flags })
    return print(call, (await saying('Unable to get perf events', call1)).params, state)
  }
  await saying('Unable to enable/disable perf events', shim.call('virDomainSetPerfEvents', { params: wanted, flags }))
  print(call, wanted as Params, state)
}

export const tuning: Commands = {
  blkiotune: onDomain(
    'Get or set blkio parameters',
    {
      weight: option.int('IO Weight'),
      ...Object.fromEntries(
        Object.entries(DEVICE_OPTIONS).map(([name, [, what, word]]) => [
          name,
          option.text(`per-device ${what}, in the form of /path/to/device,${word},...`)
        ])
      ),
      ...impact
    },
    blkiotune
  ),

  emulatorpin: onDomain('control or query domain emulator affinity', { ...cpulist, ...impact }, emulatorpin),

  iothreadpin: onDomain(
    'control domain IOThread affinity',
    {
      iothread: option.int('IOThread ID number', { required: true }),
      cpulist: option.text('host cpu number(s) to set', { required: true }),
      ...impact
    },
    iothreadpin
  ),

  memtune: onDomain(
    'Get or set memory parameters',
    {
      ...Object.fromEntries(Object.entries(MEMORY_OPTIONS).map(([name, [, help]]) => [name, option.text(help)])),
      ...impact
    },
    memtune
  ),

  numatune: onDomain(
    'Get or set numa parameters',
    {
      mode: option.text(
        'NUMA mode, one of strict, preferred and interleave or a number from the virDomainNumatuneMemMode enum',
        { values: NUMATUNE_MODES }
      ),
      nodeset: option.text('NUMA node selections to set'),
      ...impact
    },
    numatune
  ),

  perf: onDomain(
    'Get or set perf event',
    {
      enable: option.text('perf events which will be enabled'),
      disable: option.text('perf events which will be disabled'),
      ...impact
    },
    perf
  ),

  schedinfo: onDomain(
    'show/set scheduler parameters',
    {
      weight: option.int('weight for XEN_CREDIT', { named: true }),
      cap: option.int('cap for XEN_CREDIT', { named: true }),
      current: option.bool('get/set current scheduler info'),
      config: option.bool('get/set value to be used on next boot'),
      live: option.bool('get/set value from running domain'),
      set: option.argv('parameter=value')
    },
    schedinfo
  ),

  vcpupin: onDomain(
    'control or query domain vcpu affinity',
    { vcpu: option.int('vcpu number'), ...cpulist, ...impact },
    vcpupin
  )
}
