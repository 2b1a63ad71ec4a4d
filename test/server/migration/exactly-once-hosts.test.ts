// A guest moves between two hosts while somebody who has to do with it is killed, or the network between them is cut, at
// each step of both sides. A daemon that comes to the step stops there until that has happened, so that each is hit where
// it is meant to be. Afterwards the guest runs on exactly one side, or stands still where it must, and nothing is left on
// the other.
//
// ROUNDS, SEED and WORLDS from the environment: every step meets every victim in some 270 rounds; so many pairs of hosts
// are at it at once.
import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type MigrationHost, MigrationWorld } from '../../helper/migration-world.ts'
import { makeImage, makeRestlessDisk, passesOf, restlessGuest } from '../../helper/restless-guest.ts'
import type { Answer } from '../../helper/shim.ts'
import { makeStoppingDaemons, Steps } from '../../helper/stopping-daemons.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 0)
const SEED = Number(process.env.SEED ?? 20171219)
const WORLDS = Number(process.env.WORLDS ?? 4)
/** So many rounds hit each step so often. */
const [ALL_ROUNDS, HITS] = [200, 5]
/** Only guards against hanging. */
const LIMIT_MS = 150_000
/** A network that comes back before anybody has given up on it. */
const SHORT_MS = 1500

t.setTimeout(240_000 + ROUNDS * 60_000)

const SIDES = ['source', 'destination'] as const
type SideName = (typeof SIDES)[number]

const VICTIMS = [
  'source shim',
  'destination shim',
  'source QEMU',
  'destination QEMU',
  'source aggregator',
  'destination aggregator',
  'source shim and aggregator',
  'destination shim and aggregator',
  'virsh',
  'cable, for a while',
  'cable',
  'packets, for a while',
  'packets'
] as const
type Victim = (typeof VICTIMS)[number]

const isNetwork = (victim: Victim) => victim.startsWith('cable') || victim.startsWith('packets')

interface Step {
  on: SideName
  /** src/state/step.ts */
  name: string
  /** one of disks that are copied, or of post-copy */
  needs?: 'copies' | 'post-copy'
  /** one that is come to when that victim is killed at one of those steps of that side */
  behind?: { on: SideName; names: string[]; victim: Victim }
}

const step = (on: SideName, name: string, more: Partial<Step> = {}): Step => ({ on, name, ...more })

/** In their order. */
const STEPS: readonly Step[] = [
  step('source', 'begin3'),
  step('destination', 'prepare'),
  step('destination', 'claimed'),
  step('destination', 'waiting'),
  step('source', 'perform3'),
  step('source', 'copying', { needs: 'copies' }),
  step('source', 'sending'),
  step('source', 'pre-switchover'),
  step('source', 'switchover'),
  step('source', 'sent'),
  step('source', 'postcopy', { needs: 'post-copy' }),
  step('source', 'perform3_done'),
  step('destination', 'finish3'),
  step('destination', 'arrived'),
  step('destination', 'running'),
  step('destination', 'fetching', { needs: 'post-copy' }),
  step('source', 'confirm3'),
  step('source', 'left'),
  step('source', 'confirm3_cancelled', {
    behind: { on: 'destination', names: ['arrived'], victim: 'destination QEMU' }
  }),
  step('source', 'recover', {
    behind: { on: 'source', names: ['sending', 'perform3_done'], victim: 'source shim' }
  }),
  step('destination', 'recover', {
    behind: { on: 'destination', names: ['waiting', 'running'], victim: 'destination shim' }
  })
]

/**
 * Of a post-copy that has failed: migration/resume goes on from there. One that has lost but its shim or client comes to
 * its end by itself.
 */
const BEYOND: readonly Step[] = [
  step('source', 'postcopy_failed'),
  step('destination', 'postcopy_failed'),
  step('source', 'confirm_resume'),
  step('destination', 'finish_resume')
]

