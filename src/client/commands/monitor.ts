// Commands that watch a guest: its state and statistics.

import { virConnectGetAllDomainStatsFlags, virDomainStatsTypes } from '../../conf/enums.ts'
import type { RetOf } from '../../drivers/qemu/index.ts'
import { type Commands, type DomainCall, impact, impactFlags, onDomain, option } from '../command.ts'
import type { Connection } from '../connection.ts'
import { ApiError, ClientError, saying } from '../failure.ts'
import { CONTROL_ERRORS, CONTROL_STATES, STATES, stateName, stateReason } from '../names.ts'
import type { Guest } from '../session.ts'
import { formatTable } from '../table.ts'

/** Values of typed parameters as virsh writes them. */
const shown = (value: unknown) => (typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value))

/** Mean depths of queues are the only statistics with a fraction, which JSON may leave out. */
const statistic = (name: string, value: unknown) =>
  name.endsWith('_queue_depth_avg') ? Number(value).toFixed(6) : shown(value)

const seconds = (ns: number | bigint) => `${(Number(ns) / 1e9).toFixed(1)}s`

/** A call whose API a shim may lack: undefined then. */
async function ifSupported<T>(call: Promise<T>): Promise<T | undefined> {
  return call.catch(error => {
    if (error instanceof ApiError) return undefined
    throw error
  })
}

async function dominfo({ shim, session, name, uuid, id }: DomainCall): Promise<void> {
  session.field('Id', id === -1 ? '-' : id)
  session.field('Name', name)
  session.field('UUID', uuid)
  session.field('OS Type', (await shim.call('virDomainGetOSType')).type)
  const info = await shim.call('virDomainGetInfo')
  session.field('State', stateName(info.state))
  session.field('CPU(s)', info.nrVirtCpu)
  if (Number(info.cpuTime) !== 0) session.field('CPU time', seconds(info.cpuTime))
  session.field('Max memory', `${info.maxMem} KiB`)
  session.field('Used memory', `${info.memory} KiB`)
  session.field('Persistent', (await shim.call('virDomainIsPersistent')).persistent ? 'yes' : 'no')
  session.field('Autostart', (await shim.call('virDomainGetAutostart')).autostart ? 'enable' : 'disable')
  const once = await ifSupported(shim.call('virDomainGetAutostartOnce'))
  if (once) session.field('Autostart Once', once.autostart ? 'enable' : 'disable')
  const saved = await ifSupported(shim.call('virDomainHasManagedSaveImage'))
  session.field('Managed save', saved === undefined ? 'unknown' : saved.result ? 'yes' : 'no')
  const security = await ifSupported(shim.call('virNodeGetSecurityModel'))
  if (security?.model) {
    session.field('Security model', security.model)
    session.field('Security DOI', security.doi)
  }
  const notes: string[] = (await ifSupported(shim.call('virDomainGetMessages')))?.msgs ?? []
  notes.forEach((note, i) => {
    session.print(`${(i === 0 ? 'Messages:' : '').padEnd(15)} ${note}\n`)
  })
}

/** Fields of block statistics in virsh's order: API's name, its old short name, words for people. */
const BLOCK_FIELDS: [name: string, legacy: string | undefined, human: string][] = [
  ['rd_operations', 'rd_req', 'number of read operations:'],
  ['rd_bytes', 'rd_bytes', 'number of bytes read:'],
  ['wr_operations', 'wr_req', 'number of write operations:'],
  ['wr_bytes', 'wr_bytes', 'number of bytes written:'],
  ['errs', 'errs', 'error count:'],
  ['flush_operations', undefined, 'number of flush operations:'],
  ['rd_total_times', undefined, 'total duration of reads (ns):'],
  ['wr_total_times', undefined, 'total duration of writes (ns):'],
  ['flush_total_times', undefined, 'total duration of flushes (ns):']
]

async function domblkstat({ shim, given, session }: DomainCall): Promise<void> {
  const path = given.text('device') ?? ''
  const human = given.has('human')
  const { params } = await shim.call('virDomainBlockStatsFlags', { path })
  if (human) session.print(`Device: ${path}\n`)
  const device = human ? '' : path
  const rest = new Map(Object.entries(params))
  for (const [name, legacy, words] of BLOCK_FIELDS) {
    if (!rest.has(name)) continue
    session.print(`${device} ${human ? words.padEnd(31) : (legacy ?? name)} ${shown(rest.get(name))}\n`)
    rest.delete(name)
  }
  for (const [name, value] of rest) session.print(`${device} ${name} ${shown(value)}\n`)
}

