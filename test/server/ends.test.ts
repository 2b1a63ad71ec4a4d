// Guests that others end: the client that started them with auto destroy goes, or QEMU quits by itself. virsh on libvirtd,
// on a shim and on the aggregator sees the same.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AggregatorRun } from '../helper/aggregator.ts'
import { Daemons } from '../helper/libvirtd.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(600_000)

/** Only against hanging. */
const LIMIT_MS = 60_000
const SHUTOFF = 5
const NAME = `t-ends-${process.pid}`
const UUID = randomUUID()
/** Longer than connections to shims that nobody uses are kept open by the aggregator. */
const IDLE_MS = 16_000

const dir = mkdtempSync(join(tmpdir(), 'virshim-ends-'))
// libvirtd's QEMU is another user
chmodSync(dir, 0o755)
const xmlFile = join(dir, 'guest.xml')
const xml = bareGuest(NAME).replace('</name>', `</name><uuid>${UUID}</uuid>`)
writeFileSync(xmlFile, xml)

const daemons = new Daemons(dir)
await daemons.ensure(2000)
const shim = new Shim(xml)
const shimOver = shim.start('--define', '--inactive', '--linger', '--aggregator', 'none')
await shim.untilState(SHUTOFF)
const aggregator = new AggregatorRun()
await aggregator.start()

const uriOf = (root: string) => `qemu+unix:///system?socket=${join(root, 'libvirt-sock')}`
const SIDES = { libvirtd: 'qemu:///system', shim: uriOf(shim.root), aggregator: uriOf(aggregator.root) }
type Side = keyof typeof SIDES

const children = new Set<ChildProcess>()
t.teardown(async () => {
  for (const child of children) child.kill('SIGKILL')
  for (const command of ['destroy', 'undefine']) virsh('libvirtd', command, NAME)
  await aggregator.end()
  await shim.end()
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})

function virsh(side: Side, ...words: string[]): string {
  const { stdout, stderr } = spawnSync('virsh', ['-q', '-c', SIDES[side], ...words], { encoding: 'utf8' })
  return `${stdout}${stderr}`.trim()
}

/** A virsh that goes on: what is written to it are commands. */
function client(side: Side, ...words: string[]): ChildProcess & { said: string } {
  const child = spawn('virsh', ['-c', SIDES[side], ...words], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.add(child)
  const talking = Object.assign(child, { said: '' })
  child.stdout!.on('data', chunk => {
    talking.said += chunk
  })
  return talking
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; !(await isSo()); await sleep(50)) {
    if (Date.now() > deadline) throw new Error(`not so in time: ${what}`)
  }
}

const stateOf = (side: Side) => virsh(side, 'domstate', '--reason', NAME)
const untilState = (side: Side, state: RegExp) => until(`${side}: ${state}`, () => state.test(stateOf(side)))

/** Hears of the guest from now on. @returns gives what was heard, once that has come */
async function listen(side: Side): Promise<(last: RegExp) => Promise<string[]>> {
  const listener = client(side, 'event', '--event', 'lifecycle', '--loop')
  await until('events are heard', () => {
    virsh(side, 'define', xmlFile)
    return listener.said.includes(`'${NAME}': Defined`)
  })
  // others have guests on this libvirtd, too
  const ours = () => listener.said.split('\n').flatMap(line => line.split(`'${NAME}': `).slice(1))
  return async last => {
    await until(`${side} tells ${last}`, () => ours().some(line => last.test(line)))
    listener.kill('SIGKILL')
    return ours()
  }
}

const qemuPid = (side: Side): number => {
  if (side === 'libvirtd') return Number(readFileSync(`/run/libvirt/qemu/${NAME}.pid`, 'utf8'))
  const root = side === 'shim' ? shim.root : aggregator.guest(NAME)
  return JSON.parse(readFileSync(join(root, 'status.json'), 'utf8')).process.pid
}

/** A start by a client that stays. */
async function startTied(side: Side, command: string): Promise<ChildProcess> {
  const starter = client(side)
  starter.stdin!.write(`${command} --autodestroy\n`)
  await untilState(side, /^running/)
  return starter
}

interface Way {
  title: string
  /** ends a guest that is shut off when it is called */
  end(side: Side): Promise<void>
  state: string
  events: string[]
  /** libvirtd says so when QEMU's last event is lost in the end of its connection, else that the guest was shut down */
  isRace?: true
}

const OFF = ['Shutdown Finished after host request']
const DESTROYED = { state: 'shut off (destroyed)', events: [...OFF, 'Stopped Destroyed'] }

const clientEnds: Way[] = [
  {
    title: 'the client closes its connection',
    async end(side) {
      const starter = await startTied(side, `start ${NAME}`)
      if (side === 'aggregator') await sleep(IDLE_MS)
      await untilState(side, /^running/)
      starter.stdin!.end()
    },
    ...DESTROYED
  },
  {
    title: 'the client is killed',
    async end(side) {
      const starter = await startTied(side, `start ${NAME}`)
      starter.kill('SIGKILL')
    },
    ...DESTROYED
  },
  {
    title: 'the client that started it from XML closes its connection',
    async end(side) {
      const starter = await startTied(side, `create ${xmlFile}`)
      starter.stdin!.end()
    },
    ...DESTROYED
  },
  {
    title: 'virsh start --autodestroy is over',
    async end(side) {
      virsh(side, 'start', NAME, '--autodestroy')
    },
    ...DESTROYED
  }
]

