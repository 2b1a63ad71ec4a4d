// Commands about the host itself: CPUs, memory, pages, sleep.
import { setTimeout as sleep } from 'node:timers/promises'
import { formatBitmap } from '../../conf/bitmap.ts'
import { type Given, parseInteger, scaledInteger, ULLONG_MAX } from '../arguments.ts'
import { type Commands, option } from '../command.ts'
import { ClientError, saying } from '../failure.ts'
import type { Session } from '../session.ts'

const cellno = option.int('NUMA cell number')
const WHOLE_HOST = -1

/** virsh's limit of a page's size. */
const PAGE_BYTES_MAX = (2n ** 32n - 1n) * 1024n

/** A size in KiB, unless it says otherwise; rounded up to whole KiB. @throws ClientError in virsh's words */
function pageSizeKiB(given: Given): number | undefined {
  const text = given.text('pagesize')
  if (text === undefined) return undefined
  return Number((scaledInteger(text, '<pagesize>', { unit: 1024n, max: PAGE_BYTES_MAX }) + 1023n) / 1024n)
}

/** Page sizes of the host and its cells, as capabilities tell them. */
async function cellsAndSizes(session: Session): Promise<{ cells: number[]; sizes: number[] }> {
  const { capabilities } = await saying('unable to get node capabilities', session.ask('virConnectGetCapabilities'))
  const [host = ''] = (capabilities as string).split('</host>')
  const numbers = (pattern: RegExp) => [...host.matchAll(pattern)].map(([, value]) => Number(value))
  return {
    cells: numbers(/<cell id='(\d+)'/g),
    sizes: numbers(/<pages unit='KiB' size='(\d+)'\/>/g)
  }
}

async function freePages(session: Session, cell: number, pages: number[]): Promise<void> {
  const args = { pages, startCell: cell, cellCount: 1 }
  const { counts } = await session.ask('virNodeGetFreePages', args)
  pages.forEach((size, i) => {
    session.print(`${size}KiB: ${counts[i]}\n`)
  })
}

/** Kinds of CPU time in virsh's order, and its words. */
const CPU_TIMES = [
  ['user', 'user:'],
  ['kernel', 'system:'],
  ['idle', 'idle:'],
  ['iowait', 'iowait:'],
  ['intr', 'intr:']
] as const
const PERCENT_INTERVAL_MS = 1000

async function cpuTimes(session: Session, cpuNum: number): Promise<Map<string, bigint>> {
  const { params } = await saying('Unable to get node cpu stats', session.ask('virNodeGetCPUStats', { cpuNum }))
  return new Map(params.map(({ field, value }) => [field, BigInt(value)]))
}

const line = (label: string, width: number, value: string | number | bigint) => `${label.padEnd(width)} ${value}\n`

const KSM_OPTIONS = {
  'shm-pages-to-scan': option.int('number of pages to scan before the shared memory service goes to sleep'),
  'shm-sleep-millisecs': option.int('number of millisecs the shared memory service should sleep before next scan'),
  'shm-merge-across-nodes': option.int('Specifies if pages from different numa nodes can be merged')
}
const UINT_MAX = 2 ** 32 - 1
const SUSPEND_TARGETS = ['mem', 'disk', 'hybrid']