const titleOf = ({ on, name }: Step) => `${on} ${name}`

/** Numbers from 0 to 2³², the same for a seed (mulberry32). */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    yield (mixed ^ (mixed >>> 14)) >>> 0
  }
}

const random = numbers(SEED)
const below = (limit: number): number => random.next().value % limit

function shuffled<T>(of: readonly T[]): T[] {
  const list = [...of]
  for (let i = list.length - 1; i > 0; i--) {
    const j = below(i + 1)
    ;[list[i], list[j]] = [list[j]!, list[i]!]
  }
  return list
}

/** What is done in a round. */
interface Plan {
  step: Step
  victim: Victim
  isP2p: boolean
  isCopied: boolean
  /** by several connections */
  isParallel?: boolean
  /** of `behind` */
  former?: string | undefined
}

/** What has gone wrong once. */
const BEFORE_NOW: Plan[] = [
  // nobody but QEMU was left to say that it ran there: it ran twice
  {
    step: step('destination', 'running'),
    victim: 'destination shim and aggregator',
    isP2p: false,
    isCopied: false
  },
  // the answer was lost, and nobody knew where to ask: it ran twice
  { step: step('destination', 'running'), victim: 'packets', isP2p: true, isCopied: false, isParallel: true },
  // it ran, and its client's end was its own: its source ran on
  { step: step('destination', 'running'), victim: 'virsh', isP2p: false, isCopied: true },
  // QEMU's end was missed by who set back what the migration had set, and the migration went on without anybody
  { step: step('source', 'copying', { needs: 'copies' }), victim: 'source QEMU', isP2p: false, isCopied: true },
  // nobody had given up
  { step: step('source', 'sending'), victim: 'packets', isP2p: false, isCopied: false },
  // QEMU waited for what it had sent to the destination's disk, and did not answer
  { step: step('source', 'copying', { needs: 'copies' }), victim: 'packets', isP2p: true, isCopied: true },
  // its QEMU had given post-copy up before the next shim came, and was told to let the guest run, which it cannot
  {
    step: step('source', 'postcopy', { needs: 'post-copy' }),
    victim: 'source shim and aggregator',
    isP2p: false,
    isCopied: false
  },
  // it was not said that post-copy had failed
  { step: step('source', 'postcopy', { needs: 'post-copy' }), victim: 'packets', isP2p: true, isCopied: false }
]

/** As many steps as victims have no divisor in common: every pair comes, one after the other. */
function plans(): Plan[] {
  const [steps, victims] = [shuffled(STEPS), shuffled(VICTIMS)]
  return Array.from({ length: ROUNDS }, (_, n) => {
    const step = steps[n % steps.length]!
    const { needs, behind } = step
    return {
      step,
      victim: victims[n % victims.length]!,
      isP2p: below(2) === 0,
      isCopied: needs === 'copies' || (needs === undefined && below(2) === 0),
      isParallel: needs === undefined && below(3) === 0,
      former: behind?.names[below(behind.names.length)]
    }
  })
}

/** Where libvirt's clients of the other host come in: this aggregator listens on no port of its own. */
const DOOR = `
const { connect, createServer } = require('node:net')
createServer(outside => {
  const inside = connect(process.argv[1])
  for (const [one, other] of [[outside, inside], [inside, outside]]) {
    one.on('error', () => other.destroy()).on('close', () => other.destroy()).pipe(other)
  }
}).listen(16509, '0.0.0.0', () => console.log('open'))
process.stdin.resume().on('end', () => process.exit())
`
const DOOR_PORT = 16509

/** One host: its aggregator, its guests, and what it has of one. */
class Side {
  readonly host: MigrationHost
  readonly steps: Steps
  #isDown = false

  constructor(host: MigrationHost, steps: Steps) {
    this.host = host
    this.steps = steps
  }

