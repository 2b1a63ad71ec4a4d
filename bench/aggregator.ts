// What the aggregator costs with many guests: lists, bulk statistics, claims, how soon a change is seen, CPU and memory.
// Its shims are simulated (bench/simulated-shims.ts), but for the last table: 40 real guests, beside libvirtd with 40.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../src/server/raw-http.ts'
import { processIdentity } from '../src/state/status.ts'
import { Daemons } from '../test/helper/libvirtd.ts'
import { SimulatedShim, simulatedReport } from '../test/helper/simulated-shims.ts'
import { median, mib, ms, printTable, ratio } from './figures.ts'
import { memoryOf } from './peers.ts'

const COUNTS = (process.env.COUNTS ?? '1000,10000').split(',').map(Number)
const ROUNDS = Number(process.env.ROUNDS ?? 9)
const CHANGES = 50
const REAL_GUESTS = 40
/** Descriptors limit a process: two for each simulated shim. */
const SHIMS_PER_PROCESS = 5000
const IDLE_S = 20
/** The aggregator gives memory back when it has been idle for a while. */
const SETTLE_MS = 15_000
const ANSWER_LIMIT_MS = 60_000

const dir = mkdtempSync(join(tmpdir(), 'virshim-bench-'))
const uriOf = (root: string) => `qemu+unix:///system?socket=${join(root, 'libvirt-sock')}`

/** Median milliseconds of some rounds of one thing; a first one does not count. */
async function timed(work: () => unknown, rounds = ROUNDS): Promise<number> {
  const taken: number[] = []
  for (let i = 0; i <= rounds; i++) {
    const begun = performance.now()
    await work()
    if (i > 0) taken.push(performance.now() - begun)
  }
  return median(taken)
}

function run(program: string, ...words: string[]): string {
  const done = spawnSync(program, words, { encoding: 'utf8', maxBuffer: 2 ** 28 })
  if (done.status !== 0) throw new Error(`${program} ${words.join(' ')}: ${done.stderr}`)
  return done.stdout
}

const virsh = (uri: string, ...words: string[]) => run('virsh', '-q', '-c', uri, ...words)

/** CPU seconds a process has used. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** A running virshim-aggregatord. */
class Aggregator {
  readonly root: string
  readonly socket: string
  readonly child: ChildProcess
  readonly uri: string

  constructor(root: string) {
    this.root = root
    this.socket = join(root, 'api.sock')
    this.uri = uriOf(root)
    this.child = spawn('bin/virshim-aggregatord', ['--root', root, '--secondary', 'none', '--log-level', 'error'], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc']
    })
  }

  get pid(): number {
    return this.child.pid!
  }

  /** By node:http: lists of 10,000 guests are longer than what shims and aggregator take from each other. */
  request(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { socketPath: this.socket, method, path, agent: false as const, timeout: ANSWER_LIMIT_MS }
      const sent = request(options, reply => {
        const chunks: Buffer[] = []
        reply.on('data', chunk => chunks.push(chunk))
        reply.once('end', () => {
          const text = Buffer.concat(chunks).toString()
          if (reply.statusCode === 200) resolve(text)
          else reject(new Error(`${path}: ${reply.statusCode} ${text}`))
        })
      })
      sent.once('error', reject)
      sent.end(body && JSON.stringify(body))
    })
  }

  async end(): Promise<void> {
    const gone = once(this.child, 'exit')
    this.child.kill()
    await gone
  }
}

/** Starts one on a root whose guests are there; gives it once all of them are listed, and how long that took. */
async function startAggregator(root: string, count: number): Promise<{ aggregator: Aggregator; startMs: number }> {
  const begun = performance.now()
  const aggregator = new Aggregator(root)
  await once(aggregator.child, 'message')
  while (JSON.parse(await aggregator.request('GET', '/healthz')).guests < count) await sleep(20)
  return { aggregator, startMs: performance.now() - begun }
}