export const node: Commands = {
  hostname: {
    help: 'print the hypervisor hostname',
    options: {},
    async run(session) {
      const { hostname } = await saying('failed to get hostname', session.ask('virConnectGetHostname'))
      session.print(`${hostname}\n`)
    }
  },
  nodeinfo: {
    help: 'node information',
    options: {},
    async run(session) {
      const info = await saying('failed to get node information', session.ask('virNodeGetInfo'))
      const rows: [string, string | number | bigint][] = [
        ['CPU model:', info.model],
        ['CPU(s):', info.cpus],
        ...(info.mhz ? [['CPU frequency:', `${info.mhz} MHz`] as [string, string]] : []),
        ['CPU socket(s):', info.sockets],
        ['Core(s) per socket:', info.cores],
        ['Thread(s) per core:', info.threads],
        ['NUMA cell(s):', info.nodes],
        ['Memory size:', `${info.memory} KiB`]
      ]
      for (const [label, value] of rows) session.print(line(label, 20, value))
    }
  },
  nodecpumap: {
    help: 'node cpu map',
    options: { pretty: option.bool('return human readable output') },
    async run(session, given) {
      const { cpumap, online } = await saying('Unable to get cpu map', session.ask('virNodeGetCPUMap'))
      const present: number[] = cpumap
      const bits = present.reduce((mask, on, cpu) => (on ? mask | (1n << BigInt(cpu)) : mask), 0n)
      session.print(line('CPUs present:', 15, present.length))
      session.print(line('CPUs online:', 15, online))
      const map = given.has('pretty') ? formatBitmap(bits) : present.map(on => (on ? 'y' : '-')).join('')
      session.print(line('CPU map:', 15, map))
    }
  },
  nodecpustats: {
    help: 'Prints cpu stats of the node.',
    options: {
      cpu: option.int('prints specified cpu statistics only.'),
      percent: option.bool('prints by percentage during 1 second.')
    },
    async run(session, given) {
      const cpuNum = given.int('cpu') ?? -1
      const before = await cpuTimes(session, cpuNum)
      const shown = CPU_TIMES.filter(([field]) => before.has(field))
      if (!given.has('percent')) {
        for (const [field, label] of shown) session.print(line(label, 15, String(before.get(field)).padStart(20)))
        return
      }
      await sleep(PERCENT_INTERVAL_MS)
      const after = await cpuTimes(session, cpuNum)
      const spent = (field: string) => Number((after.get(field) ?? 0n) - (before.get(field) ?? 0n))
      const total = shown.reduce((sum, [field]) => sum + spent(field), 0)
      const percent = (part: number) => `${((part / total) * 100).toFixed(1).padStart(5)}%`
      session.print(line('usage:', 15, percent(spent('user') + spent('kernel'))))
      for (const [field, label] of shown) session.print(line(label, 15, percent(spent(field))))
    }
  },
  nodememstats: {
    help: 'Prints memory stats of the node.',
    options: { cell: option.int('prints specified cell statistics only.') },
    async run(session, given) {
      const { params } = await saying(
        'Unable to get number of memory stats',
        session.ask('virNodeGetMemoryStats', { cellNum: given.int('cell') ?? WHOLE_HOST })
      )
      for (const { field, value } of params) {
        session.print(`${field.padEnd(7)}: ${String(value).padStart(20)} KiB\n`)
      }
    }
  },
  maxvcpus: {
    help: 'connection vcpu maximum',
    options: { type: option.text('domain type') },
    async run(session, given) {
      const type = given.text('type')
      const told = await session
        .ask('virConnectGetDomainCapabilities', type === undefined ? {} : { virttype: type })
        .then(
          ({ capabilities }) => /<vcpu max='(\d+)'/.exec(capabilities)?.[1],
          () => undefined
        )
      const most = told ?? (await session.ask('virConnectGetMaxVcpus', type === undefined ? {} : { type })).maxVcpus
      session.print(`${most}\n`)
    }
  },
  freecell: {
    help: 'NUMA free memory',
    options: { cellno, all: option.bool('show free memory for all NUMA cells') },
    async run(session, given) {
      given.exclusive(['all', 'cellno'])
      const kib = (bytes: bigint | number) => BigInt(bytes) / 1024n
      const ofCell = async (cell: number): Promise<bigint> =>
        BigInt((await session.ask('virNodeGetCellsFreeMemory', { startCell: cell, maxcells: 1 })).cells[0]!)
      const cell = given.int('cellno')
      if (cell !== undefined) {
        session.print(`${cell}: ${kib(await ofCell(cell))} KiB\n`)
        return
      }
      if (!given.has('all')) {
        session.print(`Total: ${kib((await session.ask('virNodeGetFreeMemory')).freeMem)} KiB\n`)
        return
      }
      const { cells } = await cellsAndSizes(session)
      let total = 0n
      for (const id of cells) {
        const free = await saying(`failed to get free memory for NUMA node number: ${id}`, ofCell(id))
        total += free
        session.print(`${String(id).padStart(5)}: ${String(kib(free)).padStart(10)} KiB\n`)
      }
      session.printExtra('--------------------\n')
      session.printExtra(`Total: ${String(kib(total)).padStart(10)} KiB\n`)
    }
  },
  freepages: {
    help: 'NUMA free pages',
    options: {
      cellno,
      pagesize: option.int('page size (in kibibytes)'),
      all: option.bool('show free pages for all NUMA cells')
    },
    async run(session, given) {
      given.exclusive(['all', 'cellno'])
      const size = pageSizeKiB(given)
      if (given.has('all')) {
        const { cells, sizes } = await cellsAndSizes(session)
        for (const cell of cells) {
          session.print(`Node ${cell}:\n`)
          await freePages(session, cell, size === undefined ? sizes : [size])
          session.print('\n')
        }
        return
      }
      const cell = given.int('cellno')
      if (cell === undefined) throw new ClientError('missing cellno argument')
      if (cell < WHOLE_HOST) throw new ClientError('cell number must be non-negative integer or -1')
      if (size === undefined) throw new ClientError('missing pagesize argument')
      await freePages(session, cell, [size])
    }
  },
  allocpages: {
    help: 'Manipulate pages pool size',
    options: {
      pagesize: option.int('page size (in kibibytes)', { required: true }),
      pagecount: option.int('page count', { required: true }),
      cellno,
      add: option.bool('instead of setting new pool size add pages to it'),
      all: option.bool('set on all NUMA cells')
    },
    async run(session, given) {
      given.exclusive(['all', 'cellno'])
      const text = given.text('pagecount')!
      if (!/^\s*\+?\d+$/.test(text) || BigInt(text) > ULLONG_MAX) {
        throw new ClientError(`Numeric value '${text}' for <pagecount> option is malformed or out of range`)
      }
      const cells = given.has('all') ? (await cellsAndSizes(session)).cells : [given.int('cellno') ?? WHOLE_HOST]
      for (const startCell of cells) {
        await session.ask('virNodeAllocPages', {
          pageSizes: [pageSizeKiB(given)!],
          pageCounts: [BigInt(text)],
          startCell,
          cellCount: 1,
          flags: given.has('add') ? [] : ['VIR_NODE_ALLOC_PAGES_SET']
        })
      }
    }
  },
  'node-memory-tune': {
    help: 'Get or set node memory parameters',
    options: KSM_OPTIONS,
    async run(session, given) {
      const params = Object.fromEntries(
        Object.keys(KSM_OPTIONS).flatMap(name => {
          const value = given.int(name, { min: 0, max: UINT_MAX })
          return value === undefined ? [] : [[name.replaceAll('-', '_'), value]]
        })
      )
      if (Object.keys(params).length > 0) {
        await saying('Unable to change memory parameters', session.ask('virNodeSetMemoryParameters', { params }))
        return
      }
      const known = await saying('Unable to get number of memory parameters', session.ask('virNodeGetMemoryParameters'))
      session.print('Shared memory:\n')
      for (const [name, value] of Object.entries(known.params)) session.print(`\t${name.padEnd(15)} ${value}\n`)
    }
  },
  nodesuspend: {
    help: 'suspend the host node for a given time duration',
    options: {
      target: option.text('mem(Suspend-to-RAM), disk(Suspend-to-Disk), hybrid(Hybrid-Suspend)', {
        required: true,
        values: SUSPEND_TARGETS
      }),
      duration: option.int('Suspend duration in seconds, at least 60', { required: true })
    },
    async run(session, given) {
      const text = given.text('duration')!
      const duration = parseInteger(text)
      if (duration === undefined) {
        throw new ClientError(`Numeric value '${text}' for <duration> option is malformed or out of range`)
      }
      const target = SUSPEND_TARGETS.indexOf(given.text('target')!)
      if (target < 0) throw new ClientError('Invalid target')
      if (duration < 0) throw new ClientError('Invalid duration')
      await saying('The host was not suspended', session.ask('virNodeSuspendForDuration', { target, duration }))
    }
  },
  sysinfo: {
    help: 'print the hypervisor sysinfo',
    options: {},
    async run(session) {
      session.print((await saying('failed to get sysinfo', session.ask('virConnectGetSysinfo'))).sysinfo)
    }
  }
}
