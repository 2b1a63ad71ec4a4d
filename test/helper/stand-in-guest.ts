// A guest of this process on a stand-in QEMU: started, left and taken over by the driver itself, asked through the API
// table. What a test needs of the driver's inside is named here and nowhere else.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DomainDef } from '../../src/conf/domain-def.ts'
import * as enums from '../../src/conf/enums.ts'
import { type ErrorJson, toVirError } from '../../src/conf/error.ts'
import { fieldsToJson } from '../../src/conf/wire.ts'
import type { Capability } from '../../src/drivers/qemu/capabilities/signs.ts'
import type { QemuContext } from '../../src/drivers/qemu/context.ts'
import { loadDomain } from '../../src/drivers/qemu/definition/passes.ts'
import { type Log, QemuDomain } from '../../src/drivers/qemu/domain/domain.ts'
import type { Ended } from '../../src/drivers/qemu/domain/run.ts'
import { readStatus, type Status } from '../../src/drivers/qemu/domain/status.ts'
import { handleQmpEvent } from '../../src/drivers/qemu/events/index.ts'
import { cancelStart, type StartOptions, startDomain } from '../../src/drivers/qemu/process/start.ts'
import { OpenedFiles } from '../../src/host/inherited-files.ts'
import { servedBy } from '../../src/server/connection.ts'
import { dispatch, rowFor } from '../../src/server/dispatch.ts'
import { settleSnapshots, takeOver } from '../../src/server/take-over.ts'
import type { DomainEvent } from '../../src/state/events.ts'
import { type GuestRoot, guestRoot } from '../../src/state/root.ts'
import { readIfThere } from '../../src/state/store.ts'
import { fakeQemu, testContext } from './definition.ts'
import { leftovers } from './refusal.ts'
import { type StandInOptions, StandInQemu, type Teardown } from './stand-in-qemu.ts'

const NAME = 't-stand-in'
const QEMU64 = { name: 'qemu64', type: 'qemu64-x86_64-cpu', deprecated: false, blockers: '' }

export interface GuestParts extends StandInOptions {
  /** in <devices> */
  devices?: string
  /** beside <devices> */
  outside?: string
  /** in <os> */
  os?: string
  /** files in the guest's own directory, by name; `@` in its XML is that directory */
  files?: Record<string, string>
  /** capabilities the QEMU has not */
  missing?: Capability[]
  /** it is kept */
  persistent?: boolean
  /** QEMU runs as that user; takes root */
  user?: string
}

/** `CODE DOMAIN: message` of an error, '' of none. */
export async function failureOf(work: () => unknown): Promise<string> {
  try {
    await work()
    return ''
  } catch (thrown) {
    const { codeName, domainName, message }: ErrorJson = toVirError(thrown).toJSON()
    return `${codeName} ${domainName}: ${message}`
  }
}

/** Works on all of them; where each mostly waits, this many do not keep the machine from each other. */
export async function eightAtATime<T>(cases: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const queue = [...cases]
  const worker = async () => {
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) await work(one)
  }
  await Promise.all(Array.from({ length: 8 }, worker))
}

/** The rest of a constant's name after what it begins with, in enumerations called so. */
function wordOf(enumeration: RegExp, beginning: string, value: unknown): string {
  const tables = Object.entries(enums).flatMap(([name, table]) => (enumeration.test(name) ? Object.entries(table) : []))
  const found = tables.find(([name, one]) => name.startsWith(beginning) && one === value)
  return found?.[0].slice(beginning.length) ?? String(value)
}

/** One line of a log. */
interface Logged {
  [value: string]: unknown
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
  /** of the error that was logged with it */
  reason?: string
}

export class StandInGuest {
  readonly qemu: StandInQemu
  readonly dir = mkdtempSync(join(tmpdir(), 'guest-'))
  readonly root: GuestRoot = guestRoot(join(this.dir, 'root'))
  readonly logged: Logged[] = []
  readonly events: DomainEvent[] = []
  /** the one that serves the guest now */
  declare domain: QemuDomain
  readonly #parts: GuestParts
  #waiting: (() => void)[] = []
  readonly #dead: QemuDomain[] = []

