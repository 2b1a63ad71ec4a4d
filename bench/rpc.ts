// Latency of calls over libvirt's RPC, by one libvirt-python client alternating between libvirtd and a shim; requests a
// second over HTTP; and what the RPC layer adds to an idle shim.
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Daemons } from '../test/helper/libvirtd.ts'
import { median, mib, printTable, ratio } from './figures.ts'
import { makeGuest } from './guest.ts'
import { memoryOf, startByLibvirtd, startVirshimd } from './peers.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 15)
const NAME = 'bench-rpc'
const HTTP_SECONDS = 4
const HTTP_CONNECTIONS = 4
const SETTLE_MS = 3000
const LIBVIRTD = 'libvirtd'
const SHIM = 'virshimd'

const dir = mkdtempSync(join(tmpdir(), 'virshim-bench-'))
// libvirtd's QEMU runs as a user of its own and must reach the image.
chmodSync(dir, 0o755)

/** Asks the same of both, in turns. */
function latencies(socket: string): void {
  const uris = { [LIBVIRTD]: 'qemu:///system', [SHIM]: `qemu+unix:///system?socket=${socket}` }
  const words = Object.entries(uris).map(([name, uri]) => `${name}=${uri}=${NAME}`)
  const run = spawnSync('/usr/bin/python3', ['bench/rpc-client.py', `${ROUNDS}`, ...words], { encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`rpc-client.py: ${run.stderr}`)
  const medians = JSON.parse(run.stdout) as Record<string, Record<string, number>>
  printTable(
    ['call, median latency', LIBVIRTD, SHIM, 'beside libvirtd'],
    Object.entries(medians).map(([call, { [LIBVIRTD]: theirs = Number.NaN, [SHIM]: ours = Number.NaN }]) => [
      call,
      `${theirs.toFixed(0)} µs`,
      `${ours.toFixed(0)} µs`,
      ratio(ours, theirs)
    ])
  )
}

/** CPU seconds a process has used. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** GET of virDomainGetInfo over kept-alive connections, each asking again as soon as it is answered. */
async function httpRate(socketPath: string, pid: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: HTTP_CONNECTIONS })
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      get({ socketPath, path: '/v1/virDomainGetInfo', agent }, reply => {
        reply.resume()
        reply.once('end', resolve)
      }).once('error', reject)
    })
  for (let i = 0; i < 500; i++) await ask()
  const end = Date.now() + HTTP_SECONDS * 1000
  const before = cpuSeconds(pid)
  let answered = 0
  await Promise.all(
    Array.from({ length: HTTP_CONNECTIONS }, async () => {
      for (; Date.now() < end; answered++) await ask()
    })
  )
  const used = cpuSeconds(pid) - before
  agent.destroy()
  console.log(
    `HTTP, ${HTTP_CONNECTIONS} connections kept alive: ${Math.round(answered / HTTP_SECONDS)} GET of virDomainGetInfo a second; ` +
      `${Math.round(answered / used)} a second of the shim's CPU time\n`
  )
}

/** PSS of shims without and with one RPC client that has asked something. */
async function rpcMemory(): Promise<void> {
  const ROUNDS_OF_MEMORY = 3
  const before: number[] = []
  const after: number[] = []
  for (let i = 0; i < ROUNDS_OF_MEMORY; i++) {
    const name = `${NAME}-memory-${i}`
    const guest = await startVirshimd(dir, makeGuest(dir, name), name)
    await sleep(SETTLE_MS)
    before.push(memoryOf(guest.pid!).pss)
    const uri = `qemu+unix:///system?socket=${join(dir, `${name}-root`, 'libvirt-sock')}`
    spawnSync('virsh', ['-c', uri, 'dominfo', name])
    await sleep(SETTLE_MS)
    after.push(memoryOf(guest.pid!).pss)
    await guest.stop()
  }
  console.log(`PSS of an idle shim: ${mib(median(before))}, after its first RPC client: ${mib(median(after))}\n`)
}

const daemons = new Daemons(dir)
await daemons.ensure()
try {
  console.log(`${ROUNDS} rounds, medians; ${cpus().length} CPUs, Node.js ${process.version}\n`)
  const theirs = await startByLibvirtd(makeGuest(dir, NAME), NAME)
  // an image of its own: the other's is locked
  mkdirSync(join(dir, 'ours'))
  const ours = await startVirshimd(dir, makeGuest(join(dir, 'ours'), NAME), NAME)
  try {
    latencies(join(dir, `${NAME}-root`, 'libvirt-sock'))
    await httpRate(join(dir, `${NAME}-root`, 'api.sock'), ours.pid!)
  } finally {
    await Promise.all([theirs.stop(), ours.stop()])
  }
  await rpcMemory()
} finally {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
}
