// A guest pings a host all the time, through a bridge that spans both, and moves meanwhile: its pings come again, as the
// bridges have been told where it is. How long none came is told, if asked for beside that of a guest of libvirtd 11.3.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DIRECT_BOOT, makeGuestFiles } from '../../helper/booted-guest.ts'
import { type Daemon, type MigrationHost, MigrationWorld } from '../../helper/migration-world.ts'

// two guests boot
t.setTimeout(900_000)

/** PINGS=all takes libvirtd's guest, too. */
const DAEMONS: Daemon[] = process.env.PINGS === 'all' ? ['virshim', 'libvirtd'] : ['virshim']
const NAME = `t-pings-${process.pid}`
const MAC = '52:54:00:77:00:50'
const ADDRESS = '10.77.0.50/24'
const BRIDGE = 'br0'
const INTERVAL_S = 0.01
const LIMIT_MS = 120_000
/** Pings that are waited for before a move and after it. */
const ENOUGH = 80

const XML = `<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features><devices>
<serial type='null'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<interface type='bridge'><mac address='${MAC}'/><source bridge='${BRIDGE}'/><model type='virtio'/></interface>
</devices></domain>`

const MOVES = {
  'pre-copy': ['--live'],
  'post-copy': ['--live', '--postcopy', '--postcopy-after-precopy']
}

async function untilSo(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; !(await isSo()); await sleep(100)) {
    if (Date.now() > deadline) throw new Error(`not so in time: ${what}`)
  }
}

/** What comes from the guest to a host's bridge: times in ms. */
class Watch {
  readonly pings: number[] = []
  readonly announcements: number[] = []
  readonly #child: ChildProcess
  readonly #begun: Promise<unknown>

  constructor(host: MigrationHost) {
    const words = ['/usr/bin/python3', 'test/helper/watch-pings.py', BRIDGE, MAC]
    this.#child = spawn('nsenter', [`--net=/proc/${host.pid}/ns/net`, ...words], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const lines = createInterface(this.#child.stdout!)
    this.#begun = once(lines, 'line')
    lines.on('line', line => {
      const [kind, at] = line.split(' ')
      if (kind === 'ping') this.pings.push(Number(at))
      if (kind === 'rarp') this.announcements.push(Number(at))
    })
  }

  async begin(): Promise<this> {
    await this.#begun
    return this
  }

  /** The longest time between two pings, from the nth on. */
  gapFrom(n: number): number {
    const times = this.pings.slice(n)
    return Math.max(...times.slice(1).map((time, i) => time - times[i]!))
  }

  end(): void {
    this.#child.kill()
  }
}

/** Asks the guest's agent. */
async function agent(host: MigrationHost, execute: string, args?: object) {
  const command = JSON.stringify({ execute, ...(args && { arguments: args }) })
  const { out, err } = await host.virsh('qemu-agent-command', NAME, command, '--timeout', '30')
  return out.trim() === '' ? { error: err } : JSON.parse(out)
}

/** What a shell command prints in the guest. */
async function inGuest(host: MigrationHost, command: string): Promise<string> {
  const args = { path: 'sh', arg: ['-c', command], 'capture-output': true }
  const { pid } = (await agent(host, 'guest-exec', args)).return
  let text = ''
  await untilSo(command, async () => {
    const { exited, 'out-data': data = '' } = (await agent(host, 'guest-exec-status', { pid })).return
    text = Buffer.from(data, 'base64').toString().trim()
    return exited
  })
  return text
}

/** How many pings in a row had no answer at most, as the guest has seen it since it was asked before. */
const UNANSWERED = `awk -F'[= ]' '/ ms$/ { for (i = 1; i < NF; i++) if ($i == "seq") n = $(i + 1)
  if (last != "" && n - last > most) most = n - last
  last = n } END { print most - 1 }' /tmp/pings; : >/tmp/pings`

async function pingThrough(t: Test, daemon: Daemon): Promise<string[]> {
  const world = new MigrationWorld({ daemon, bridge: BRIDGE })
  t.teardown(() => world.end())
  await world.start()
  const { a, b } = world
  const xml = join(world.shared, 'guest.xml')
  writeFileSync(xml, XML)
  t.match(await a.virsh('create', xml), { status: 0 })
  await untilSo('an agent answers', async () => 'return' in (await agent(a, 'guest-ping')))
  const watches = await Promise.all([a, b].map(host => new Watch(host).begin()))
  t.teardown(() => {
    for (const watch of watches) watch.end()
  })
  // one that cannot send ends
  const pings = `while :; do ping -i ${INTERVAL_S} ${a.address}; done`
  await inGuest(a, `ip addr add ${ADDRESS} dev eth0; (${pings}) >>/tmp/pings 2>&1 &`)
  const [here] = watches as [Watch, Watch]
  let [from, to] = [a, b]
  const more = async (than: number) => {
    await untilSo('pings come', () => here.pings.length >= than + ENOUGH).catch(async error => {
      t.comment(await inGuest(from, 'tail -5 /tmp/pings; ip neigh; ps | grep ping; cat /proc/uptime'))
      throw error
    })
  }
  await more(0)
  const told = [`${daemon}: without a move ${here.gapFrom(0).toFixed(0)} ms`]
  for (const [name, words] of Object.entries(MOVES)) {
    const before = here.pings.length - 1
    const announced = watches.map(({ announcements }) => announcements.length)
    t.match(await from.virsh('migrate', NAME, to.uri, ...words), { status: 0, err: '' }, `${daemon}, ${name}`)
    ;[from, to] = [to, from]
    await more(here.pings.length)
    const unanswered = await inGuest(from, UNANSWERED)
    told.push(`${daemon}: ${name} ${here.gapFrom(before).toFixed(0)} ms, ${unanswered} pings unanswered`)
    await untilSo('it is announced', () => watches.every((watch, i) => watch.announcements.length > announced[i]!))
    t.pass('both bridges are told where it is')
  }
  t.match(await from.virsh('destroy', NAME), { status: 0 })
  return told
}

makeGuestFiles()
const told: string[] = []
for (const daemon of DAEMONS) {
  await t.test(daemon, async t => {
    told.push(...(await pingThrough(t, daemon)))
  })
}
for (const line of told) t.comment(line)