  /** A call to the aggregator. @throws Error when it does not answer */
  call(api: string, args?: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          socketPath: join(this.host.root, 'api.sock'),
          path: `/v1/${api}`,
          method: args ? 'POST' : 'GET',
          agent: false,
          timeout: LIMIT_MS
        },
        reply => {
          let text = ''
          reply.on('data', chunk => {
            text += chunk
          })
          reply.on('end', () => {
            const isJson = String(reply.headers['content-type']).includes('json')
            resolve({ status: reply.statusCode ?? 0, body: isJson ? JSON.parse(text) : text })
          })
          reply.on('error', reject)
        }
      )
      sent.on('error', reject)
      sent.end(args && JSON.stringify(args))
    })
  }

  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of any shape
  async entry(name: string): Promise<any> {
    const { guests } = (await this.call('guests')).body
    return guests.find((guest: { name: string }) => guest.name === name)
  }

  async kill(): Promise<boolean> {
    await this.host.kill()
    this.#isDown = true
    return true
  }

  /** Starts an aggregator that was killed. */
  async restart(): Promise<void> {
    if (this.#isDown) await this.host.start()
    this.#isDown = false
  }

  pids(name: string, program: string): number[] {
    return this.host.processes(`guests/${name}`).filter(pid => commandOf(pid).includes(program))
  }

  shims(name: string): number[] {
    return this.pids(name, 'virshimd')
  }

  qemus(name: string): number[] {
    return this.pids(name, 'qemu-system')
  }

  /** A phase of a migration that status.json has: it is not over. */
  isBusy(name: string): boolean {
    try {
      const path = join(this.host.root, 'guests', name, 'status.json')
      return JSON.parse(readFileSync(path, 'utf8')).job !== undefined
    } catch {
      return false
    }
  }

  /** What its QEMU says of the guest's CPUs; undefined where there is none that answers. */
  async runs(name: string): Promise<boolean | undefined> {
    if (this.qemus(name).length === 0) return undefined
    const cmd = JSON.stringify({ execute: 'query-status' })
    const answer = await this.call(`domains/${name}/virDomainQemuMonitorCommand`, { cmd }).catch(() => undefined)
    return answer?.status === 200 ? JSON.parse(answer.body.result).return.running : undefined
  }

  /** What its shim says: virDomainState and reason. */
  async state(name: string): Promise<string> {
    const answer = await this.call(`domains/${name}/virDomainGetState`).catch(() => undefined)
    return answer?.status === 200 ? `${answer.body.state}/${answer.body.reason}` : 'none'
  }

  /** All it has of a guest: processes, taps, ports, claims. */
  async left(name: string, tap: string): Promise<string[]> {
    const { body } = await this.call('allocations')
    return [
      ...this.host
        .processes(`guests/${name}`)
        .map(pid => `process ${commandOf(pid).replaceAll('\0', ' ').slice(0, 80)}`),
      ...(this.host.runSync('ls', '/sys/class/net').split('\n').includes(tap) ? [`tap ${tap}`] : []),
      ...this.ports.map(port => `port ${port}`),
      ...(JSON.stringify(body).includes(name) ? [`claims ${JSON.stringify(body).slice(0, 400)}`] : [])
    ]
  }

  /** TCP ports that are listened on. */
  get ports(): number[] {
    const lines = ['tcp', 'tcp6'].flatMap(file =>
      readFileSync(`/proc/${this.host.pid}/net/${file}`, 'utf8').split('\n').slice(1)
    )
    return lines
      .map(line => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === '0A')
      .map(([, local = '']) => Number.parseInt(local.split(':')[1] ?? '', 16))
      .filter(port => port !== DOOR_PORT)
  }

  /** Processes that have a file open. */
  holders(path: string): number[] {
    return this.host.processes(`${this.host.root}/`).filter(pid => {
      try {
        return readdirSync(`/proc/${pid}/fd`).some(fd => {
          try {
            return readlinkSync(`/proc/${pid}/fd/${fd}`) === path
          } catch {
            return false
          }
        })
      } catch {
        return false
      }
    })
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

function killAll(pids: readonly number[]): boolean {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {}
  }
  return pids.length > 0
}

/** virDomainState and virDomainPausedReason of a guest that stands still for its migration. */
const STANDS_STILL = ['3/2', '3/12', '3/13']
const POSTCOPY_FAILED = '3/13'

/** Two hosts, with what is common to the rounds that are had on them. */
class Pair {
  readonly world: MigrationWorld
  readonly from: Side
  readonly to: Side
  #door: ChildProcess | undefined

  constructor(programs: string) {
    const steps = ['a', 'b'].map(name => new Steps(join(programs, `steps-${name}-${pairs++}`)))
    const [a, b] = steps.map(({ env }) => ({ daemon: 'virshim', programs, env }) as const)
    this.world = new MigrationWorld(a!, b!)
    this.from = new Side(this.world.a, steps[0]!)
    this.to = new Side(this.world.b, steps[1]!)
  }

  get sides(): readonly [Side, Side] {
    return [this.from, this.to]
  }

  side(name: SideName): Side {
    return name === 'source' ? this.from : this.to
  }

  async start(): Promise<void> {
    await this.world.start()
    makeRestlessDisk(join(this.world.dir, 'disk.qcow2'))
    // QEMU hears of packets that are lost when TCP gives up, after a quarter of an hour by default
    for (const { host } of this.sides) {
      host.runSync('sh', '-c', 'cd /proc/sys/net/ipv4 && echo 6 >tcp_retries2 && echo 2 >tcp_syn_retries')
    }
    const door = this.world.b.inNetwork(process.execPath, '-e', DOOR, this.world.b.libvirtSocket)
    this.#door = door
    await once(door.stdout!, 'data')
  }

  async end(): Promise<void> {
    this.#door?.kill('SIGKILL')
    await this.world.end()
  }

  cut(victim: Victim): void {
    const { a, b } = this.world
    if (victim.startsWith('cable')) a.setLink('down')
    else {
      a.setSilence(b, true)
      b.setSilence(a, true)
    }
  }

  mend(victim: Victim): void {
    const { a, b } = this.world
    if (victim.startsWith('cable')) a.setLink('up')
    else {
      a.setSilence(b, false)
      b.setSilence(a, false)
    }
  }

  /** @returns whether anything was hit */
  async hit(victim: Victim, name: string, virsh: ChildProcess): Promise<boolean> {
    if (isNetwork(victim)) {
      this.cut(victim)
      return true
    }
    if (victim === 'virsh') return virsh.exitCode === null && virsh.kill('SIGKILL')
    const [where, who] = victim.split(' ') as [SideName, string]
    const side = this.side(where)
    const isBoth = victim.endsWith('shim and aggregator')
    if (who === 'aggregator' || isBoth) await side.kill()
    if (who === 'aggregator') return true
    return killAll(who === 'shim' ? side.shims(name) : side.qemus(name))
  }
}

let pairs = 0

interface Seen {
  /** on each side: CPUs run, do not, or nobody knows */
  runs: (boolean | undefined)[]
  states: string[]
  qemus: number
}

const counted = ({ runs }: Seen) => runs.filter(Boolean).length

/** It stands still at its source, which cannot know of it, or post-copy has failed. */
const isHeld = ({ runs, states }: Seen) => runs[0] === false && STANDS_STILL.includes(states[0]!)

/** Who has hit which step how often. */
const hits = new Map(STEPS.map(step => [titleOf(step), new Map<Victim, number>()]))
const passed = new Set<string>()

/** At these its source has it yet, and can go on by itself. */
const BEFORE = ['begin3', 'prepare', 'claimed', 'waiting', 'perform3', 'copying', 'sending', 'pre-switchover']
/** At these its destination has all of it, and has not had it run. */
const SENT = ['switchover', 'sent', 'perform3_done', 'finish3', 'arrived', 'confirm3_cancelled']

/** A QEMU that is killed may have been the guest; else there is another one that can be. */
function mayBeLost({ step: { name }, victim }: Plan): boolean {
  if (victim === 'destination QEMU') return ![...BEFORE, ...SENT].includes(name)
  return (
    victim === 'source QEMU' && !['perform3_done', 'finish3', 'arrived', 'running', 'confirm3', 'left'].includes(name)
  )
}

const XML = (name: string, tap: string, disk: string, said: string) =>
  restlessGuest(
    name,
    { disk, said },
    `<interface type='ethernet'><target dev='${tap}'/></interface>
    <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>`
  )

/** A migration, stopped at its step, and whoever is hit there. */
class Round {
  readonly pair: Pair
  readonly plan: Plan
  readonly name: string
  readonly tap: string
  readonly disk: string
  readonly said: string
  /** what virsh has said */
  told = ''
  isHit = false
  seen: Seen | undefined

  constructor(pair: Pair, n: number, plan: Plan) {
    const { world } = pair
    this.pair = pair
    this.plan = plan
    this.name = `once-${process.pid}-${n}`
    this.tap = `tap${n}`
    this.disk = join(plan.isCopied ? world.local : world.shared, `${this.name}.qcow2`)
    this.said = join(world.shared, `${this.name}.said`)
  }

  get isPostcopy(): boolean {
    return this.plan.step.needs === 'post-copy'
  }

  get options(): string[] {
    const { isP2p, isCopied, isParallel } = this.plan
    return [
      ...(isP2p ? ['--p2p'] : []),
      ...(isParallel ? ['--parallel'] : []),
      ...(isCopied ? ['--copy-storage-all'] : ['--unsafe']),
      ...(this.isPostcopy ? ['--postcopy', '--bandwidth', '1', '--postcopy-bandwidth', '1'] : [])
    ]
  }

  /** For whoever reads of a failure. */
  get what(): string {
    const { step, victim, former = '' } = this.plan
    const words = [this.isHit ? 'hit' : 'missed', former, ...this.options, this.told.trim(), JSON.stringify(this.seen)]
    return `${victim} at ${titleOf(step)}: ${words.filter(Boolean).join(' ')}`
  }

  /** @throws Error for a guest that has lost something, or was two */
  async works(): Promise<boolean> {
    const passes = () => (existsSync(this.said) ? passesOf(this.said) : 0)
    const wanted = passes() + 2
    for (const deadline = Date.now() + LIMIT_MS; passes() < wanted && Date.now() < deadline; ) await sleep(50)
    return passes() >= wanted
  }

  get images(): string[] {
    const { a, b } = this.pair.world
    const name = `${this.name}.qcow2`
    return this.plan.isCopied ? [a.ownPath(name), b.ownPath(name)] : [this.disk]
  }

  async startGuest(): Promise<Answer> {
    const [image, copy] = this.images
    copyFileSync(join(this.pair.world.dir, 'disk.qcow2'), image!)
    if (copy) makeImage(copy)
    return this.pair.from.call('virDomainCreateXML', { xmlDesc: XML(this.name, this.tap, this.disk, this.said) })
  }

  /** Migrates it, and hits the victim at the step. @returns virsh, which may be under way yet */
  async migrate(): Promise<ChildProcess> {
    const { pair, plan, name } = this
    const { a, b } = pair.world
    const { step, victim, former } = plan
    const { behind } = step
    const [first, last] = [pair.side(behind?.on ?? step.on).steps, pair.side(step.on).steps]
    first.stopAt(former ?? step.name)
    const words = ['-k', '1', '-K', '9', '-c', a.uri, 'migrate', '--live', ...this.options, name]
    const virsh = a.inNetwork('virsh', ...words, `qemu+tcp://${b.address}/system`)
    virsh.stdout?.resume()
    virsh.stderr?.on('data', chunk => {
      this.told += chunk
    })
    if (this.isPostcopy) void startPostcopy(pair.from, name, () => isOver(virsh))
    let isThere = await first.reached(() => isOver(virsh))
    if (isThere && behind) {
      if (first !== last) last.stopAt(step.name)
      await pair.hit(behind.victim, name, virsh)
      if (first !== last) first.goOn()
      else last.stopAt(step.name)
      isThere = await last.reached(() => false)
    }
    this.isHit = isThere && (await pair.hit(victim, name, virsh))
    for (const { steps } of pair.sides) steps.goOn()
    return virsh
  }

  async look(): Promise<Seen> {
    const { name } = this
    const { sides } = this.pair
    // the destination first: what runs there, and then at the source, runs twice
    const there = await sides[1].runs(name)
    const here = await sides[0].runs(name)
    const states = await Promise.all(sides.map(side => side.state(name)))
    this.seen = { runs: [here, there], states, qemus: sides.reduce((sum, side) => sum + side.qemus(name).length, 0) }
    return this.seen
  }

  /** Looks until it is so, or twice what never may be. @returns whether it is so */
  async until(isSo: (seen: Seen) => boolean): Promise<boolean> {
    for (const deadline = Date.now() + LIMIT_MS; ; await sleep(200)) {
      const seen = await this.look()
      if (counted(seen) === 2) return false
      if (isSo(seen)) return true
      if (Date.now() > deadline) return false
    }
  }

  get isBusy(): boolean {
    return this.pair.sides.some(side => side.isBusy(this.name))
  }

  /** While nobody reaches the other side, what can be settled is settled. */
  isSettledAlone(seen: Seen): boolean {
    const [here, there] = seen.runs
    const isOne = seen.qemus === 1 && !this.isBusy
    if (isOne && here === undefined && there === true) return !BEFORE.includes(this.plan.step.name)
    return (isOne && here === true) || (!BEFORE.includes(this.plan.step.name) && isHeld(seen))
  }

  isSettled(seen: Seen): boolean {
    if (seen.qemus === 0) return true
    if (this.isPostcopy && seen.states[0] === POSTCOPY_FAILED) return true
    return seen.qemus === 1 && counted(seen) === 1 && !this.isBusy
  }
}

const isOver = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null

async function play(t: Test, round: Round): Promise<void> {
  const { pair, plan, name, tap } = round
  const { from, to, sides } = pair
  for (const { steps } of sides) steps.forget()
  const made = await round.startGuest()
  t.equal(made.status, 200, JSON.stringify(made.body))
  t.ok(await round.works(), 'it works')
  const virsh = await round.migrate()
  const gone = isOver(virsh) ? undefined : once(virsh, 'exit')
  const { victim, step } = plan
  if (round.isHit) count(step, victim)
  if (round.isHit && isNetwork(victim)) {
    if (victim.endsWith('while')) await sleep(SHORT_MS)
    else t.ok(await round.until(seen => round.isSettledAlone(seen)), `it is settled without a network: ${round.what}`)
    pair.mend(victim)
  }
  const late = sleep(LIMIT_MS, 'late', { ref: false })
  t.not(await Promise.race([gone, late]), 'late', `its client comes to an end: ${round.what}`)
  if (!isOver(virsh)) virsh.kill('SIGKILL')
  for (const side of sides) await side.restart()

  t.ok(await round.until(seen => round.isSettled(seen)), `it comes to an end: ${round.what}`)
  const { what } = round
  const seen = round.seen!
  t.not(counted(seen), 2, `it does not run twice: ${what}`)
  const isLost = round.isHit && mayBeLost(plan)
  if (!isLost && !round.isPostcopy) t.equal(counted(seen), 1, `it runs once: ${what}`)
  if (seen.qemus === 1 && counted(seen) === 1) {
    const at = seen.runs[0] ? from : to
    if (!isLost && !round.isPostcopy) t.ok(await works(round), `it goes on working: ${round.what}`)
    const holders = plan.isCopied ? at.holders(round.disk) : sides.flatMap(side => side.holders(round.disk))
    t.same(holders, at.qemus(name), `its QEMU alone has the image: ${what}`)
    t.equal(at.shims(name).length, 1, `it has one shim: ${what}`)
  }
  for (const side of sides) {
    if (side.qemus(name).length === 0) await nothingLeft(t, side, name, tap, `where it is not: ${what}`)
  }
  // one that is not there answers so, or is about to end and does not answer
  for (const side of sides) await side.call(`domains/${name}/virDomainDestroy`, {}).catch(() => undefined)
  for (const side of sides) await nothingLeft(t, side, name, tap, `once it is destroyed: ${what}`)
  for (const { steps } of sides) for (const step of steps.passed) passed.add(step)
  for (const image of round.images) rmSync(image, { force: true })
}

async function works(round: Round): Promise<boolean> {
  try {
    return await round.works()
  } catch (error) {
    round.told += (error as Error).message
    return false
  }
}

function count(step: Step, victim: Victim): void {
  const row = hits.get(titleOf(step))!
  row.set(victim, (row.get(victim) ?? 0) + 1)
}

async function nothingLeft(t: Test, side: Side, name: string, tap: string, what: string): Promise<void> {
  let left: string[] = []
  for (const deadline = Date.now() + LIMIT_MS; Date.now() < deadline; await sleep(200)) {
    left = await side.left(name, tap).catch(error => [String(error)])
    if (left.length === 0 && (await side.entry(name).catch(() => name)) === undefined) break
  }
  t.same(left, [], `nothing is left, ${what}`)
}

/** Has the migration go into its post-copy phase as soon as it can. */
async function startPostcopy(side: Side, name: string, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const answer = await side.call(`domains/${name}/virDomainMigrateStartPostCopy`, {}).catch(() => undefined)
    if (answer?.status === 200) return
    await sleep(20)
  }
}

