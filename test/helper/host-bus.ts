// A D-Bus of the tests' own, a real dbus-daemon, and on it a stand-in for systemd: what of its manager's interface
// (org.freedesktop.systemd1) guests need, written after systemd's documentation. Its scopes are real control groups.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
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
import { Message, type MessageBus, MessageType, sessionBus, Variant } from '@jellybrick/dbus-next'

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

/** Answers the calls to one service; undefined leaves the call without an answer. */
export type Service = (call: Message) => Answer | undefined

export class TestBus {
  readonly dir = mkdtempSync(join(tmpdir(), 'virshim-bus-'))
  readonly address = `unix:path=${join(this.dir, 'bus')}`
  /** The daemon says its address once it listens; its socket's file is there before. */
  readonly ready: Promise<unknown>
  readonly #daemon: ChildProcess
  readonly #services: MessageBus[] = []

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
  async serve(name: string, service: Service): Promise<{ seen: Seen[]; bus: MessageBus }> {
    await this.ready
    const bus = sessionBus({ busAddress: this.address })
    this.#services.push(bus)
    const seen: Seen[] = []
    bus.addMethodHandler(message => {
      if (message.type !== MessageType.METHOD_CALL) return false
      seen.push({ member: message.member, args: message.body })
      const answer = service(message)
      if (!answer) return true
      const { error, text, signature = '', body = [] } = answer
      bus.send(error ? Message.newError(message, error, text) : Message.newMethodReturn(message, signature, body))
      return true
    })
    await bus.requestName(name)
    return { seen, bus }
  }

  end(): void {
    for (const bus of this.#services) bus.disconnect()
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

/** The unit of an object, whose path has all but letters and digits in hexadecimal. */
const unitOf = (path: string) =>
  path
    .slice(`${SYSTEMD}/unit/`.length)
    .replace(/_([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))

/** Serves org.freedesktop.systemd1. */
export async function fakeSystemd(host: TestBus): Promise<{ seen: Seen[]; scopes: Map<string, string[]> }> {
  const scopes = new Map<string, string[]>()
  let job = 0
  const service: Service = ({ member, path, body }) => {
    const jobOf = (unit: string) => {
      const path = `${SYSTEMD}/job/${++job}`
      const args = [job, path, unit, 'done']
      setTimeout(
        () => bus.send(Message.newSignal(SYSTEMD, `org.freedesktop.systemd1.Manager`, 'JobRemoved', 'uoss', args)),
        5
      )
      return { signature: 'o', body: [path] }
    }
    if (member === 'Subscribe') return {}
    if (member === 'StartTransientUnit') {
      const [unit, , properties] = body as [string, string, [string, Variant][]]
      if (scopes.has(unit)) return { error: 'org.freedesktop.systemd1.UnitExists', text: `Unit ${unit} was there` }
      const pids = (properties.find(([name]) => name === 'PIDs')?.[1].value ?? []) as number[]
      for (const dir of scopeDirs(unit)) enter(dir, pids)
      scopes.set(unit, scopeDirs(unit))
      return jobOf(unit)
    }
    if (member === 'StopUnit') {
      const [unit] = body as [string]
      if (!scopes.has(unit)) return { error: 'org.freedesktop.systemd1.NoSuchUnit', text: `Unit ${unit} not loaded.` }
      for (const dir of scopes.get(unit) ?? []) removeGroup(dir)
      scopes.delete(unit)
      const removed = [unit, `${SYSTEMD}/unit/${++job}`]
      const gone = Message.newSignal(SYSTEMD, 'org.freedesktop.systemd1.Manager', 'UnitRemoved', 'so', removed)
      setTimeout(() => bus.send(gone), 10)
      return jobOf(unit)
    }
    if (member === 'Get') {
      if (scopes.has(unitOf(path))) return { signature: 'v', body: [new Variant('s', 'active')] }
      return { error: 'org.freedesktop.systemd1.NoSuchUnit', text: `Unit ${unitOf(path)} not loaded.` }
    }
    return { error: 'org.freedesktop.DBus.Error.UnknownMethod', text: `no method ${member} here` }
  }
  const { seen, bus } = await host.serve('org.freedesktop.systemd1', service)
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
