// Memory that daemons keep of a busy time: a fresh one, after COUNT calls of all kinds (100,000), and at rest again.
// A shim alone, and an aggregator with GUESTS of them (20). Ends with status 1 where the rest is more than it may be.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type KnownGuest, MixedCalls } from '../test/helper/mixed-calls.ts'
import { bareGuest } from '../test/helper/shim.ts'
import { mib, printTable, ratio } from './figures.ts'
import { memoryOf, startAggregator, startVirshimd } from './peers.ts'

const COUNT = Number(process.env.COUNT ?? 100_000)
const GUESTS = Number(process.env.GUESTS ?? 20)
/** An idle daemon gives memory back within it. */
const REST_MS = 20_000
/** Of a daemon at rest again, beside a fresh one. */
const LIMIT = 1.5

const dir = mkdtempSync(join(tmpdir(), 'virshim-soak-'))
const rows: string[][] = []

async function soak(what: string, pid: number, root: string, guests: KnownGuest[]): Promise<void> {
  await sleep(REST_MS)
  const fresh = memoryOf(pid).pss
  const calls = new MixedCalls(root, guests)
  const begun = performance.now()
  await calls.run(COUNT)
  const seconds = (performance.now() - begun) / 1000
  calls.close()
  const busy = memoryOf(pid).pss
  await sleep(REST_MS)
  const rest = memoryOf(pid).pss
  if (rest > LIMIT * fresh) process.exitCode = 1
  process.stderr.write(`${what}: HTTP statuses ${JSON.stringify(Object.fromEntries(calls.statuses))}\n`)
  rows.push([what, mib(fresh), mib(busy), mib(rest), ratio(rest, fresh), `${(COUNT / seconds).toFixed(0)} a second`])
}

/** The XML file of a guest with a console and a screen. */
function guestFile({ name, uuid }: KnownGuest): string {
  const file = join(dir, `${name}.xml`)
  const devices = `<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>`
  writeFileSync(file, bareGuest(name, devices).replace('</name>', `</name><uuid>${uuid}</uuid>`))
  return file
}

const guests = Array.from({ length: GUESTS }, (_, i) => ({
  name: `soak-${process.pid}-${i}`,
  uuid: `00000000-0000-4000-a000-${`${i}`.padStart(12, '0')}`
}))

async function soakShim(): Promise<void> {
  const [guest] = guests
  const root = join(dir, 'alone')
  const shim = await startVirshimd(dir, guestFile(guest!), guest!.name, 'none', root)
  try {
    await soak('virshimd', shim.pid!, root, [guest!])
  } finally {
    await shim.stop()
  }
}

async function soakAggregator(): Promise<void> {
  const aggregator = await startAggregator(dir)
  const shims = []
  try {
    for (const guest of guests) {
      const root = join(aggregator.root, 'guests', guest.name)
      shims.push(await startVirshimd(dir, guestFile(guest), guest.name, aggregator.socket, root))
    }
    await soak(`virshim-aggregatord, ${GUESTS} guests`, aggregator.pid, aggregator.root, guests)
  } finally {
    for (const shim of shims) await shim.stop()
    await aggregator.stop()
  }
}

try {
  await soakShim()
  if (GUESTS > 1) await soakAggregator()
} finally {
  rmSync(dir, { recursive: true, force: true })
}
console.log(`${COUNT} calls each; ${cpus().length} CPUs, Node.js ${process.version}\n`)
printTable(['PSS of', 'fresh', 'after the calls', `${REST_MS / 1000} s later`, 'beside fresh', 'calls'], rows)
