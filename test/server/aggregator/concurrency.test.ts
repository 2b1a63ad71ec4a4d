// 200 guests claim 50 resources from a real aggregator that is killed 20 times in between; a model says who has what.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { HeldAllocation } from '../../../src/server/aggregator/resources.ts'
import type { Allocation } from '../../../src/state/allocation.ts'
import type { ClaimedResource, ClaimRequest, Conflict } from '../../../src/state/claim.ts'
import { type ProcessIdentity, processIdentity } from '../../../src/state/status.ts'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { ReportingShim } from '../../helper/reporting-shim.ts'
import type { Answer } from '../../helper/shim.ts'

const SEED = 20_171_219
const CLIENTS = 200
const STEPS = 10_000
const KILLS = 20
/** Times at which all stand still and the ledger is compared with the model as a whole. */
const CENSUSES = 5
/** Automatic ports lie beside those claimed by number, and among them. */
const AUTO = { min: 5905, max: 6100 }

t.setTimeout(600_000)

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
const RESOURCES: { kind: string; key: string }[] = [
  ...numbers(20).map(i => ({ kind: 'tcp-port', key: String(5900 + i) })),
  ...numbers(20).map(i => ({ kind: 'disk', key: `65024:${1000 + i}` })),
  ...numbers(10).map(i => ({ kind: 'pci', key: `0000:03:00.${i}` }))
]
const nameOf = ({ kind, key }: { kind: string; key?: string }) => `${kind} ${key}`

/** mulberry32 */
function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

/** Who has what for certain: from the grant's answer to the moment it begins to let go. */
class Model {
  readonly holders = new Map<string, Map<string, 'exclusive' | 'shared'>>()
  readonly wrong: string[] = []

  take(who: string, resources: readonly Allocation[]): void {
    for (const one of resources) {
      const holders = this.holders.get(nameOf(one)) ?? new Map<string, 'exclusive' | 'shared'>()
      for (const [other, mode] of holders) {
        const clash = other !== who && (mode === 'exclusive' || one.mode === 'exclusive')
        if (clash) this.wrong.push(`${nameOf(one)} was given to ${who} (${one.mode}) while ${other} has it (${mode})`)
      }
      this.holders.set(nameOf(one), holders.set(who, one.mode))
    }
  }

  drop(who: string, resources: readonly Allocation[]): void {
    for (const one of resources) this.holders.get(nameOf(one))?.delete(who)
  }

  /** `kind key mode holder` of all, sorted. */
  census(): string[] {
    return [...this.holders]
      .flatMap(([name, holders]) => [...holders].map(([who, mode]) => `${name} ${mode} ${who}`))
      .sort()
  }
}

class Scene {
  readonly aggregator = new AggregatorRun()
  readonly model = new Model()
  readonly counts: Record<string, number> = {}
  steps = 0
  kills = 0
  /** while this is set, clients wait before their next step */
  pause: Promise<void> | undefined

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }

  async start(): Promise<void> {
    await this.aggregator.start('--watch', join(this.aggregator.dir, 's/*/api.sock'), '--log-level', 'warn')
  }

  /** Asks until there is an answer: the aggregator may be killed at any time, and comes back. */
  async ask(method: 'POST' | 'DELETE' | 'GET', path: string, body?: object): Promise<Answer> {
    for (;;) {
      try {
        return await this.aggregator.ask(method, path, body)
      } catch {
        this.count('asked again')
        await sleep(50)
      }
    }
  }
}

interface Granted {
  claim: string
  resources: Allocation[]
}

class Client {
  readonly shim: ReportingShim
  readonly #scene: Scene
  readonly #random: (below: number) => number
  /** what its report tells, and what is granted but not told yet */
  #told: Granted[] = []
  #granted: Granted[] = []
  #claims = 0

  constructor(scene: Scene, number: number) {
    this.#scene = scene
    this.#random = random(SEED + number)
    const name = `g${number}`
    this.shim = new ReportingShim(join(scene.aggregator.dir, 's', name, 'api.sock'), name, randomUUID())
  }