const programs = execFileSync('mktemp', ['-d', '-t', 'virshim-stops-XXXXXX'], { encoding: 'utf8' }).trim()
t.teardown(() => rmSync(programs, { recursive: true, force: true }))
await makeStoppingDaemons(programs)

const PLANS = [...BEFORE_NOW, ...plans()]

t.test(`${PLANS.length} migrations`, async t => {
  const queue = [...PLANS.entries()]
  await Promise.all(
    Array.from({ length: WORLDS }, async () => {
      const pair = new Pair(programs)
      t.teardown(() => pair.end())
      await pair.start()
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const [n, plan] = next
        const round = new Round(pair, n, plan)
        await play(t, round)
        if (process.env.ONCE_TELLS) t.comment(`${n}: ${round.what}`)
      }
    })
  )
})

t.test('each step was hit', async t => {
  const width = Math.max(...STEPS.map(step => titleOf(step).length))
  for (const [title, row] of hits) {
    const count = [...row.values()].reduce((sum, one) => sum + one, 0)
    const who = [...row].map(([victim, times]) => (times === 1 ? victim : `${victim} ${times}×`))
    t.comment(`${title.padEnd(width)} ${String(count).padStart(3)}  ${who.join('; ')}`)
    if (ROUNDS >= ALL_ROUNDS) t.ok(count >= HITS, `${title} was hit ${count} times`)
  }
  const all = [...hits.values()].reduce((sum, row) => sum + [...row.values()].reduce((a, b) => a + b, 0), 0)
  t.ok(all > PLANS.length / 2, `${all} of ${PLANS.length} were hit`)
  const known = new Set([...STEPS, ...BEYOND].map(({ name }) => name))
  t.same(
    [...passed].filter(name => !known.has(name)),
    [],
    'no other steps were passed'
  )
})