const INTERFACE_FIELDS = [
  'rx_bytes',
  'rx_packets',
  'rx_errs',
  'rx_drop',
  'tx_bytes',
  'tx_packets',
  'tx_errs',
  'tx_drop'
] as const

async function domifstat({ shim, given, wanted, session }: DomainCall): Promise<void> {
  const device = given.text('interface')!
  const call = shim.call('virDomainInterfaceStats', { device })
  const stats = await saying(`Failed to get interface stats ${wanted} ${device}`, call)
  for (const field of INTERFACE_FIELDS) {
    if (Number(stats[field]) >= 0) session.print(`${device} ${field} ${stats[field]}\n`)
  }
}

const AFFECT_LIVE = 1

/** virDomainMemoryStatTags in order. */
const MEMORY_TAGS = [
  'swap_in',
  'swap_out',
  'major_fault',
  'minor_fault',
  'unused',
  'available',
  'actual',
  'rss',
  'usable',
  'last_update',
  'disk_caches',
  'hugetlb_pgalloc',
  'hugetlb_pgfail'
]

async function dommemstat({ shim, given, wanted, session, id }: DomainCall): Promise<void> {
  const affected = impactFlags(given)
  const period = given.int('period')
  if (period !== undefined) {
    if (period < 0) throw new ClientError(`Invalid collection period value '${period}'`)
    const flags = affected || (given.has('current') || id === -1 ? 0 : AFFECT_LIVE)
    const call = shim.call('virDomainSetMemoryStatsPeriod', { period, flags })
    await saying('Unable to change balloon collection period.', call)
    return
  }
  const call = shim.call('virDomainMemoryStats')
  const { stats } = await saying(`Failed to get memory statistics for domain ${wanted}`, call)
  for (const { tag, val } of stats) if (MEMORY_TAGS[tag]) session.print(`${MEMORY_TAGS[tag]} ${val}\n`)
}

async function domtime({ shim, given, session }: DomainCall): Promise<void> {
  given.exclusive(['time', 'now'], ['time', 'sync'], ['now', 'sync'])
  const time = given.int('time', { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER })
  if (time !== undefined || given.has('now') || given.has('sync')) {
    const set = given.has('now') ? Math.floor(Date.now() / 1000) : (time ?? 0)
    await shim.call('virDomainSetTime', { seconds: set, nseconds: 0, flags: given.has('sync') ? 1 : 0 })
    return
  }
  const now = (await shim.call('virDomainGetTime')).seconds
  if (!given.has('pretty')) return session.print(`Time: ${now}`)
  session.print(`Time: ${new Date(Number(now) * 1000).toISOString().slice(0, 19).replace('T', ' ')}`)
}

/** Groups of statistics, by option: --cpu-total is VIR_DOMAIN_STATS_CPU_TOTAL. */
const STATS_GROUPS: Record<string, number> = Object.fromEntries(
  Object.entries(virDomainStatsTypes).map(([name, bit]) => [
    name.replace('VIR_DOMAIN_STATS_', '').toLowerCase().replaceAll('_', '-'),
    bit
  ])
)

/** Guests that statistics are wanted of, by the rest of their options. */
const STATS_FILTERS: Record<string, number> = Object.fromEntries(
  ['active', 'inactive', 'persistent', 'transient', 'running', 'paused', 'shutoff', 'other'].map((name, i) => [
    name,
    1 << i
  ])
)

/** Further wishes of a query, by option. */
const STATS_FLAGS: Record<string, number> = {
  enforce: virConnectGetAllDomainStatsFlags.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS,
  backing: virConnectGetAllDomainStatsFlags.VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING,
  nowait: virConnectGetAllDomainStatsFlags.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
}

