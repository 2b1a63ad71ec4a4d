// A QEMU that does as a test says: QMP answered from a table, and an emulator whose start, end and words are the test's.
//
//   QmpPeer       the monitor alone, on a Unix socket
//   AgentPeer     the same for the agent in the guest
//   StandInQemu   an emulator to be named in domain XML; its monitor and agent are peers in the test's own process
import { spawnSync } from 'node:child_process'
import { chmodSync, closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { createServer, type Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatJson, parseJson } from '../../src/conf/json.ts'
import { processIdentity } from '../../src/state/status.ts'

/** Only against hanging: how long a test waits for what has to come. */
const LIMIT_MS = 60_000

/** QEMU 7.2's first line. */
const GREETING = {
  QMP: { version: { qemu: { micro: 22, minor: 2, major: 7 }, package: 'stand-in' }, capabilities: ['oob'] }
}

const GREETING_LINE = `${formatJson(GREETING)}\r\n`

/** One command as the peer was told it, and what may be said to it. */
export class Order {
  readonly peer: QmpPeer
  readonly command: string
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into arguments of any shape
  readonly args: any
  readonly id: unknown

  constructor(peer: QmpPeer, { execute, arguments: args, id }: { execute: string; arguments?: object; id?: unknown }) {
    this.peer = peer
    this.command = execute
    this.args = args ?? {}
    this.id = id
  }

  reply(value: unknown = {}): void {
    this.peer.send({ return: value, id: this.id })
  }

  refuse(desc: string, cls = 'GenericError'): void {
    this.peer.send({ id: this.id, error: { class: cls, desc } })
  }
}

/** Of a test, what ends with it. */
export interface Teardown {
  teardown(end: () => unknown): void
}

export type Act = (order: Order) => void
/** What is answered to each command: a function does as it likes with the order, anything else is what it returns. */
export type Answers = Record<string, unknown>

/** QEMU says no. */
export const refuses =
  (desc = 'the stand-in refuses', cls?: string): Act =>
  order =>
    order.refuse(desc, cls)

/** No answer, unless the test gives one to what `told` brings. */
export const silent: Act = () => {}

/** These bytes instead of an answer; `ID` in them is the order's. */
export const says =
  (text: string): Act =>
  ({ peer, id }) =>
    peer.write(text.replaceAll('ID', String(id)))

/** The connection ends instead of an answer; whoever connects again is served. */
export const hangsUp: Act = ({ peer }) => peer.hangUp()

/** Waits for what changes: whoever changes it says so by `changed`. */
class Watched {
  #wake = new Set<() => void>()

  protected changed(): void {
    for (const wake of [...this.#wake]) wake()
  }

  /** What `find` finds, once it does. @throws Error saying what did not come */
  protected until<T>(find: () => T | undefined, otherwise: () => string): Promise<T> {
    return new Promise((resolve, reject) => {
      const wake = () => {
        const found = find()
        if (found !== undefined) settle(() => resolve(found))
      }
      const settle = (how: () => void) => {
        clearTimeout(timer)
        this.#wake.delete(wake)
        how()
      }
      const timer = setTimeout(() => settle(() => reject(new Error(otherwise()))), LIMIT_MS)
      this.#wake.add(wake)
      wake()
    })
  }
}

/** A monitor. `answers` may be changed at any time; `orders` is all it was told. */
export class QmpPeer extends Watched {
  /** asked before the defaults */
  readonly answers: Answers
  defaults: Answers = {}
  readonly orders: Order[] = []
  /** the first bytes of a connection */
  greeting = GREETING_LINE
  /** connections so far */
  connections = 0
  /** asked before all answers; gives what happens instead of one */
  instead: ((order: Order) => Act | undefined) | undefined
  #open = new Set<Socket>()
  readonly #muted = new Set<Socket>()
  #seen = new WeakSet<Order>()
  #server: Server | undefined

  constructor(answers: Answers = {}) {
    super()
    this.answers = answers
  }

  async listen(path: string): Promise<this> {
    rmSync(path, { force: true })
    const server = createServer(socket => this.#serve(socket))
    this.#server = server
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
    return this
  }

  /** The names of the commands it was told, handshakes left out. */
  get commands(): string[] {
    return this.orders.map(({ command }) => command).filter(command => command !== 'qmp_capabilities')
  }

  /** The next order of that command which no call has brought yet. */
  async told(command: string): Promise<Order> {
    const order = await this.until(
      () => this.orders.find(one => one.command === command && !this.#seen.has(one)),
      () => `'${command}' was not told, only: ${this.commands.join(', ')}`
    )
    this.#seen.add(order)
    return order
  }

  /** Waits until somebody has connected that many times. */
  async connected(times = 1): Promise<void> {
    await this.until(
      () => this.connections >= times || undefined,
      () => `there were ${this.connections} connections, not ${times}`
    )
  }

  send(message: object): void {
    this.write(`${formatJson(message)}\r\n`)
  }

  write(bytes: string | Buffer): void {
    for (const socket of this.#open) socket.write(bytes)
  }

  event(event: string, data?: object, timestamp = { seconds: 1_700_000_000, microseconds: 42 }): void {
    this.send({ timestamp, event, data })
  }

  /** Ends the connections there are. */
  hangUp(): void {
    for (const socket of this.#open) socket.end()
  }

  /** Waits until nobody is connected. */
  async abandoned(): Promise<void> {
    await this.until(
      () => this.#open.size === 0 || undefined,
      () => 'somebody is still connected'
    )
  }

  /** Those who are connected hear no more, nor do they hear that. */
  mute(): void {
    for (const socket of this.#open) this.#muted.add(socket)
    this.#open.clear()
  }

  /** Ends what was muted. */
  end(): void {
    for (const socket of this.#muted) socket.destroy()
  }

  /** Ends all, as the kernel does when a process is gone; it may listen again. */
  close(): void {
    this.#server?.close()
    for (const socket of this.#open) socket.destroy()
  }

  #serve(socket: Socket): void {
    this.#open.add(socket)
    this.connections++
    socket.on('close', () => {
      this.#open.delete(socket)
      this.changed()
    })
    socket.on('error', () => {})
    socket.write(this.greeting)
    let partial = ''
    socket.setEncoding('utf8').on('data', chunk => {
      if (this.#muted.has(socket)) return
      const lines = `${partial}${chunk}`.split('\n')
      partial = lines.pop()!
      for (const line of lines) {
        // an agent's line may begin with a byte that is no JSON
        this.#obey(new Order(this, parseJson(line.slice(line.indexOf('{'))) as { execute: string }))
      }
    })
    this.changed()
  }

  #obey(order: Order): void {
    this.orders.push(order)
    const instead = this.instead?.(order)
    if (instead) instead(order)
    else this.answer(order)
    this.changed()
  }

  /** Answers an order from the tables. */
  answer(order: Order): void {
    const { command } = order
    const table = [this.answers, this.defaults, HANDSHAKE].find(one => Object.hasOwn(one, command))
    const answer = table?.[command]
    if (!table) order.refuse(`The command ${command} has not been found`, 'CommandNotFound')
    else if (typeof answer === 'function') answer(order)
    else order.reply(answer)
  }
}

const HANDSHAKE: Answers = { qmp_capabilities: {} }

/** A guest agent: it says nothing by itself, knows no ids, and marks its answer to a delimited synchronisation. */
export class AgentPeer extends QmpPeer {
  override greeting = ''
  override defaults: Answers = {
    'guest-sync-delimited': ({ peer, args }: Order) => {
      peer.write(Buffer.from([0xff]))
      peer.send({ return: args.id })
    },
    // libvirt's own
    'guest-sync': (order: Order) => order.reply(order.args.id)
  }
}

/** A peer on a socket of its own, and the socket's path. */
export async function peerOn<P extends QmpPeer>(t: Teardown, peer: P): Promise<{ peer: P; path: string }> {
  // not the test's own directory: its name is too long for a socket
  const dir = mkdtempSync(join(tmpdir(), 'peer-'))
  t.teardown(() => {
    peer.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const path = join(dir, 'sock')
  await peer.listen(path)
  return { peer, path }
}

/** `id=NAME,path=PATH` of every socket a command line makes. */
const socketsOf = (argv: string[]) =>
  argv.flatMap(word => {
    const [, id, path] = /^socket,id=([^,]+),path=(.*?),server=on/.exec(word) ?? []
    return id !== undefined && path !== undefined ? [{ id, path: path.replaceAll(',,', ',') }] : []
  })

/** The running machine behind a stand-in's answers. */
interface Machine {
  argv: string[]
  pid: number
  /** query-status, as cont and stop leave it */
  status: string
}

/** What a guest without balloon driver has reported: nothing. */
const NO_BALLOON_STATS = {
  stats: Object.fromEntries(
    ['swap-in', 'swap-out', 'major-faults', 'minor-faults', 'free-memory', 'total-memory', 'available-memory']
      .concat('disk-caches', 'htlb-pgalloc', 'htlb-pgfail')
      .map(name => [`stat-${name}`, 2n ** 64n - 1n])
  ),
  'last-update': 0
}

const PROPERTIES: Record<string, unknown> = {
  'guest-stats': NO_BALLOON_STATS,
  'feature-words': [],
  'unavailable-features': []
}

/** Commands that do something and have no more to say. */
const WORDLESS = [
  ...['balloon', 'block_set_io_throttle', 'blockdev-add', 'blockdev-del', 'chardev-add', 'chardev-remove'],
  ...['calc-dirty-rate', 'device_del', 'dump-guest-memory', 'expire_password', 'inject-nmi', 'memsave'],
  ...['netdev_add', 'netdev_del', 'object-add', 'object-del', 'pmemsave', 'qom-set', 'rtc-reset-reinjection'],
  ...['screendump', 'send-key', 'set-action', 'set_link', 'set_password', 'system_wakeup'],
  ...['getfd', 'closefd', 'announce-self', 'block-set-write-threshold', 'block_resize', 'display-reload']
]

const idOf = (device: unknown): string[] => {
  const { id } = device as { id?: string }
  return id === undefined ? [] : [id]
}

/** The answers of a QEMU 7.2 that was started stopped; a command that is not here is one it has not. */
function machineAnswers(machine: Machine): Answers {
  const { argv, pid } = machine
  const [, count = 1, max = count] = /^(\d+)(?:,maxcpus=(\d+))?/.exec(argv[argv.indexOf('-smp') + 1] ?? '') ?? []
  const cpus = Array.from({ length: Number(max) }, (_, i) => ({
    props: { 'core-id': i, 'thread-id': 0, 'socket-id': 0 },
    path: `/machine/unattached/device[${2 * i}]`
  }))
  /** those that are there, in the order in which they came */
  const online = cpus.slice(0, Number(count))
  /** One of them, by where it is. */
  const plug = ({ id, ...place }: Record<string, unknown>) => {
    const cpu = cpus.find(({ props }) => Object.entries(props).every(([level, at]) => (place[level] ?? 0) === at))
    if (cpu) online.push(Object.assign(cpu, { path: `/machine/peripheral/${id}` }))
  }
  const iothreads = new Set(
    argv.filter(word => word.includes('"qom-type":"iothread"')).map(word => (parseJson(word) as { id: string }).id)
  )
  /** the devices that have names */
  const peripherals = new Set(
    argv.flatMap((word, i) => (argv[i - 1] === '-device' && word.startsWith('{') ? idOf(parseJson(word)) : []))
  )
  const enters =
    (status: string, event: string): Act =>
    order => {
      if (machine.status !== status) order.peer.event(event)
      machine.status = status
      order.reply()
    }
  const tells =
    (event: string, data?: object): Act =>
    order => {
      order.peer.event(event, data)
      order.reply()
    }
  const isRunning = () => machine.status === 'running'
  return {
    ...Object.fromEntries(WORDLESS.map(command => [command, {}])),
    cont: enters('running', 'RESUME'),
    stop: enters('paused', 'STOP'),
    system_powerdown: tells('POWERDOWN'),
    system_reset: tells('RESET', { guest: false, reason: 'host-qmp-system-reset' }),
    'human-monitor-command': '',
    'qom-get': (order: Order) => order.reply(PROPERTIES[order.args.property] ?? false),
    'qom-list': (order: Order) =>
      order.reply(
        order.args.path === '/machine/peripheral' ? [...peripherals].map(name => ({ name, type: 'child<x>' })) : []
      ),
    'query-status': (order: Order) => order.reply({ status: machine.status, singlestep: false, running: isRunning() }),
    'query-version': GREETING.QMP.version,
    'query-kvm': { enabled: false, present: true },
    device_add(order: Order) {
      if (String(order.args.driver).endsWith('-cpu')) plug(order.args)
      for (const id of idOf(order.args)) peripherals.add(id)
      order.reply()
    },
    device_del(order: Order) {
      const { id } = order.args
      const path = `/machine/peripheral/${id}`
      const at = online.findIndex(cpu => cpu.path === path)
      order.reply()
      // the guest gives up a vCPU at once
      if (at < 0) return
      online.splice(at, 1)
      order.peer.event('DEVICE_DELETED', { device: id, path })
    },
    'object-add'(order: Order) {
      if (order.args['qom-type'] === 'iothread') iothreads.add(order.args.id)
      order.reply()
    },
    'object-del'(order: Order) {
      iothreads.delete(order.args.id)
      order.reply()
    },
    'query-cpus-fast': (order: Order) =>
      order.reply(
        online.map(cpu => ({
          'thread-id': pid,
          props: cpu.props,
          'qom-path': cpu.path,
          'cpu-index': cpus.indexOf(cpu),
          target: 'x86_64'
        }))
      ),
    'query-hotpluggable-cpus': (order: Order) =>
      order.reply(
        [...cpus].reverse().map(cpu => ({
          props: cpu.props,
          'vcpus-count': 1,
          ...(online.includes(cpu) && { 'qom-path': cpu.path }),
          type: 'qemu64-x86_64-cpu'
        }))
      ),
    'query-chardev': socketsOf(argv).map(({ id, path }) => ({
      'frontend-open': true,
      filename: `unix:${path},server=on`,
      label: id
    })),
    'query-current-machine': { 'wakeup-suspend-support': true },
    'query-balloon': { actual: 64 * 1024 * 1024 },
    'query-block': [],
    'query-blockstats': [],
    'query-named-block-nodes': [],
    'query-block-jobs': [],
    'query-jobs': [],
    'query-iothreads': (order: Order) => order.reply([...iothreads].map(id => ({ id, 'thread-id': pid }))),
    'query-migrate': {},
    'query-rx-filter': [],
    'query-stats': [],
    'query-stats-schemas': [],
    'query-vnc': { enabled: false },
    'query-dirty-rate': {
      status: 'unstarted',
      'sample-pages': 0,
      mode: 'page-sampling',
      'start-time': 0,
      'calc-time': 0
    }
  }
}

export interface StandInOptions {
  /** asked before those of a QEMU 7.2 */
  answers?: Answers
  /** what it does once its process is there; makes its sockets, if nothing is said */
  onLaunch?: (qemu: StandInQemu) => unknown
  /** SIGTERM does not end it */
  ignoresTerm?: boolean
}

/**
 * An emulator. Its process says how it was called, holds a FIFO of its own for as long as it lives, and waits to be told
 * how to end; a probe of its capabilities is answered by the host's QEMU. The process ends with the test's own.
 *
 *   test  ◄──  PID ARGC \n ARG \0 …  ──  qemu.launched  ◄──  process       how it was called
 *   test  ◄──  end of file          ──  qemu.life.PID  ◄──  process       it is gone
 *   test  ──  STATUS WORDS \n       ──►  qemu.end       ──►  process       says the words and exits so
 */
export class StandInQemu extends Watched {
  readonly dir = mkdtempSync(join(tmpdir(), 'stand-in-'))
  /** for <emulator> */
  readonly path = join(this.dir, 'qemu')
  readonly peer: QmpPeer
  readonly agent = new AgentPeer()
  readonly answers: Answers
  onLaunch: (qemu: StandInQemu) => unknown
  /** of its last start */
  argv: string[] = []
  pid = 0
  /** starts so far */
  launches = 0
  isAlive = false
  /** query-status, as cont and stop leave it */
  machine: Machine = { status: 'prelaunch', argv: [], pid: 0 }
  readonly #endFd: number
  readonly #launched: Socket
  #isEnding = false
  #isClosed = false

  constructor({ answers = {}, onLaunch = openSockets, ignoresTerm = false }: StandInOptions = {}) {
    super()
    this.answers = answers
    this.peer = new QmpPeer(answers)
    this.onLaunch = onLaunch
    const end = `${this.path}.end`
    spawnSync('mkfifo', ['-m', '666', `${this.path}.launched`, end])
    writeFileSync(this.path, emulatorScript(ignoresTerm))
    chmodSync(this.path, 0o755)
    // it makes a FIFO there, whoever it runs as
    chmodSync(this.dir, 0o777)
    // also written to by us at all times: the process waits there until it is told, or until we are gone
    this.#endFd = openSync(end, constants.O_RDWR)
    // held for writing, too: it does not end between two starts
    const fd = openSync(`${this.path}.launched`, constants.O_RDWR | constants.O_NONBLOCK)
    this.#launched = new Socket({ fd, readable: true, writable: false })
    let said = Buffer.alloc(0)
    this.#launched.on('data', chunk => {
      said = Buffer.concat([said, chunk])
      const [, pid, count] = /^(\d+) (\d+)\n/.exec(said.toString('latin1')) ?? []
      const args = said
        .subarray(said.indexOf(10) + 1)
        .toString('utf8')
        .split('\0')
      if (pid === undefined || args.length !== Number(count) + 1) return
      said = Buffer.alloc(0)
      this.#start(Number(pid), args.slice(0, -1))
    })
  }

  /** Makes its monitor and, with an agent in the guest, the socket of its first channel. */
  async openSockets(): Promise<void> {
    const paths = new Map(socketsOf(this.argv).map(({ id, path }) => [id, path]))
    const channel = paths.get('charchannel0')
    if (channel !== undefined) await this.agent.listen(channel)
    await this.peer.listen(paths.get('charmonitor')!)
  }

  /** Waits until it has been started that many times. */
  async launched(times = 1): Promise<void> {
    await this.until(
      () => this.launches >= times || undefined,
      () => `it was started ${this.launches} times, not ${times}`
    )
  }

  /** Waits until its process is gone. */
  async gone(): Promise<void> {
    await this.until(
      () => !this.isAlive || undefined,
      () => `process ${this.pid} is still there`
    )
  }

  /** Forgets all a test has said: it is a QEMU as any other. */
  behave(): void {
    for (const command of Object.keys(this.answers)) delete this.answers[command]
    this.peer.greeting = GREETING_LINE
    this.onLaunch = openSockets
  }

  /** Its process ends by itself, with its last words on the standard error. */
  exit(status = 0, words = ''): void {
    if (this.#isEnding) return
    this.#isEnding = true
    writeSync(this.#endFd, `${status} ${words}\n`)
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (this.isAlive) process.kill(this.pid, signal)
  }

  /** Ends what is left of it. */
  async end(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.isAlive) {
      this.kill()
      await this.gone()
    }
    this.#launched.destroy()
    this.#closeSockets()
    for (const peer of [this.peer, this.agent]) peer.end()
    closeSync(this.#endFd)
    rmSync(this.dir, { recursive: true, force: true })
  }

  #closeSockets(): void {
    for (const peer of [this.peer, this.agent]) peer.close()
  }

  #start(pid: number, argv: string[]): void {
    // the driver may have started the next before the end of the last was heard here
    if (this.isAlive) this.#closeSockets()
    this.#isEnding = false
    Object.assign(this, { pid, argv, isAlive: true, machine: { status: 'prelaunch', argv, pid } })
    this.peer.defaults = machineAnswers(this.machine)
    this.launches++
    this.#watch(pid)
    this.onLaunch(this)
    this.changed()
  }

  /** Hears of the end of a process: it alone writes to its FIFO. */
  #watch(pid: number): void {
    const path = `${this.path}.life.${pid}`
    const life = new Socket({
      fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
      readable: true,
      writable: false
    })
    const gone = () => {
      life.destroy()
      rmSync(path, { force: true })
      if (this.pid !== pid || !this.isAlive) return
      this.isAlive = false
      this.#closeSockets()
      this.changed()
    }
    life.on('end', gone).resume()
    // one that went before the FIFO was opened here leaves no end of file
    if (!processIdentity(pid)) gone()
  }
}

const openSockets = (qemu: StandInQemu) => qemu.openSockets()

const emulatorScript = (ignoresTerm: boolean) => `#!/bin/sh
case "$*" in *charmonitor*) ;; *) exec /usr/bin/qemu-system-x86_64 "$@" ;; esac
${ignoresTerm ? "trap '' TERM\n" : ''}mkfifo "$0.life.$$"
exec 3<>"$0.life.$$"
{ echo "$$ $#"; printf '%s\\0' "$@"; } >"$0.launched"
read -r status words <"$0.end"
[ -z "$words" ] || echo "$words" >&2
exit "\${status:-0}"
`

/** QEMU ends instead of an answer, by a signal or with a status and words. */
export const dies =
  (qemu: StandInQemu, how: NodeJS.Signals | [status: number, words: string] = 'SIGKILL'): Act =>
  () => {
    if (Array.isArray(how)) qemu.exit(...how)
    else qemu.kill(how)
  }
