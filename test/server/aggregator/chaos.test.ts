// kill -9 of shims, QEMUs and the aggregator at random, under many guests. In the end what the aggregator shows is what
// /proc and each QEMU's own monitor say, and nothing is left over.
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AggregatorRun, filesOf } from '../../helper/aggregator.ts'
import { cgroupsOf } from '../../helper/processes.ts'
import { bareGuest } from '../../helper/shim.ts'

const GUESTS = Number(process.env.VIRSHIM_CHAOS_GUESTS ?? 40)
const KILLS = Number(process.env.VIRSHIM_CHAOS_KILLS ?? 200)
const SEED = 20171219
const SETTLE_LIMIT_MS = 120_000

t.setTimeout(290_000)

const PAUSED = 3
const SHUTOFF = 5

/** A small generator with a fixed seed (mulberry32): kills differ from each other, runs do not. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Guest {
  name: string
  kept: boolean
  /** its QEMU, as long as nobody killed it */
  pid: number | undefined
  starting: boolean
}

type Processes = Map<string, { shims: number[]; qemus: number[] }>

const aggregator = new AggregatorRun()
t.teardown(() => aggregator.end())
const guestsDir = join(aggregator.root, 'guests')

/** Shims and QEMUs by guest, as /proc has them; what is about to be gone does not count. */
function processes(): Processes {
  const found: Processes = new Map()
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      if (!line.includes(guestsDir)) continue
      const [, shim] = /--root\0([^\0]+)\0/.exec(line) ?? []
      const [, qemu] = /path=([^,\0]+)\/qmp\.sock,/.exec(line) ?? []
      const name = (shim ?? qemu)?.slice(guestsDir.length + 1)
      if (!name || /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) continue
      const entry = found.get(name) ?? { shims: [], qemus: [] }
      entry[shim === undefined ? 'qemus' : 'shims'].push(Number(pid))
      found.set(name, entry)
    } catch {}
  }
  return found
}

function kill(pid: number | undefined): void {
  try {
    if (pid) process.kill(pid, 'SIGKILL')
  } catch {}
}

/** What a QEMU whose monitor nobody holds says of itself. */
function askQemu(name: string): Promise<{ name: string; uuid: string; status: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(guestsDir, name, 'qmp.sock'))
    const commands = ['qmp_capabilities', 'query-name', 'query-uuid', 'query-status']
    for (const command of commands) socket.write(`${JSON.stringify({ execute: command })}\n`)
    let text = ''
    socket.on('error', reject)
    socket.on('data', chunk => {
      text += chunk
      const lines = text.split('\n').filter(line => line.startsWith('{"return"'))
      if (lines.length < commands.length) return
      socket.destroy()
      const [, named, uuid, state] = lines.map(line => JSON.parse(line).return)
      resolve({ name: named.name, uuid: uuid.UUID, status: state.status })
    })
  })
}

/** Starts a guest, as a user would: what fails because the aggregator was killed meanwhile is no error here. */
async function begin(guest: Guest): Promise<void> {
  const { name, kept } = guest
  guest.starting = true
  const flags = ['VIR_DOMAIN_START_PAUSED']
  const answer = kept
    ? await aggregator.call(`domains/${name}/virDomainCreateWithFlags`, { flags }).catch(() => undefined)
    : await aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest(name), flags }).catch(() => undefined)
  guest.starting = false
  if (answer?.status === 200) guest.pid = processes().get(name)?.qemus[0]
}

/** Waits until the view is the truth. */
async function settled(guests: Guest[]) {
  let difference: unknown
  for (const deadline = Date.now() + SETTLE_LIMIT_MS; Date.now() < deadline; await sleep(100)) {
    const truth = processes()
    // biome-ignore lint/suspicious/noExplicitAny: an answer of any shape
    const view: any[] = (await aggregator.call('guests')).body.guests
    const odd = view.filter(({ unreachableSince, flags }) => unreachableSince !== undefined || flags.length > 0)
    const shown = view.filter(({ id }) => id !== -1).map(({ name, pids }) => `${name} ${pids.shim} ${pids.qemu}`)
    const real = [...truth].filter(([, { qemus }]) => qemus.length > 0)
    const are = real.map(([name, { shims, qemus }]) => `${name} ${shims} ${qemus}`)
    const missing = guests.filter(({ name, kept }) => kept && !view.some(one => one.name === name))
    const stale = guests.filter(
      ({ name }) => filesOf(join(guestsDir, name)).includes('status.json') && !truth.get(name)?.qemus.length
    )
    difference = { odd, shown: shown.sort(), are: are.sort(), missing, stale }
    if (`${shown}` === `${are}` && odd.length + missing.length + stale.length === 0) return { view, truth }
  }
  throw new Error(`the view is not the truth: ${JSON.stringify(difference)}; ${aggregator.stderr.slice(-3000)}`)
}

