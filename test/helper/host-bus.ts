// A D-Bus of the tests' own, a real dbus-daemon, and on it a stand-in for systemd: what of its manager's interface
// (org.freedesktop.systemd1) guests need, written after systemd's documentation. Its scopes are real control groups.
import { type ChildProcess, spawn } from 'node:child_process'
import { type EventEmitter, once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as library from '@homebridge/dbus-native'

/** A message as the library has it; variants are `[type, value]` when sent, `[parsed type, [value]]` when received. */
export interface Message {
  type: number
  serial: number
  replySerial?: number
  sender?: string
  destination?: string
  path?: string
  interface?: string
  member?: string
  errorName?: string
  signature?: string
  body?: unknown[]
}

interface Connection extends EventEmitter {
  message(message: Message): void
  end(): void
}

// its types leave these out
const { createConnection, messageType } = library as unknown as {
  createConnection(options: { busAddress: string }): Connection
  messageType: Record<'methodCall' | 'methodReturn' | 'error' | 'signal', number>
}

/** A received value without the types of its variants. */
export function plain(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  const [type, held] = value
  const variant = value.length === 2 && Array.isArray(type) && typeof type[0]?.type === 'string'
  return variant ? plain(held[0]) : value.map(plain)
}

export interface Seen {
  member: string
  args: unknown[]
}

interface Answer {
  signature?: string
  body?: unknown[]
  error?: string
  text?: string
}

/** A call to a service; `args` are plain. */
interface Call extends Seen {
  path: string
}

/** Answers the calls to one service; undefined leaves the call without an answer. */
export type Service = (call: Call) => Answer | undefined

/** Sends a signal to all. */
export type Signal = (path: string, of: string, member: string, signature: string, args: unknown[]) => void

export class TestBus {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-bus-'))
  readonly address = `unix:path=${join(this.dir, 'bus')}`
  /** The daemon says its address once it listens; its socket's file is there before. */
  readonly ready: Promise<unknown>
  readonly #daemon: ChildProcess
  readonly #services: Connection[] = []

  constructor() {
    const config = join(this.dir, 'bus.conf')
    writeFileSync(
      config,
      `<busconfig><type>system</type><listen>${this.address}</listen><auth>EXTERNAL</auth>
        <policy context='default'><allow user='*'/><allow own='*'/><allow send_destination='*' eavesdrop='true'/>
        <allow eavesdrop='true'/></policy></busconfig>`
    )
    this.#daemon = spawn('dbus-daemon', ['--nofork', '--print-address', `--config-file=${config}`], {
      stdio: ['ignore', 'pipe', 'ignore']
    })
    this.ready = once(this.#daemon.stdout!, 'data')
  }

  /** Puts a service on the bus; what it is asked is kept. */
  async serve(name: string, service: Service): Promise<{ seen: Seen[]; signal: Signal }> {
    await this.ready
    const connection = createConnection({ busAddress: this.address })
    this.#services.push(connection)
    let serial = 0
    const send = (message: Omit<Message, 'serial'>) => connection.message({ ...message, serial: ++serial })
    const seen: Seen[] = []
    connection.on('message', (message: Message) => {
      if (message.type !== messageType.methodCall) return
      const { member = '', path = '', body = [] } = message
      const call = { member, path, args: plain(body) as unknown[] }
      seen.push(call)
      const answer = service(call)
      if (!answer) return
      const { error, text, signature, body: answered } = answer
      const to = { destination: message.sender, replySerial: message.serial }
      if (error) send({ ...to, type: messageType.error, errorName: error, signature: 's', body: [text] })
      else send({ ...to, type: messageType.methodReturn, signature, body: answered })
    })
    const bus = {
      destination: 'org.freedesktop.DBus',
      path: '/org/freedesktop/DBus',
      interface: 'org.freedesktop.DBus'
    }
    send({ ...bus, type: messageType.methodCall, member: 'Hello' })
    send({ ...bus, type: messageType.methodCall, member: 'RequestName', signature: 'su', body: [name, 0] })
    const asked = serial
    await new Promise<void>(named =>
      connection.on('message', ({ replySerial }: Message) => replySerial === asked && named())
    )
    const signal: Signal = (path, of, member, signature, body) =>
      !this.#daemon.killed && send({ type: messageType.signal, path, interface: of, member, signature, body })
    return { seen, signal }
  }

  end(): void {
    for (const bus of this.#services) bus.end()
    this.#daemon.kill()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

const CGROUP = '/sys/fs/cgroup'
const scopeDirs = (unit: string) =>
  readdirSync(CGROUP)
    .filter(name => existsSync(join(CGROUP, name, 'cgroup.procs')))
    .map(name => join(CGROUP, name, 't-virshim.slice', unit))

const SYSTEMD = '/org/freedesktop/systemd1'

/** The object of a unit, its path with all but letters and digits in hexadecimal, and back. */
const pathOf = (unit: string) =>
  `${SYSTEMD}/unit/${unit.replace(/[^0-9a-zA-Z]/g, char => `_${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}`
const unitOf = (path: string) =>
  path
    .slice(`${SYSTEMD}/unit/`.length)
    .replace(/_([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))

/** A job is under way this long: whoever asks at once sees it so. */
const JOB_MS = 50
const noUnit = (unit: string) => ({ error: 'org.freedesktop.systemd1.NoSuchUnit', text: `Unit ${unit} not loaded.` })

/**
 * Serves org.freedesktop.systemd1.
 * @param outcome state of a unit once the job that starts it is over
 */
export async function fakeSystemd(
  host: TestBus,
  outcome: 'active' | 'failed' = 'active'
): Promise<{ seen: Seen[]; scopes: Map<string, string[]> }> {
  const scopes = new Map<string, string[]>()
  const starting = new Map<string, number>()
  const manager = [SYSTEMD, 'org.freedesktop.systemd1.Manager'] as const
  let jobs = 0
  const service: Service = ({ member, path, args }) => {
    const newJob = (unit: string) => {
      const job = ++jobs
      const path = `${SYSTEMD}/job/${job}`
      setTimeout(() => {
        starting.delete(unit)
        signal(...manager, 'JobRemoved', 'uoss', [job, path, unit, outcome === 'active' ? 'done' : 'failed'])
      }, JOB_MS)
      return { signature: 'o', body: [path] }
    }
    if (member === 'Subscribe') return {}
    if (member === 'StartTransientUnit') {
      const [unit, , properties] = args as [string, string, [string, unknown][]]
      if (scopes.has(unit)) return { error: 'org.freedesktop.systemd1.UnitExists', text: `Unit ${unit} was there` }
      const pids = (properties.find(([name]) => name === 'PIDs')?.[1] ?? []) as number[]
      for (const dir of scopeDirs(unit)) enter(dir, pids)
      scopes.set(unit, scopeDirs(unit))
      starting.set(unit, jobs + 1)
      return newJob(unit)
    }
    if (member === 'StopUnit') {
      const [unit] = args as [string]
      if (!scopes.has(unit)) return noUnit(unit)
      for (const dir of scopes.get(unit) ?? []) removeGroup(dir)
      scopes.delete(unit)
      setTimeout(() => signal(...manager, 'UnitRemoved', 'so', [unit, pathOf(unit)]), 2 * JOB_MS)
      return newJob(unit)
    }
    if (member === 'GetUnit') {
      const [unit] = args as [string]
      return scopes.has(unit) ? { signature: 'o', body: [pathOf(unit)] } : noUnit(unit)
    }
    if (member === 'Get') {
      const unit = unitOf(path)
      if (!scopes.has(unit)) return noUnit(unit)
      const job = starting.get(unit)
      if (args[1] === 'Job')
        return { signature: 'v', body: [['(uo)', job ? [job, `${SYSTEMD}/job/${job}`] : [0, '/']]] }
      return { signature: 'v', body: [['s', job ? 'inactive' : outcome]] }
    }
    return { error: 'org.freedesktop.DBus.Error.UnknownMethod', text: `no method ${member} here` }
  }
  const { seen, signal } = await host.serve('org.freedesktop.systemd1', service)
  return { seen, scopes }
}

/** One with processes that are just ending stays, as it would until they are gone. */
function removeGroup(dir: string): void {
  try {
    rmdirSync(dir)
  } catch {}
}

function enter(dir: string, pids: number[]): void {
  mkdirSync(dir, { recursive: true })
  for (const part of [join(dir, '..'), dir]) {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (!existsSync(join(part, file))) continue
      writeFileSync(join(part, file), readFileSync(join(part, '..', file)))
    }
  }
  for (const pid of pids) writeFileSync(join(dir, 'cgroup.procs'), String(pid))
}

/** Takes away what scopes of an ended stand-in lay in. */
export function removeScopes(): void {
  for (const slice of readdirSync(CGROUP).map(name => join(CGROUP, name, 't-virshim.slice'))) {
    if (!existsSync(slice)) continue
    for (const scope of readdirSync(slice).filter(name => name.endsWith('.scope'))) removeGroup(join(slice, scope))
    removeGroup(slice)
  }
}
