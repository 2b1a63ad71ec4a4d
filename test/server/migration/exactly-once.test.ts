// A guest moves between two roots while somebody who has to do with it is killed, in each phase: afterwards it runs on
// exactly one side, and nothing is left on the other.
//
// ROUNDS and SEED from the environment; a round kills one of VICTIMS as soon as a status file says one of PHASES.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { cgroupsOf, processesNaming } from '../../helper/processes.ts'
import { bareGuest } from '../../helper/shim.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 7)
const SEED = Number(process.env.SEED ?? 20171219)
const LIMIT_MS = 90_000
const RUNNING = 1

/** Who is killed; `virsh` is the client that drives the migration, or asks for it. */
const VICTIMS = [
  'source shim',
  'destination shim',
  'source QEMU',
  'destination QEMU',
  'source aggregator',
  'destination aggregator',
  'virsh'
] as const
type Victim = (typeof VICTIMS)[number]

/** Phases as the side's status file has them. */
const PHASES = [
  ['source', 'begin3'],
  ['destination', 'prepare'],
  ['source', 'perform3'],
  ['source', 'perform3_done'],
  ['destination', 'finish3'],
  ['source', 'confirm3']
] as const

t.setTimeout(60_000 + ROUNDS * 60_000)

/** Numbers from 0 to 2³², the same for a seed (mulberry32). */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    yield (mixed ^ (mixed >>> 14)) >>> 0
  }
}

interface Pids {
  shim: number | null
  qemu: number | null
}

/** One side: an aggregator with its own root. */
class Side {
  readonly run = new AggregatorRun()

  get uri(): string {
    return `qemu+unix:///system?socket=${join(this.run.root, 'libvirt-sock')}`
  }

  /** What status.json says of a migration's phase. */
  phase(name: string): string | undefined {
    try {
      const { job } = JSON.parse(readFileSync(join(this.run.guest(name), 'status.json'), 'utf8'))
      return job?.phase
    } catch {
      return undefined
    }
  }

  qemuOf(name: string): number | undefined {
    try {
      return JSON.parse(readFileSync(join(this.run.guest(name), 'status.json'), 'utf8')).process?.pid
    } catch {
      return undefined
    }
  }

  /** QEMUs of this side's that live. */
  get qemus(): number[] {
    return processesNaming(`${this.run.root}/`).filter(pid => commandOf(pid).includes('qemu-system'))
  }

  async pids(name: string): Promise<Pids | undefined> {
    return (await this.run.entry(name).catch(() => undefined))?.pids
  }

  /** The guest's CPUs run here, as QEMU has it. */
  async runs(name: string): Promise<boolean> {
    if (this.qemus.length === 0) return false
    const cmd = JSON.stringify({ execute: 'query-status' })
    const { status, body } = await this.run.call(`domains/${name}/virDomainQemuMonitorCommand`, { cmd })
    return status === 200 && JSON.parse(body.result).return.running === true
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

function kill(pid: number | null | undefined): boolean {
  try {
    if (!pid) return false
    process.kill(pid, 'SIGKILL')
    return true
  } catch {
    return false
  }
}

/** Kills the victim as soon as that phase is on disk, or the migration is over. @returns whether it was hit */
async function killIn(
  [where, phase]: (typeof PHASES)[number],
  victim: Victim,
  { name, from, to, virsh }: { name: string; from: Side; to: Side; virsh: ChildProcess }
): Promise<boolean> {
  const side = where === 'source' ? from : to
  const before = await from.pids(name)
  while (side.phase(name) !== phase) {
    if (virsh.exitCode !== null || virsh.signalCode !== null) return false
    await new Promise(setImmediate)
  }
  switch (victim) {
    case 'source shim':
      return kill(before?.shim)
    case 'source QEMU':
      return kill(before?.qemu)
    case 'destination QEMU':
      return kill(to.qemuOf(name))
    case 'destination shim':
      return kill(processesNaming(`${to.run.root}/guests`).find(pid => commandOf(pid).includes('virshimd')))
    case 'source aggregator':
      return from.run.kill().then(() => true)
    case 'destination aggregator':
      return to.run.kill().then(() => true)
    case 'virsh':
      return virsh.kill('SIGKILL')
  }
}

/** Starts aggregators that were killed, and waits until the guest is settled. */
async function settled(sides: readonly [Side, Side], name: string): Promise<{ runs: boolean[]; qemus: number }> {
  for (const { run } of sides) if (run.child?.signalCode) await run.start()
  let found = { runs: [false], qemus: 0 }
  for (const deadline = Date.now() + LIMIT_MS; Date.now() < deadline; await sleep(100)) {
    // the destination first: what runs there, and then at the source, runs twice
    const there = await sides[1].runs(name).catch(() => false)
    const runs = [await sides[0].runs(name).catch(() => false), there]
    found = { runs, qemus: sides.reduce((sum, side) => sum + side.qemus.length, 0) }
    if (runs.every(Boolean)) return found
    const isBusy = sides.some(side => side.phase(name) !== undefined)
    if (!isBusy && (found.qemus === 0 || (found.qemus === 1 && runs.includes(true)))) return found
  }
  return found
}

async function round(t: Test, n: number, next: () => number): Promise<void> {
  const name = `once-${process.pid}-${n}`
  const victim = VICTIMS[n % VICTIMS.length]!
  const phase = PHASES[next() % PHASES.length]!
  const way = next() % 2 === 0 ? [] : ['--p2p']
  await t.test(`${victim} in ${phase[1]} ${way.join()}`, async t => {
    const [from, to] = [new Side(), new Side()]
    t.teardown(() => Promise.all([from.run.end(), to.run.end()]))
    await Promise.all([from.run.start(), to.run.start()])
    const made = await from.run.call('virDomainCreateXML', { xmlDesc: bareGuest(name) })
    t.equal(made.status, 200, JSON.stringify(made.body))
    await from.run.until(name, entry => entry?.state === RUNNING)
    const words = ['-c', from.uri, 'migrate', '--live', ...way, name, to.uri]
    const virsh = spawn('virsh', words, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    virsh.stderr.on('data', chunk => {
      said += chunk
    })
    const gone = once(virsh, 'exit')
    const isHit = await killIn(phase, victim, { name, from, to, virsh })
    await gone
    const { runs, qemus } = await settled([from, to], name)
    const where = `${isHit ? 'hit' : 'missed'}; ${said.trim()}; ${JSON.stringify({ runs, qemus })}`
    t.not(runs.filter(Boolean).length, 2, `it does not run twice (${where})`)
    // a QEMU that is killed may have been the guest
    const mayBeLost = isHit && victim.endsWith('QEMU')
    if (!mayBeLost || qemus > 0) t.equal(runs.filter(Boolean).length, 1, `it runs once (${where})`)
    t.equal(qemus, runs.filter(Boolean).length, `no other QEMU is left (${where})`)
    for (const [i, side] of [from, to].entries()) {
      if (runs[i]) continue
      await side.run.until(name, entry => entry === undefined)
      const { body } = await side.run.call('allocations')
      t.notOk(JSON.stringify(body).includes(name), 'nothing is held for it where it is not')
    }
    const groups = new Set(cgroupsOf(name))
    t.ok(groups.size <= qemus, `control groups are those of one guest at most: ${[...groups]}`)
  })
}

t.test(`${ROUNDS} migrations`, async t => {
  const random = numbers(SEED)
  for (let n = 0; n < ROUNDS; n++) await round(t, n, () => random.next().value)
})