t.test(`${KILLS} kills among ${GUESTS} guests`, async t => {
  const next = random(SEED)
  const pick = <T>(of: readonly T[]): T | undefined => of[Math.floor(next() * of.length)]
  const guests: Guest[] = Array.from({ length: GUESTS }, (_, i) => {
    return { name: `life-chaos-${process.pid}-${i}`, kept: i % 2 === 0, pid: undefined, starting: false }
  })
  await aggregator.start('--log-level', 'warn')
  const waiting = [...guests]
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let guest = waiting.shift(); guest; guest = waiting.shift()) {
        if (guest.kept) await aggregator.call('virDomainDefineXML', { xml: bareGuest(guest.name) })
        await begin(guest)
      }
    })
  )
  t.equal(guests.filter(({ pid }) => pid).length, GUESTS, 'all run')

  const counts = { shim: 0, qemu: 0, both: 0, aggregator: 0 }
  const starts = new Set<Promise<void>>()
  let twice = 0
  let back = Promise.resolve()
  for (let killed = 0; killed < KILLS; ) {
    await sleep(next() * 120)
    const now = processes()
    twice += [...now.values()].filter(({ qemus }) => qemus.length > 1).length
    const dice = next()
    const victim = pick(guests.filter(({ name, starting }) => !starting && now.get(name)?.qemus.length))
    if (dice < 0.06) {
      killed++
      await back
      await aggregator.kill()
      counts.aggregator++
      await sleep(next() * 100)
      back = aggregator.start('--log-level', 'warn')
    } else if (victim) {
      killed++
      const { shims, qemus } = now.get(victim.name)!
      const what = dice < 0.75 ? 'shim' : dice < 0.9 ? 'qemu' : 'both'
      counts[what]++
      if (what !== 'shim') victim.pid = undefined
      if (what !== 'qemu') for (const pid of shims) kill(pid)
      if (what !== 'shim') for (const pid of qemus) kill(pid)
    }
    const dead = pick(guests.filter(({ pid, starting }) => pid === undefined && !starting))
    if (dead && next() < 0.3) {
      dead.starting = true
      const start = back.then(() => begin(dead)).finally(() => starts.delete(start))
      starts.add(start)
    }
  }
  await back
  await Promise.all(starts)
  t.comment(counts)
  t.equal(twice, 0, 'never two QEMUs of one guest')

  const { view, truth } = await settled(guests)
  for (const { name, pid, kept } of guests) {
    const entry = view.find(one => one.name === name)
    if (pid !== undefined) t.equal(truth.get(name)?.qemus[0], pid, `${name} runs on, as nobody killed it`)
    if (entry) t.match(entry, { persistent: kept, state: entry.id === -1 ? SHUTOFF : PAUSED }, name)
  }

  // with nobody at their monitors, the QEMUs themselves are asked
  await aggregator.kill()
  for (const { shims } of truth.values()) for (const pid of shims) kill(pid)
  const running = view.filter(({ id }) => id !== -1)
  for (const { name, uuid } of running) t.match(await askQemu(name), { name, uuid, status: /^(prelaunch|paused)$/ })
  await aggregator.start('--log-level', 'warn')
  const again = await settled(guests)
  const essence = ({ name, uuid, id, state, pids: { qemu } }: (typeof view)[number]) => [name, uuid, id, state, qemu]
  const byName = (a: (typeof view)[number], b: (typeof view)[number]) => a.name.localeCompare(b.name)
  t.same(again.view.sort(byName).map(essence), view.sort(byName).map(essence), 'the view is the same once more')

  await Promise.all(running.map(({ name }) => aggregator.call(`domains/${name}/virDomainDestroy`, {})))
  await Promise.all(
    guests.filter(({ kept }) => kept).map(({ name }) => aggregator.call(`domains/${name}/virDomainUndefine`, {}))
  )
  for (const { name } of guests) await aggregator.until(name, entry => entry === undefined)
  for (let i = 0; i < 500 && processes().size > 0; i++) await sleep(20)
  t.equal(processes().size, 0, 'no process is left')
  for (const { name } of guests) {
    t.same(filesOf(join(guestsDir, name)), [], `${name} leaves no file`)
    t.same(cgroupsOf(name), [], `${name} leaves no control group`)
  }
  const { allocations } = (await aggregator.call('allocations')).body
  t.same(allocations, [], 'nothing is held')
})