export const monitor: Commands = {
  domblkstat: onDomain(
    'get device block stats for a domain',
    {
      device: option.text('block device', { emptyOk: true }),
      human: option.bool('print a more human readable output')
    },
    domblkstat
  ),

  domcontrol: onDomain('domain control interface state', {}, async ({ shim, session }) => {
    const { state, details, stateTime } = await shim.call('virDomainGetControlInfo')
    const name = CONTROL_STATES[state] ?? 'unknown'
    if (name !== 'ok' && name !== 'error') session.print(`${name} (${(Number(stateTime) / 1000).toFixed(3)}s)\n`)
    else if (name === 'error' && details > 0) session.print(`${name}: ${CONTROL_ERRORS[details] ?? 'unknown'}\n`)
    else session.print(`${name}\n`)
  }),

  domifstat: onDomain(
    'get network interface stats for a domain',
    { interface: option.text('interface device specified by name or MAC Address', { required: true }) },
    domifstat
  ),

  dominfo: onDomain('domain information', {}, dominfo),
  dommemstat: onDomain(
    'get memory statistics for a domain',
    { period: option.int('period in seconds to set collection', { named: true }), ...impact },
    dommemstat
  ),

  domstate: onDomain(
    'domain state',
    { reason: option.bool('also print reason for the state') },
    async ({ shim, given, session }) => {
      const { state, reason } = await shim.call('virDomainGetState')
      session.print(`${stateName(state)}${given.has('reason') ? ` (${stateReason(state, reason)})` : ''}\n`)
    }
  ),

  domstats: {
    help: 'get statistics about one or multiple domains',
    options: {
      ...Object.fromEntries(Object.keys(STATS_GROUPS).map(name => [name, option.bool(`report ${name} statistics`)])),
      ...Object.fromEntries(
        Object.keys(STATS_FILTERS).map(name => [`list-${name}`, option.bool(`list only ${name} domains`)])
      ),
      raw: option.bool('do not pretty-print the fields'),
      enforce: option.bool('enforce requested stats parameters'),
      backing: option.bool('add backing chain information to block stats'),
      nowait: option.bool('report only stats that are accessible instantly'),
      domain: option.argv('list of domains to get stats for')
    },
    async run(session, given) {
      const bitsOf = (options: Record<string, number>) =>
        Object.entries(options).reduce((bits, [name, bit]) => bits + (given.has(name) ? bit : 0), 0)
      const stats = bitsOf(STATS_GROUPS)
      const filters = Object.entries(STATS_FILTERS).map(([name, bit]) => [`list-${name}`, bit])
      const flags = bitsOf({ ...STATS_FLAGS, ...Object.fromEntries(filters) })
      const wanted = given.all('domain')
      const records = wanted.length
        ? await Promise.all(
            wanted.map(async name => {
              const { shim } = await session.lookup(name)
              return (await shim.call('virDomainListGetStats', { stats, flags })).retStats
            })
          ).then(records => records.flat())
        : await statsOfAll(await session.connections(), { stats, flags })
      const texts = records.map(record => {
        const lines = Object.entries(record.params).map(([name, value]) => `  ${name}=${statistic(name, value)}\n`)
        return `Domain: '${record.dom.name}'\n${lines.join('')}`
      })
      session.print(texts.join('\n'))
    }
  },

  domtime: onDomain(
    'domain time',
    {
      now: option.bool('set to the time of the host running virshim'),
      pretty: option.bool("print domain's time in human readable form"),
      sync: option.bool("instead of setting given time, synchronize from domain's RTC"),
      time: option.int('time to set')
    },
    domtime
  ),

  list: {
    help: 'list domains',
    options: {
      inactive: option.bool('list inactive domains'),
      all: option.bool('list inactive & active domains'),
      transient: option.bool('list transient domains'),
      persistent: option.bool('list persistent domains'),
      'state-running': option.bool('list domains in running state'),
      'state-paused': option.bool('list domains in paused state'),
      'state-shutoff': option.bool('list domains in shutoff state'),
      'state-other': option.bool('list domains in other states'),
      autostart: option.bool('list domains with autostart enabled'),
      'no-autostart': option.bool('list domains with autostart disabled'),
      'with-managed-save': option.bool('list domains with managed save state'),
      'without-managed-save': option.bool('list domains without managed save'),
      'with-snapshot': option.bool('list domains with existing snapshot'),
      'without-snapshot': option.bool('list domains without a snapshot'),
      'with-checkpoint': option.bool('list domains with existing checkpoint'),
      'without-checkpoint': option.bool('list domains without a checkpoint'),
      uuid: option.bool("list uuid's only"),
      name: option.bool('list domain names only'),
      id: option.bool('list domain IDs only'),
      table: option.bool('list table (default)'),
      'managed-save': option.bool('mark inactive domains with managed save state'),
      title: option.bool('show domain title')
    },
    async run(session, given) {
      given.exclusive(['table', 'name'], ['table', 'id'])
      const inactive = given.has('inactive') || given.has('state-shutoff')
      const chosen = (await session.guests()).filter(({ report }) => {
        const active = report.id !== -1
        if (!given.has('all') && active === inactive) return false
        const state = STATES[report.state]
        const kind = state === 'running' || state === 'paused' ? state : state === 'shut off' ? 'shutoff' : 'other'
        return (
          passes(given, ['persistent', report.persistent], ['transient', !report.persistent]) &&
          passes(given, ['autostart', report.autostart], ['no-autostart', !report.autostart]) &&
          passes(given, ['with-managed-save', report.managedSave], ['without-managed-save', !report.managedSave]) &&
          passes(given, ['with-snapshot', report.snapshots], ['without-snapshot', !report.snapshots]) &&
          passes(given, ['with-checkpoint', report.checkpoints], ['without-checkpoint', !report.checkpoints]) &&
          passes(given, ...['running', 'paused', 'shutoff', 'other'].map(s => [`state-${s}`, s === kind] as const))
        )
      })
      const order = (id: number) => (id === -1 ? Number.POSITIVE_INFINITY : id)
      const key = ({ report }: Guest) => report.name.toLowerCase()
      chosen.sort((a, b) => order(a.report.id) - order(b.report.id) || (key(a) < key(b) ? -1 : 1))
      const idOf = (id: number) => (id === -1 ? '-' : String(id))
      const columns = ['uuid', 'id', 'name'].filter(name => given.has(name))
      if (columns.length > 0 && !given.has('table')) {
        for (const { report } of chosen) {
          if (report.id === -1 && columns.join() === 'id') continue
          const cells = { uuid: report.uuid, id: idOf(report.id), name: report.name } as Record<string, string>
          session.print(`${columns.map(name => cells[name]).join(' ')}\n`)
        }
        return
      }
      const title = given.has('title')
      const uuid = given.has('uuid')
      const rows = await Promise.all(
        chosen.map(async ({ shim, report }) => {
          const silent = report.unreachableSince !== undefined
          const isSaved = given.has('managed-save') && report.id === -1 && report.managedSave
          const state = isSaved ? 'saved' : stateName(report.state)
          const cells = [idOf(report.id), report.name, silent ? 'unreachable' : state]
          if (title) cells.push((await metadataText(shim, 'TITLE')) ?? '')
          if (uuid) cells.push(report.uuid)
          return cells
        })
      )
      const header = ['Id', 'Name', 'State', ...(title ? ['Title'] : []), ...(uuid ? ['UUID'] : [])]
      session.print(formatTable(header, rows, session.options.quiet))
    }
  }
}

