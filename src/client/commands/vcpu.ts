// Commands that show a guest's vCPUs and IOThreads.
import type { RetOf } from '../../drivers/qemu/index.ts'
import { type Commands, type DomainCall, impact, impactFlags, onDomain, option } from '../command.ts'
import { ApiError, ClientError, saying } from '../failure.ts'
import { VCPU_STATES } from '../names.ts'
import { formatTable } from '../table.ts'

const AFFECT_LIVE = 1
const AFFECT_CONFIG = 2
const VCPU_MAXIMUM = 4
const VCPU_GUEST = 8
const NS_PER_S = 1_000_000_000n
/** Host CPUs asked for at once, libvirt's limit. */
const CPUS_AT_ONCE = 128

async function vcpucount({ shim, given, session, id }: DomainCall): Promise<void> {
  const has = (name: string) => given.has(name)
  given.exclusive(['live', 'config'], ['active', 'maximum'], ['guest', 'config'])
  if (has('maximum') || has('active')) given.exclusive(['current', 'live'], ['current', 'config'])
  const count = async (flags: number): Promise<number> => (await shim.call('virDomainGetVcpusFlags', { flags })).num
  if (['maximum', 'active', 'config', 'live', 'guest', 'current'].some(has)) {
    const flags =
      (has('live') ? AFFECT_LIVE : 0) |
      (has('config') ? AFFECT_CONFIG : 0) |
      (has('maximum') ? VCPU_MAXIMUM : 0) |
      (has('guest') ? VCPU_GUEST : 0)
    return session.print(`${await count(flags)}\n`)
  }
  const { persistent } = await shim.call('virDomainIsPersistent')
  const line = async (which: string, state: string, flags: number) =>
    session.print(`${which.padEnd(12)} ${state.padEnd(12)} ${String(await count(flags)).padStart(3)}\n`)
  for (const [which, bit] of [
    ['maximum', VCPU_MAXIMUM],
    ['current', 0]
  ] as const) {
    if (persistent) await line(which, 'config', bit | AFFECT_CONFIG)
    if (id !== -1) await line(which, 'live', bit | AFFECT_LIVE)
  }
}

async function vcpuinfo({ shim, given, session }: DomainCall): Promise<void> {
  const { info, cpumaps } = await shim.call('virDomainGetVcpus')
  info.forEach((vcpu, i) => {
    if (i > 0) session.print('\n')
    session.field('VCPU', vcpu.number)
    session.field('CPU', vcpu.cpu)
    session.field('State', VCPU_STATES[vcpu.state] ?? 'no state')
    if (Number(vcpu.cpuTime) !== 0) session.field('CPU time', `${(Number(vcpu.cpuTime) / 1e9).toFixed(1)}s`)
    const map = cpumaps[i]!
    const affinity = given.has('pretty')
      ? `${ranges(map)} (out of ${map.length})`
      : map.map(allowed => (allowed ? 'y' : '-')).join('')
    session.field('CPU Affinity', affinity)
  })
}

/** `0-3,5` of the set bits. */
function ranges(map: boolean[]): string {
  const found: string[] = []
  for (let from = 0; from < map.length; from++) {
    if (!map[from]) continue
    let to = from
    while (map[to + 1]) to++
    found.push(from === to ? String(from) : `${from}-${to}`)
    from = to
  }
  return found.join(',')
}

async function iothreadinfo({ shim, given, session }: DomainCall): Promise<void> {
  const call = shim.call('virDomainGetIOThreadInfo', { flags: impactFlags(given) })
  const { info } = await saying('Unable to get domain IOThreads information', call)
  if (info.length === 0) return session.printExtra('No IOThreads found for the domain')
  const rows = info.map(({ iothread_id, cpumap }) => [String(iothread_id), ranges(cpumap)])
  session.print(formatTable(['IOThread ID', 'CPU Affinity'], rows, session.options.quiet))
}

type CpuStats = RetOf<'virDomainGetCPUStats'>['params']

async function cpuStats({ shim, given, session, name }: DomainCall): Promise<void> {
  const call = async (startCpu: number, ncpus: number) =>
    saying(
      `Failed to retrieve CPU statistics for domain '${name}'`,
      shim.call('virDomainGetCPUStats', { startCpu, ncpus })
    )
  const print = (params: CpuStats[number]) => {
    for (const [field, value] of Object.entries(params)) {
      const ns = BigInt(value)
      const time = `${String(ns / NS_PER_S).padStart(9)}.${String(ns % NS_PER_S).padStart(9, '0')} seconds`
      session.print(`\t${field.padEnd(12)} ${field.endsWith('_time') ? time : value}\n`)
    }
  }
  const start = given.int('start')
  if (start !== undefined && start < 0) throw new ClientError('Invalid value for start CPU')
  const count = given.int('count')
  if (count !== undefined && count < 0) throw new ClientError('Invalid value for number of CPUs to show')
  const perCpu = start !== undefined || count !== undefined
  if (perCpu || !given.has('total')) {
    const first = start ?? 0
    const { params } = await call(first, Math.min(count ?? CPUS_AT_ONCE, CPUS_AT_ONCE)).catch(error => {
      // without per-CPU accounting the totals are still to be had
      if (perCpu || !(error.cause instanceof ApiError || error instanceof ClientError)) throw error
      return { params: [] as CpuStats }
    })
    params.forEach((stats, i) => {
      session.print(`CPU${first + i}:\n`)
      print(stats)
    })
  }
  if (perCpu && !given.has('total')) return
  const { params } = await call(-1, 1)
  session.print('Total:\n')
  params.forEach(print)
}

export const vcpu: Commands = {
  'cpu-stats': onDomain(
    'show domain cpu statistics',
    {
      total: option.bool('Show total statistics only'),
      start: option.int('Show statistics from this CPU'),
      count: option.int('Number of shown CPUs at most')
    },
    cpuStats
  ),
  iothreadinfo: onDomain('view domain IOThreads', impact, iothreadinfo),
  vcpucount: onDomain(
    'domain vcpu counts',
    {
      maximum: option.bool('get maximum count of vcpus'),
      active: option.bool('get number of currently active vcpus'),
      ...impact,
      guest: option.bool('retrieve vcpu count from the guest instead of the hypervisor')
    },
    vcpucount
  ),
  vcpuinfo: onDomain(
    'detailed domain vcpu information',
    { pretty: option.bool('return human readable output') },
    vcpuinfo
  )
}
