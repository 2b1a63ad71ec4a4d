// Commands on the long job of a guest, and on its core dump.
import { resolve } from 'node:path'
import {
  virDomainAbortJobFlagsValues,
  virDomainCoreDumpFlags,
  virDomainCoreDumpFormat,
  virDomainGetJobStatsFlags,
  virDomainJobType
} from '../../conf/enums.ts'
import { formatJson } from '../../conf/json.ts'
import type { JobObject } from '../../drivers/qemu/job/list.ts'
import { prettyCapacity } from '../capacity.ts'
import { type Commands, type DomainCall, onDomain, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'
import { JOB_OPERATIONS, JOB_TYPES } from '../names.ts'
import { formatTable } from '../table.ts'
import { watchJob } from '../watch-job.ts'

const TYPE = virDomainJobType
const { VIR_DOMAIN_JOB_STATS_COMPLETED, VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED } = virDomainGetJobStatsFlags
const { VIR_DOMAIN_ABORT_JOB_POSTCOPY } = virDomainAbortJobFlagsValues

const DUMP = virDomainCoreDumpFlags
const FORMAT = virDomainCoreDumpFormat

/** Options of `dump` that are flags. */
const DUMP_FLAGS: Readonly<Record<string, number>> = {
  live: DUMP.VIR_DUMP_LIVE,
  crash: DUMP.VIR_DUMP_CRASH,
  'bypass-cache': DUMP.VIR_DUMP_BYPASS_CACHE,
  reset: DUMP.VIR_DUMP_RESET,
  'memory-only': DUMP.VIR_DUMP_MEMORY_ONLY
}

const DUMP_FORMATS: Readonly<Record<string, number>> = {
  elf: FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW,
  'kdump-zlib': FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB,
  'kdump-lzo': FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_LZO,
  'kdump-snappy': FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_SNAPPY,
  'win-dmp': FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_WIN_DMP
}

async function dump({ shim, given, session, wanted }: DomainCall): Promise<void> {
  const file = given.text('file')!
  const flags = Object.entries(DUMP_FLAGS).reduce((bits, [name, bit]) => (given.has(name) ? bits | bit : bits), 0)
  const name = given.text('format')
  if (name !== undefined && !given.has('memory-only')) throw new ClientError('--format only works with --memory-only')
  const dumpformat = name === undefined ? 0 : Object.hasOwn(DUMP_FORMATS, name) ? DUMP_FORMATS[name] : undefined
  if (dumpformat === undefined) {
    const known = "'kdump-zlib', 'kdump-lzo', 'kdump-snappy', 'win-dmp' or 'elf'"
    throw new ClientError(`format '${name}' is not supported, expecting ${known}`)
  }
  const to = resolve(file)
  const call =
    dumpformat === FORMAT.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW
      ? shim.callJob('virDomainCoreDump', { to, flags })
      : shim.callJob('virDomainCoreDumpWithFormat', { to, dumpformat, flags })
  const watched = watchJob({ session, shim }, { label: 'Dump', verbose: given.has('verbose') }, call)
  await saying(`Failed to core dump domain '${wanted}' to ${file}`, watched)
  session.printExtra(`\nDomain '${wanted}' dumped to ${file}\n`)
}

type Value = number | bigint

/** How a count is written. */
const plain = (value: Value) => String(value).padEnd(12)
const wide = (value: Value) => String(value).padEnd(13)
const ms = (value: Value) => `${plain(value)} ms`
const rate = (value: Value) => `${prettyCapacity(value)}/s`

/** What a job counts, three of a kind: shown where any of them is more than 0, with what belongs to them. */
const AMOUNTS: [what: string, param: string, more: Field[]][] = [
  ['Data', 'data', []],
  [
    'Memory',
    'memory',
    [
      ['Memory bandwidth', 'memory_bps', rate, 'unless 0'],
      ['Dirty rate', 'memory_dirty_rate', value => `${plain(value)} pages/s`],
      ['Page size', 'memory_page_size', value => `${plain(value)} bytes`],
      ['Iteration', 'memory_iteration', plain],
      ['Postcopy requests', 'memory_postcopy_requests', plain]
    ]
  ],
  ['File', 'disk', [['File bandwidth', 'disk_bps', rate, 'unless 0']]]
]

type Field = [label: string, param: string, shown: (value: Value) => string, when?: 'unless 0']

/** The rest, in virsh's order: each where it is counted. */
const FIELDS = (isOver: boolean): Field[] => [
  ['Constant pages', 'memory_constant', plain],
  ['Normal pages', 'memory_normal', plain],
  ['Normal data', 'memory_normal_bytes', prettyCapacity],
  [isOver ? 'Total downtime' : 'Expected downtime', 'downtime', ms],
  ['Downtime w/o network', 'downtime_net', ms],
  ['Setup time', 'setup_time', ms],
  ['Compression cache', 'compression_cache', prettyCapacity],
  ['Compressed data', 'compression_bytes', prettyCapacity],
  ['Compressed pages', 'compression_pages', wide],
  ['Compression cache misses', 'compression_cache_misses', wide],
  ['Compression overflows', 'compression_overflow', wide],
  ['Auto converge throttle', 'auto_converge_throttle', wide],
  ['Temporary disk space use', 'disk_temp_used', prettyCapacity],
  ['Temporary disk space total', 'disk_temp_total', prettyCapacity],
  ['Error message', 'errmsg', String]
]

async function domjobinfo({ shim, given, session }: DomainCall): Promise<void> {
  given.requiring(['keep-completed', 'completed'])
  const completed = given.has('completed')
  const flags =
    (completed ? VIR_DOMAIN_JOB_STATS_COMPLETED : 0) |
    (given.has('keep-completed') ? VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED : 0)
  const { type, params } = await shim.call('virDomainGetJobStats', { flags })
  if (given.has('rawstats')) {
    session.print(`Job type: ${type}\n\n`)
    for (const [name, value] of Object.entries(params)) session.print(`${name}: ${rawText(value)}\n`)
    return
  }
  const line = (label: string, value: string) => session.print(`${`${label}:`.padEnd(17)} ${value}\n`)
  const count = (name: string) => params[name] as Value | undefined
  const show = (fields: Field[]) => {
    for (const [label, name, shown, when] of fields) {
      const value = count(name)
      if (value !== undefined && (when === undefined || Number(value) !== 0)) line(label, shown(value))
    }
  }
  line('Job type', (JOB_TYPES[type] ?? 'unknown').padEnd(12))
  if (type === TYPE.VIR_DOMAIN_JOB_NONE) return
  line('Operation', (JOB_OPERATIONS[Number(params.operation ?? 0)] ?? 'unknown').padEnd(12))
  const counts: number[] = [
    TYPE.VIR_DOMAIN_JOB_BOUNDED,
    TYPE.VIR_DOMAIN_JOB_UNBOUNDED,
    ...(completed ? [TYPE.VIR_DOMAIN_JOB_COMPLETED] : [])
  ]
  if (!given.has('anystats') && !counts.includes(type)) return
  line('Time elapsed', ms(count('time_elapsed') ?? 0))
  show([['Time elapsed w/o network', 'time_elapsed_net', ms]])
  if (type === TYPE.VIR_DOMAIN_JOB_BOUNDED) line('Time remaining', ms(count('time_remaining') ?? 0))
  for (const [what, name, more] of AMOUNTS) {
    const amounts = ['processed', 'remaining', 'total'].map(of => [of, count(`${name}_${of}`) ?? 0] as const)
    if (amounts.every(([, value]) => Number(value) === 0)) continue
    for (const [of, value] of amounts) line(`${what} ${of}`, prettyCapacity(value))
    show(more)
  }
  show(FIELDS(type === TYPE.VIR_DOMAIN_JOB_COMPLETED))
}

/** What a guest is busy with, a line each (GET /v1/jobs). */
export const jobs: Commands = {
  jobs: {
    help: 'list what guests are busy with',
    options: {
      domain: option.text('only what this domain is, by name, id or uuid', { emptyOk: true }),
      json: option.bool('the whole answer as JSON')
    },
    async run(session, given) {
      const wanted = given.text('domain')
      const guests = wanted === undefined ? await session.guests() : [await session.lookup(wanted)]
      const all: (JobObject & { domain: string })[] = []
      for (const { shim, report } of guests) {
        const answer = (await shim.get(shim.pathOf('jobs'))) as { jobs: JobObject[] }
        all.push(...answer.jobs.map(one => ({ domain: report.name, ...one })))
      }
      if (given.has('json')) return session.print(`${formatJson({ jobs: all })}\n`)
      const rows = all.map(one => [one.domain, one.kind, one.phase ?? '-', one.heldBy, progressOf(one)])
      session.print(formatTable(['Domain', 'Job', 'Phase', 'Held by', 'Progress'], rows, session.options.quiet))
    }
  }
}

const progressOf = ({ percent, bytesPerSecond }: JobObject) =>
  percent === undefined
    ? '-'
    : [`${percent} %`, ...(bytesPerSecond === undefined ? [] : [`${prettyCapacity(bytesPerSecond)}/s`])].join(', ')

/** As virTypedParameterToString. */
const rawText = (value: unknown) => String(typeof value === 'boolean' ? Number(value) : value)

export const job: Commands = {
  domjobabort: onDomain(
    'abort active domain job',
    { postcopy: option.bool('interrupt post-copy migration') },
    async ({ shim, given }) => {
      if (given.has('postcopy')) await shim.call('virDomainAbortJobFlags', { flags: VIR_DOMAIN_ABORT_JOB_POSTCOPY })
      else await shim.call('virDomainAbortJob')
    }
  ),
  domjobinfo: onDomain(
    'domain job information',
    {
      completed: option.bool('return statistics of a recently completed job'),
      'keep-completed': option.bool("don't destroy statistics of a recently completed job when reading"),
      anystats: option.bool('print statistics for any kind of job (even failed ones)'),
      rawstats: option.bool('print the raw data returned by libvirt')
    },
    domjobinfo
  ),
  dump: onDomain(
    'dump the core of a domain to a file for analysis',
    {
      file: option.text('where to dump the core', { required: true }),
      live: option.bool('perform a live core dump if supported'),
      crash: option.bool('crash the domain after core dump'),
      'bypass-cache': option.bool('avoid file system cache when dumping'),
      reset: option.bool('reset the domain after core dump'),
      verbose: option.bool('display the progress of dump'),
      'memory-only': option.bool("dump domain's memory only"),
      format: option.text('specify the format of memory-only dump', { named: true, values: Object.keys(DUMP_FORMATS) })
    },
    dump
  )
}