type Statistics = RetOf<'virConnectGetAllDomainStats'>['retStats']

/** Statistics of every guest, those that run first and by id. */
async function statsOfAll(connections: Connection[], args: { stats: number; flags: number }): Promise<Statistics> {
  const answers = await Promise.allSettled(connections.map(one => one.call('virConnectGetAllDomainStats', args)))
  const [only] = answers
  if (answers.length === 1 && only?.status === 'rejected') throw only.reason
  const records = answers.flatMap(answer => (answer.status === 'fulfilled' ? answer.value.retStats : []))
  return records.sort((a, b) => a.dom.id - b.dom.id)
}

/** True when none of a group of filters is asked for, or one of those asked for holds. */
function passes(
  given: { has(name: string): boolean },
  ...filters: (readonly [name: string, holds: boolean])[]
): boolean {
  const asked = filters.filter(([name]) => given.has(name))
  return asked.length === 0 || asked.some(([, holds]) => holds)
}

const VIR_ERR_NO_DOMAIN_METADATA = 80

/** virDomainMetadataType. */
export const METADATA_TYPES = { DESCRIPTION: 0, TITLE: 1, ELEMENT: 2 } as const

/** Title, description or the element of a namespace; undefined when there is none. */
export async function metadataText(
  shim: DomainCall['shim'],
  kind: keyof typeof METADATA_TYPES,
  { uri, flags = 0 }: { uri?: string | undefined; flags?: number } = {}
): Promise<string | undefined> {
  return shim.call('virDomainGetMetadata', { type: METADATA_TYPES[kind], uri, flags }).then(
    answer => answer.metadata,
    error => {
      if (error instanceof ApiError && error.code === VIR_ERR_NO_DOMAIN_METADATA) return undefined
      throw error
    }
  )
}