/** Load programs that serve that many simulated shims. */
async function startShims(guests: string, count: number): Promise<ChildProcess[]> {
  const programs: ChildProcess[] = []
  for (let first = 1; first <= count; first += SHIMS_PER_PROCESS) {
    const last = Math.min(count, first + SHIMS_PER_PROCESS - 1)
    const program = spawn(process.execPath, ['build/bench/simulated-shims.mjs', guests, `${first}`, `${last}`], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    programs.push(program)
    await once(program.stdout!, 'data')
  }
  return programs
}

/** Milliseconds until a change at one shim is in the aggregator's answers. */
async function noticeMs(aggregator: Aggregator, shim: SimulatedShim): Promise<number> {
  const taken: number[] = []
  for (let i = 0; i < CHANGES; i++) {
    const state = i % 2 === 0 ? 3 : 1
    const begun = performance.now()
    shim.change({ state })
    const path = `/v1/guests?guest=${shim.report.name}`
    while (JSON.parse(await aggregator.request('GET', path)).guests[0].state !== state) {}
    taken.push(performance.now() - begun)
  }
  return median(taken)
}

/** Milliseconds of a claim of a disk, a MAC address and an automatic port, and of giving it back. */
async function claimMs(aggregator: Aggregator): Promise<number> {
  let number = 0
  return timed(async () => {
    const claimant = { name: 'claimant', uuid: '00000000-0000-4000-9000-000000000001', socket: join(dir, 'none.sock') }
    const { claim } = JSON.parse(
      await aggregator.request('POST', '/v1/claims', {
        ...claimant,
        ...processIdentity(process.pid),
        resources: [
          { kind: 'disk', key: `1:${++number}`, mode: 'exclusive' },
          { kind: 'mac', key: '52:54:00:ff:ff:01', mode: 'exclusive' },
          { kind: 'tcp-port', auto: { min: 5900, max: 65535 }, mode: 'exclusive' }
        ]
      })
    )
    await aggregator.request('DELETE', `/v1/claims/${claim}`)
  }, 100)
}

/** One column: every figure with that many simulated shims. */
async function simulated(count: number): Promise<string[]> {
  const root = join(dir, `sim-${count}`)
  const guests = join(root, 'guests')
  mkdirSync(guests, { recursive: true })
  const shims = await startShims(guests, count - 1)
  const own = new SimulatedShim(join(guests, `sim-${count}`), simulatedReport(count))
  await own.listen()
  const { aggregator, startMs } = await startAggregator(root, count)
  try {
    await sleep(SETTLE_MS)
    const fresh = memoryOf(aggregator.pid).pss
    const before = cpuSeconds(aggregator.pid)
    await sleep(IDLE_S * 1000)
    const idle = (100 * (cpuSeconds(aggregator.pid) - before)) / IDLE_S
    const notice = await noticeMs(aggregator, own)
    const list = await timed(() => aggregator.request('GET', '/v1/virConnectListAllDomains'))
    const all = await timed(() => aggregator.request('GET', '/v1/guests'))
    const virshList = await timed(() => virsh(aggregator.uri, 'list'))
    const virshimList = await timed(() => run('bin/virshim', '-c', aggregator.socket, 'list'))
    const stats = await timed(() => aggregator.request('GET', '/v1/virConnectGetAllDomainStats'), 5)
    const domstats = await timed(() => virsh(aggregator.uri, 'domstats'), 5)
    const claim = await claimMs(aggregator)
    const busy = memoryOf(aggregator.pid).pss
    await sleep(SETTLE_MS)
    const settled = memoryOf(aggregator.pid).pss
    process.stderr.write(`${count} guests measured\n`)
    return [
      ms(startMs),
      `${notice.toFixed(1)} ms`,
      `${list.toFixed(1)} ms`,
      ms(all),
      ms(virshList),
      ms(virshimList),
      ms(stats),
      ms(domstats),
      `${claim.toFixed(1)} ms`,
      `${idle.toFixed(1)} %`,
      mib(fresh),
      mib(busy),
      mib(settled),
      `${((settled - baseline) / count / 1024).toFixed(1)} KiB`
    ]
  } finally {
    await aggregator.end()
    for (const shim of shims) shim.kill()
    own.close()
    rmSync(root, { recursive: true, force: true })
  }
}

const FIGURES = [
  'start until all are listed',
  'a change at a shim until it is seen',
  'list, HTTP (virConnectListAllDomains)',
  'everything known, HTTP (/v1/guests)',
  '`virsh list`',
  '`virshim list`',
  'bulk statistics, HTTP',
  '`virsh domstats`',
  'claim and release of three resources',
  'CPU when idle, of one core',
  'PSS after the start',
  'PSS right after all of this',
  'PSS when idle again',
  'PSS of one more guest'
]

/** PSS of an aggregator without guests, which serves. */
async function emptyPss(): Promise<number> {
  const root = join(dir, 'empty')
  const { aggregator } = await startAggregator(root, 0)
  await aggregator.request('GET', '/v1/guests')
  virsh(aggregator.uri, 'list')
  await sleep(SETTLE_MS)
  const { pss } = memoryOf(aggregator.pid)
  await aggregator.end()
  return pss
}

const nameOf = (i: number) => `bench-agg-${i}`

/** A guest without disk or kernel, which stays paused: what is timed is who manages it. */
function smallGuest(i: number): string {
  const file = join(dir, `${nameOf(i)}.xml`)
  writeFileSync(
    file,
    `<domain type='qemu'><name>${nameOf(i)}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
    <devices><interface type='user'><model type='virtio'/></interface><serial type='pty'/></devices></domain>`
  )
  return file
}

interface Managed {
  list: number
  domstats: number
}

/** The same two commands on 40 equal guests. */
async function commandsOn(uri: string): Promise<Managed> {
  return { list: await timed(() => virsh(uri, 'list')), domstats: await timed(() => virsh(uri, 'domstats')) }
}

async function withLibvirtd(files: string[]): Promise<Managed> {
  const uri = 'qemu:///system'
  const started: number[] = []
  try {
    files.forEach((file, i) => {
      virsh(uri, 'create', '--paused', file)
      started.push(i)
    })
    return await commandsOn(uri)
  } finally {
    for (const i of started) spawnSync('virsh', ['-q', '-c', uri, 'destroy', nameOf(i)])
  }
}

async function withAggregator(files: string[]): Promise<Managed & { httpStats: number }> {
  const root = join(dir, 'real')
  const { aggregator } = await startAggregator(root, 0)
  const rootOf = (i: number) => join(root, 'guests', nameOf(i))
  try {
    files.forEach((file, i) => {
      run('bin/virshimd', '--root', rootOf(i), '--paused', '--detach', '--log-level', 'error', file)
    })
    while (JSON.parse(await aggregator.request('GET', '/healthz')).guests < files.length) await sleep(20)
    return {
      ...(await commandsOn(aggregator.uri)),
      httpStats: await timed(() => aggregator.request('GET', '/v1/virConnectGetAllDomainStats'))
    }
  } finally {
    await Promise.all(files.map((_file, i) => destroy(join(rootOf(i), 'api.sock'))))
    await aggregator.end()
  }
}

async function destroy(socket: string): Promise<void> {
  if (!existsSync(socket)) return
  await ask(socket, { method: 'POST', path: '/v1/virDomainDestroy', body: '{}', timeoutMs: ANSWER_LIMIT_MS })
}

const daemons = new Daemons(dir)
let baseline = 0
try {
  console.log(`${ROUNDS} rounds, medians; ${cpus().length} CPUs, Node.js ${process.version}\n`)
  baseline = await emptyPss()
  console.log(`The aggregator without guests: ${mib(baseline)} PSS\n`)
  const columns: string[][] = []
  for (const count of COUNTS) columns.push(await simulated(count))
  printTable(
    ['simulated shims', ...COUNTS.map(String)],
    FIGURES.map((figure, i) => [figure, ...columns.map(column => column[i]!)])
  )
  await daemons.ensure()
  const files = Array.from({ length: REAL_GUESTS }, (_, i) => smallGuest(i))
  const theirs = await withLibvirtd(files)
  const ours = await withAggregator(files)
  printTable(
    [`${REAL_GUESTS} real guests, paused`, 'libvirtd', 'aggregator', 'beside libvirtd'],
    (['list', 'domstats'] as const).map(command => [
      `\`virsh ${command}\``,
      ms(theirs[command]),
      ms(ours[command]),
      ratio(ours[command], theirs[command])
    ])
  )
  console.log(`Bulk statistics of these over HTTP: ${ms(ours.httpStats)}\n`)
} finally {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
}