  get #name(): string {
    return this.shim.name
  }

  async step(): Promise<void> {
    const held = this.#told.length + this.#granted.length
    const dice = this.#random(10)
    if (held === 0 || (dice < 1 && held < 3)) {
      if (dice === 9) await this.#claimAndDie()
      else await this.#claim()
      return
    }
    if (this.#granted.length > 0) return dice < 7 ? this.#tell() : this.#release()
    return this.#letGo()
  }

  /** Some resources, most of them to be had alone, sometimes a port of any number. */
  #wanted(): ClaimedResource[] {
    const wanted = new Map<string, ClaimedResource>()
    for (let count = 1 + this.#random(2); count > 0; count--) {
      const one = RESOURCES[this.#random(RESOURCES.length)]!
      const isShared = one.kind === 'disk' && this.#random(2) === 0
      wanted.set(nameOf(one), { ...one, mode: isShared ? 'shared' : 'exclusive' })
    }
    const auto: ClaimedResource[] =
      this.#random(4) === 0 ? [{ kind: 'tcp-port', auto: AUTO, count: 1 + this.#random(2) }] : []
    return [...wanted.values(), ...auto]
  }

  #request(resources: ClaimedResource[], identity: ProcessIdentity): ClaimRequest & { claim: string } {
    const { name, uuid, socket } = this.shim
    const claim = `${name.slice(1).padStart(4, '0')}${String(++this.#claims).padStart(8, '0')}`
    return { claim, name, uuid, socket, ...identity, resources }
  }

  async #claim(identity = processIdentity(process.pid)!): Promise<Granted | undefined> {
    const { model } = this.#scene
    const wanted = this.#wanted()
    const request = this.#request(wanted, identity)
    const { status, body } = await this.#scene.ask('POST', '/v1/claims', request)
    if (status === 409) {
      this.#scene.count('refused')
      const names = (body.conflicts as Conflict[]).map(nameOf)
      for (const name of names)
        if (!wanted.some(one => 'key' in one && nameOf(one) === name)) model.wrong.push(`refused for ${name}`)
      if ((body.conflicts as Conflict[]).some(({ holder }) => holder === this.#name))
        model.wrong.push('refused to its holder')
      return undefined
    }
    if (status !== 200) {
      model.wrong.push(`claim answered with ${status}: ${JSON.stringify(body)}`)
      return undefined
    }
    this.#scene.count('granted')
    const resources = wanted.flatMap((one): Allocation[] => {
      if (!('auto' in one)) return [one]
      const values = body.chosen[0] as number[]
      if (values.length !== one.count || values.some(value => value < AUTO.min || value > AUTO.max)) {
        model.wrong.push(`chose ${values}`)
      }
      return values.map(value => ({ kind: 'tcp-port', key: String(value), mode: 'exclusive' }))
    })
    const granted = { claim: request.claim, resources }
    model.take(this.#name, this.#new(resources))
    if (identity.pid === process.pid) this.#granted.push(granted)
    return granted
  }

  /** Without what it has by another claim already. */
  #new(resources: Allocation[]): Allocation[] {
    const others = [...this.#told, ...this.#granted].flatMap(one => one.resources)
    const has = (one: Allocation) => others.some(other => nameOf(other) === nameOf(one) && other.mode === 'exclusive')
    return resources.filter(one => !has(one))
  }

  /** Its report tells of what it was granted. */
  #tell(): void {
    this.#scene.count('told')
    this.#told.push(this.#granted.shift()!)
    this.#publish()
  }

  /** The start failed: the claim is given back. */
  async #release(): Promise<void> {
    this.#scene.count('released')
    const { claim, resources } = this.#granted.shift()!
    this.#forget(resources)
    await this.#scene.ask('DELETE', `/v1/claims/${claim}`)
  }

  /** The guest has ended or unplugged something: the report tells no more of it, and the claim is given back. */
  async #letGo(): Promise<void> {
    this.#scene.count('let go')
    const { claim, resources } = this.#told.shift()!
    this.#forget(resources)
    this.#publish()
    await this.#scene.ask('DELETE', `/v1/claims/${claim}`)
  }

  /** Takes from the model what no other claim of it covers, and leaves the mode that is left. */
  #forget(resources: Allocation[]): void {
    this.#scene.model.drop(this.#name, resources)
    const rest = [...this.#told, ...this.#granted].flatMap(one => one.resources)
    for (const mode of ['shared', 'exclusive'] as const) {
      const again = rest.filter(one => one.mode === mode && resources.some(gone => nameOf(gone) === nameOf(one)))
      this.#scene.model.take(this.#name, again)
    }
  }

  #publish(): void {
    this.shim.hold(
      this.#told.flatMap(one => one.resources),
      this.#told.map(one => one.claim)
    )
  }

  /** A shim that is killed between the grant and its report. */
  async #claimAndDie(): Promise<void> {
    this.#scene.count('killed clients')
    const child: ChildProcess = spawn('sleep', ['600'], { stdio: 'ignore' })
    const identity = processIdentity(child.pid!)
    const gone = new Promise(done => child.once('exit', done))
    const granted = identity && (await this.#claim(identity))
    if (granted) this.#forget(granted.resources)
    child.kill('SIGKILL')
    await gone
  }

  /** Lets go of everything. */
  async leave(): Promise<void> {
    while (this.#granted.length > 0) await this.#release()
    while (this.#told.length > 0) await this.#letGo()
  }
}

const isWatched = ({ kind }: HeldAllocation) => kind !== 'name' && kind !== 'uuid'

/** What the aggregator says of all, as Model.census. */
async function ledgerCensus(scene: Scene): Promise<string[]> {
  const { body } = await scene.ask('GET', '/v1/allocations')
  const strongest = new Map<string, string>()
  for (const one of (body.allocations as HeldAllocation[]).filter(isWatched)) {
    const at = `${nameOf(one)} ${one.holder.name}`
    if (strongest.get(at) !== 'exclusive') strongest.set(at, one.mode)
  }
  return [...strongest].map(([at, mode]) => at.replace(/ (\S+)$/, ` ${mode} $1`)).sort()
}

t.test(`${CLIENTS} clients, ${STEPS} steps, the aggregator killed ${KILLS} times`, async t => {
  const scene = new Scene()
  t.teardown(() => scene.aggregator.end())
  const clients = numbers(CLIENTS).map(number => new Client(scene, number))
  t.teardown(() => {
    for (const { shim } of clients) shim.close()
  })
  await Promise.all(clients.map(({ shim }) => shim.listen()))
  await scene.start()

  const everyClient = async (limit: number) => {
    const run = async (client: Client) => {
      while (scene.steps < limit && scene.model.wrong.length === 0) {
        scene.steps++
        await client.step()
      }
    }
    await Promise.all(clients.map(run))
  }
  const killer = async (limit: number) => {
    while (scene.steps < limit && scene.model.wrong.length === 0) {
      if (scene.steps < ((scene.kills + 0.5) * STEPS) / KILLS) {
        await sleep(20)
        continue
      }
      scene.kills++
      await scene.aggregator.kill()
      await scene.start()
    }
  }
  for (let part = 1; part <= CENSUSES; part++) {
    const limit = Math.round((part * STEPS) / CENSUSES)
    await Promise.all([everyClient(limit), killer(limit)])
    if (scene.model.wrong.length > 0) break
    await Promise.all(clients.map(({ shim }) => shim.read()))
    t.same(await ledgerCensus(scene), scene.model.census(), `after ${scene.steps} steps all have what they should have`)
  }
  t.same(scene.model.wrong, [], 'never two who must not share, no refusal for what was not asked for')
  t.equal(scene.kills, KILLS)
  t.comment(JSON.stringify(scene.counts))
  t.ok(scene.counts.granted! > STEPS / 20 && scene.counts.refused! > STEPS / 20, 'there was something to decide')

  await Promise.all(clients.map(client => client.leave()))
  await Promise.all(clients.map(({ shim }) => shim.read()))
  t.same(await ledgerCensus(scene), [], 'nothing is left over')
  t.same(readdirSync(join(scene.aggregator.root, 'claims')), [], 'and no file')
  const last = { ...processIdentity(process.pid)!, name: 'last', uuid: randomUUID(), socket: '/nowhere/api.sock' }
  const all = RESOURCES.map(one => ({ ...one, mode: 'exclusive' }))
  t.equal((await scene.ask('POST', '/v1/claims', { ...last, resources: all })).status, 200, 'all can be had')
})

t.test('what a killed shim claimed is free within the grace time, whether or not its pid can be seen', async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start('--claim-grace', '0.5')
  const resources = [{ kind: 'pci', key: '1', mode: 'exclusive' }]
  const inContainer = { pid: 1, startTime: '7', name: 'pod', uuid: randomUUID(), socket: '/nowhere/pod/api.sock' }
  const mine = { ...processIdentity(process.pid)!, name: 'mine', uuid: randomUUID(), socket: '/nowhere/mine/api.sock' }
  const before = performance.now()
  t.equal((await aggregator.ask('POST', '/v1/claims', { ...inContainer, resources })).status, 200)
  await aggregator.kill()
  await aggregator.start('--claim-grace', '0.5')
  const refused = await aggregator.ask('POST', '/v1/claims', { ...mine, resources })
  if (performance.now() - before < 500) t.equal(refused.status, 409)
  await aggregator.untilSo(
    'the claim has lapsed',
    async () => (await aggregator.ask('POST', '/v1/claims', { ...mine, resources })).status === 200
  )
})