const qemuEnds: Way[] = [
  {
    title: 'SIGTERM to QEMU',
    async end(side) {
      virsh(side, 'start', NAME)
      process.kill(qemuPid(side), 'SIGTERM')
    },
    state: 'shut off (shutdown)',
    events: [...OFF, 'Stopped Shutdown']
  },
  {
    title: 'SIGKILL to QEMU',
    async end(side) {
      virsh(side, 'start', NAME)
      process.kill(qemuPid(side), 'SIGKILL')
    },
    state: 'shut off (crashed)',
    events: ['Stopped Failed']
  },
  {
    title: "the monitor's quit",
    async end(side) {
      virsh(side, 'start', NAME)
      virsh(side, 'qemu-monitor-command', NAME, '{"execute":"quit"}')
    },
    state: 'shut off (crashed)',
    events: ['Stopped Failed'],
    isRace: true
  }
]

for (const side of Object.keys(SIDES) as Side[]) virsh(side, 'define', xmlFile)

for (const { title, end, state, events, isRace } of [...clientEnds, ...qemuEnds]) {
  t.test(title, async t => {
    const onSide = async (side: Side) => {
      const heard = await listen(side)
      await end(side)
      const told = (await heard(/Stopped/)).filter(line => /^(Shutdown|Stopped)/.test(line))
      t.same(told, events, side)
      await untilState(side, /^shut off/)
      t.equal(stateOf(side), state, side)
    }
    const sides = (Object.keys(SIDES) as Side[]).filter(side => !isRace || side !== 'libvirtd')
    await Promise.all(sides.map(onSide))
  })
}

interface HeldAnswer {
  status: number | undefined
  said(): string
  close(): void
}

/** A call over HTTP whose answer is held open, once its result has come. */
async function hold(socket: string, api: string, args: object, accept = 'text/event-stream'): Promise<HeldAnswer> {
  const headers = { accept, 'content-type': 'application/json' }
  const sent = request({ socketPath: socket, path: `/v1/${api}`, method: 'POST', headers, agent: false })
  sent.on('error', () => undefined)
  sent.end(JSON.stringify(args))
  const [reply] = await once(sent, 'response')
  let said = ''
  let isOver = false
  reply.once('end', () => {
    isOver = true
  })
  reply.on('error', () => undefined)
  reply.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk
  })
  await until('the answer has a result', () => isOver || /^event: result\ndata: .*\n\n/m.test(said))
  return { status: reply.statusCode, said: () => said, close: () => sent.destroy() }
}

const TIED = { flags: ['VIR_DOMAIN_START_AUTODESTROY'] }

t.test('over HTTP an event stream is the tie', async t => {
  const calls: [side: Side, socket: string, api: string, args: object][] = [
    ['shim', join(shim.root, 'api.sock'), 'virDomainCreateWithFlags', TIED],
    ['aggregator', aggregator.socket, `domains/${NAME}/virDomainCreateWithFlags`, TIED],
    ['aggregator', aggregator.socket, 'virDomainCreateXML', { ...TIED, xmlDesc: xml }]
  ]
  for (const [side, socket, api, args] of calls) {
    const refused = await hold(socket, api, args, '*/*')
    t.equal(refused.status, 400)
    t.match(refused.said(), /VIR_ERR_INVALID_ARG.*needs a connection that stays open.*text\/event-stream/, api)
    t.match(stateOf(side), /^shut off/, 'nothing is started without a tie')
    const held = await hold(socket, api, args)
    t.equal(held.status, 200)
    t.match(stateOf(side), /^running/)
    virsh(side, 'suspend', NAME)
    await until('events come behind the result', () => /"event":3/.test(held.said()))
    held.close()
    await untilState(side, /^shut off \(destroyed\)/)
  }
})

t.test('a transient guest of a client leaves nothing behind', async t => {
  virsh('aggregator', 'undefine', NAME)
  const starter = await startTied('aggregator', `create ${xmlFile}`)
  starter.kill('SIGKILL')
  await aggregator.until(NAME, entry => entry === undefined)
  const held = await hold(aggregator.socket, 'virDomainCreateXML', { ...TIED, xmlDesc: xml })
  t.match(stateOf('aggregator'), /^running/)
  held.close()
  await aggregator.until(NAME, entry => entry === undefined)
  await hold(aggregator.socket, 'virDomainCreateXML', { ...TIED, xmlDesc: xml })
  const pid = qemuPid('aggregator')
  await aggregator.kill()
  await until('QEMU is gone with the aggregator, and with it its clients', () => !isRunning(pid))
  await aggregator.start()
  virsh('aggregator', 'define', xmlFile)
})

function isRunning(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(NAME)
  } catch {
    return false
  }
}

t.test('virshim', async t => {
  const run = (...words: string[]) => spawnSync('bin/virshim', ['-q', '-c', shim.root, ...words], { encoding: 'utf8' })
  t.match(run('start', NAME, '--autodestroy'), { status: 0, stderr: '' })
  await untilState('shim', /^shut off \(destroyed\)/)
})

t.test('a guest that is tied cannot be handed on; with its shim killed it is nobody’s', async t => {
  const starter = await startTied('shim', `start ${NAME}`)
  const detach = await shim.call('shim-detach', {})
  t.match(detach, { status: 409, body: { code: 55, message: /domain is marked for auto destroy/ } })
  const pid = qemuPid('shim')
  shim.child!.kill('SIGKILL')
  await shimOver
  starter.kill('SIGKILL')
  void shim.start('--inactive', '--aggregator', 'none')
  await shim.untilState(1)
  t.equal(qemuPid('shim'), pid, 'as with libvirtd it runs on')
  t.match(await shim.call('shim-detach', {}), { status: 200 })
})