  private constructor(parts: GuestParts) {
    this.#parts = parts
    this.qemu = new StandInQemu(parts)
    for (const [name, text] of Object.entries(parts.files ?? {})) writeFileSync(join(this.dir, name), text)
  }

  /** A guest that is shut off. */
  static async make(t: Teardown, parts: GuestParts = {}): Promise<StandInGuest> {
    const guest = new StandInGuest(parts)
    t.teardown(() => guest.end())
    const { def, context } = await loadDomain(guest.xml, guest.#contextFor)
    guest.#serve(def, context)
    if (parts.persistent) guest.domain.setPersistent(def)
    return guest
  }

  /** A guest that runs, its start forgotten by `qemu.peer.orders`, `events` and `logged`. */
  static async running(t: Teardown, parts: GuestParts = {}): Promise<StandInGuest> {
    const guest = await StandInGuest.make(t, parts)
    await guest.start()
    guest.forget()
    return guest
  }

  get xml(): string {
    const { devices = '', outside = '', os = '' } = this.#parts
    return `<domain type='qemu'><name>${NAME}</name><uuid>7b1c5a5e-0000-4000-8000-00000000000a</uuid>
      <memory unit='MiB'>64</memory>${outside.includes('<vcpu') ? '' : '<vcpu>1</vcpu>'}<resource register='none'/>
      <os><type arch='x86_64' machine='pc'>hvm</type>${os}</os>${outside}
      <devices><emulator>${this.qemu.path}</emulator>${devices}</devices></domain>`.replaceAll('@', this.dir)
  }

  start(options?: StartOptions): Promise<void> {
    return startDomain(this.domain, options)
  }

  /** Ends a start that is under way or about to begin. */
  cancel(reason: string): void {
    cancelStart(this.domain, reason)
  }

  /** What happened so far is not looked at. */
  forget(): void {
    this.qemu.peer.orders.length = 0
    this.events.length = 0
    this.logged.length = 0
  }

  /** This process forgets the guest, as if it had been killed; QEMU goes on. */
  leave(): void {
    const monitor = this.domain?.monitor
    monitor?.removeAllListeners()
    monitor?.close()
  }

  /** As if this process had been killed: what it is doing stays as it is until the test is over. */
  die(): void {
    this.domain.monitor?.removeAllListeners()
    for (const peer of [this.qemu.peer, this.qemu.agent]) peer.mute()
    this.#dead.push(this.domain)
  }

  /** Another process of ours finds the status and takes the guest over. */
  async takeOver(changed: Partial<Status> = {}): Promise<boolean> {
    const status = { ...(await this.status())!, ...changed }
    const { def, context } = await loadDomain(status.xml, this.#contextFor, { inactive: false, status: true })
    this.#serve(def, context)
    await settleSnapshots(this.root, status, this.domain.log)
    const kept = readIfThere(this.root.definition)
    if (kept !== undefined) {
      const persistent = await loadDomain(kept, this.#contextFor, { abiUpdate: false, check: false })
      this.domain.definitions.adopt(persistent.def, persistent.context)
    }
    return takeOver(this.domain, status)
  }

  /** What is saved of the run. */
  status(): Promise<Status | undefined> {
    return readStatus(this.root.status)
  }

  /** Waits until that is saved. */
  async untilSaved(wanted: Partial<Status>): Promise<void> {
    const holds = (status: Partial<Status> = {}) =>
      Object.entries(wanted).every(([name, value]) => status[name as keyof Status] === value)
    while (!holds(await this.status())) await new Promise(resolve => setImmediate(resolve))
  }

  /** An API as any client calls it; `signal` is its connection, as over libvirt's protocol. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of any shape
  async call(api: string, values: object = {}, signal?: AbortSignal): Promise<any> {
    const served = servedBy(this.domain)
    const row = rowFor(served, api, false)
    const given = await dispatch(served, {
      row,
      values,
      readOnly: false,
      ...(signal && { signal, connection: signal })
    })
    return row.stream ? given : fieldsToJson(given as never, row.ret)
  }

  /** How a call fails; '' when it does not. */
  failureOf(api: string, args?: object): Promise<string> {
    return failureOf(() => this.call(api, args))
  }

  /** State and reason, e.g. `SHUTOFF DESTROYED`. */
  async state(): Promise<string> {
    const { state, reason } = await this.call('virDomainGetState')
    const name = wordOf(/^virDomainState$/, 'VIR_DOMAIN_', state)
    return `${name} ${wordOf(/^virDomain.*Reason$/, `VIR_DOMAIN_${name}_`, reason)}`
  }

  /** Waits for a state, with a reason or any. */
  async untilState(wanted: string): Promise<void> {
    for (;;) {
      const { generation } = this.domain
      const state = await this.state()
      if (state.startsWith(wanted)) return
      if (!(await this.domain.waitForChange(generation, 60_000))) throw new Error(`state is ${state}, not ${wanted}`)
    }
  }

  /** Waits for a message in the log. */
  untilLogged(message: string): Promise<void> {
    return this.#until(() => this.logged.some(line => line.message === message))
  }

  /** Waits until listeners have been told of it. */
  untilTold(event: string): Promise<void> {
    return this.#until(() => this.told.some(([name]) => name === event))
  }

  /** Waits until the run is over. */
  ended(): Promise<Ended> {
    const { run, lastEnd } = this.domain
    return run?.ended ?? Promise.resolve(lastEnd!)
  }

  /** What was told to listeners: constants without their common beginning, and their fields. */
  get told(): [event: string, fields: object][] {
    return this.events.map(({ event, data }) => [event.replace('VIR_DOMAIN_EVENT_ID_', ''), data])
  }

  /** Lifecycle events, e.g. `STOPPED DESTROYED`. */
  get lifecycle(): string[] {
    return this.events.flatMap(({ event, data: { event: kind, detail } }) => {
      if (event !== 'VIR_DOMAIN_EVENT_ID_LIFECYCLE') return []
      const name = wordOf(/^virDomainEventType$/, 'VIR_DOMAIN_EVENT_', kind)
      return [`${name} ${wordOf(/^virDomainEvent.*DetailType$/, `VIR_DOMAIN_EVENT_${name}_`, detail)}`]
    })
  }

  /** Files but logs, processes and control groups. */
  get leftovers(): unknown[] {
    return leftovers(this.root.dir, NAME)
  }

  async end(): Promise<void> {
    this.leave()
    for (const domain of this.#dead) domain.run = undefined
    await this.qemu.end()
    rmSync(this.dir, { recursive: true, force: true })
  }

  readonly #contextFor = async (): Promise<QemuContext> => {
    const { dir, monitorSocket, channelDir, nvramDir, swtpmDir, swtpmSocket } = this.root
    const { missing = [] } = this.#parts
    return testContext({
      qemu: { ...fakeQemu(missing), binary: this.qemu.path, cpuModels: [QEMU64] },
      paths: {
        libDir: dir,
        channelTargetDir: channelDir,
        nvramDir,
        memoryBackingDir: join(dir, 'ram'),
        hugepageSubdir: 'stand-in',
        socketDir: dir,
        monitorSocket,
        dbusSocket: join(dir, 'dbus.sock'),
        swtpmDir,
        swtpmSocket
      },
      pretend: false,
      files: new OpenedFiles()
    })
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>(resolve => this.#waiting.push(resolve))
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  #serve(def: DomainDef, context: QemuContext): void {
    const line =
      (level: Logged['level']) =>
      ({ err, ...values }: { err?: Error }, message: string) => {
        this.logged.push({ ...values, level, message, ...(err && { reason: err.message }) })
        this.#wake()
      }
    const log = { debug() {}, info: line('info'), warn: line('warn'), error: line('error') } as Log
    const { root } = this
    const { user } = this.#parts
    const contextFor = this.#contextFor
    this.domain = new QemuDomain({ root, def, context, contextFor, log, user, onEvent: handleQmpEvent })
    this.domain.events.listen(event => {
      this.events.push(event)
      this.#wake()
    })
  }
}
