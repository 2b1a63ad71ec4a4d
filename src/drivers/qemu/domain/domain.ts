// One guest and everything this process knows of it. Only its methods change its state, and each change is on disk
// before anyone is told.
import { existsSync } from 'node:fs'
import { currentVcpuCount } from '../../../conf/domain/vcpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import {
  virDomainAgentResponseTimeoutValues,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { FileGroup } from '../../../host/inherited-files.ts'
import type { ProcessOwner, UidRange } from '../../../host/owner.ts'
import type { Claims } from '../../../state/claim.ts'
import { EventLog } from '../../../state/events.ts'
import { Jobs } from '../../../state/job.ts'
import { Listeners } from '../../../state/listeners.ts'
import { Moments } from '../../../state/moments.ts'
import type { GuestRoot } from '../../../state/root.ts'
import type { Phase, ProcessIdentity } from '../../../state/status.ts'
import { removeSynced, writeAtomic } from '../../../state/store.ts'
import type { GuestHandle } from '../../connection.ts'
import type { OpenPeer } from '../../migration.ts'
import type { Agent } from '../agent/channel.ts'
import type { QemuContext } from '../context.ts'
import type { ContextFor } from '../definition/passes.ts'
import type { QmpEvent, QmpMonitor } from '../monitor/qmp.ts'
import { type Affected, Definitions } from './definitions.ts'
import type { Ended, Run } from './run.ts'
import { isSaved, saveStatus } from './status.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/** The part of a logger the driver needs; values first, fixed message second, as in pino. */
export interface Log {
  debug(values: object, message: string): void
  info(values: object, message: string): void
  warn(values: object, message: string): void
  error(values: object, message: string): void
}

export interface DomainOptions {
  root: GuestRoot
  def: DomainDef
  context: QemuContext
  contextFor: ContextFor
  /** the root is the user's default one, named after the guest */
  rootByName?: boolean
  log: Log
  /** user and group QEMU runs as; absent: ours */
  user?: string
  group?: string
  /** users, of which QEMU is to run as one that is this guest's alone */
  uidRange?: UidRange | undefined
  /** QEMU is to have a view of the host's files of its own */
  confine?: boolean
  /** what it claims from the host's aggregator; absent: there is none */
  claims?: Claims
  /** where hook scripts may lie, the first that has any counts */
  hookDirs?: readonly string[]
  /** connects to the daemon of another host */
  openPeer?: OpenPeer
  /** takes what QEMU tells by itself */
  onEvent?: (domain: QemuDomain, event: QmpEvent) => void
}

/** What a guest changes by itself is saved no oftener than that. */
const SAVE_PAUSE_MS = 100

/** The guest of this shim: its definitions, its run while there is one, its state. */
export class QemuDomain {
  root: GuestRoot
  readonly rootByName: boolean
  readonly log: Log
  readonly jobs = new Jobs({ onChange: () => this.save() })
  readonly events: EventLog
  /** listeners for QEMU's own events */
  readonly monitorListeners: Listeners<[QmpEvent]>
  /** the user and groups QEMU is to run as at its next start */
  readonly owner: ProcessOwner
  readonly uidRange: UidRange | undefined
  /** it is to see no files of the host but its own, from its next start on */
  readonly confine: boolean
  readonly claims: Claims | undefined
  readonly hookDirs: readonly string[]
  readonly openPeer: OpenPeer | undefined
  readonly definitions: Definitions
  readonly moments: Moments
  /** files of clients' for images, by the names these call them by; each is gone with its client's connection */
  readonly fileGroups = new Map<string, FileGroup>()
  /** the surroundings another definition of this guest would have */
  readonly contextFor: ContextFor
  run: Run | undefined
  /** limit of the agent's answers, seconds or one of virDomainAgentResponseTimeoutValues; it outlasts a run */
  agentTimeout: number = virDomainAgentResponseTimeoutValues.VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK
  /** what its migrations may send in a second; absent: no limit. It outlasts a run */
  migrationSpeedMiB: number | undefined
  /** nothing is known of the guest any more but to this process, which ends */
  removed = false
  /** the end of its last run */
  lastEnd: Ended | undefined
  #saveTimer: NodeJS.Timeout | undefined
  #isSaveDue = false
  readonly #onEvent: DomainOptions['onEvent']
  #state: number = virDomainState.VIR_DOMAIN_SHUTOFF
  #reason: number = virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_UNKNOWN
  #stateTimeMs = Date.now()
  #generation = 1
  #changed = new Set<() => void>()
  #texts = { generation: 0, made: new Map<number, string>() }

  constructor({
    root,
    def,
    context,
    contextFor,
    rootByName = false,
    log,
    user,
    group,
    uidRange,
    confine = false,
    claims,
    hookDirs = [],
    openPeer,
    onEvent
  }: DomainOptions) {
    this.root = root
    this.rootByName = rootByName
    this.definitions = new Definitions(def, context, () => this.root.definition)
    this.moments = new Moments(() => this.root)
    this.contextFor = contextFor
    this.log = log
    this.events = new EventLog(1, log)
    this.monitorListeners = new Listeners(log)
    this.owner = { user, group }
    this.uidRange = uidRange
    this.confine = confine
    this.claims = claims
    this.hookDirs = hookDirs
    this.openPeer = openPeer
    this.#onEvent = onEvent
  }

  /** Takes an event of QEMU, or one that came while nobody listened. */
  handleEvent(event: QmpEvent): void {
    this.#onEvent?.(this, event)
  }

  /** The live definition while the guest is active, else the one to start from. */
  get def(): DomainDef {
    return this.definitions.def
  }

  /** The persistent definition, if the guest is persistent; the same object as `def` while it is shut off. */
  get newDef(): DomainDef | undefined {
    return this.definitions.newDef
  }

  /** Surroundings of `def`: those of the run while there is one. */
  get context(): QemuContext {
    return this.run?.context ?? this.definitions.context
  }

  /** The run of a guest that has one. @throws VIR_ERR_OPERATION_INVALID when it does not run */
  get running(): Run {
    if (!this.run) throw failDomain('VIR_ERR_OPERATION_INVALID', 'domain is not running')
    return this.run
  }

  get phase(): Phase | undefined {
    return this.run?.phase
  }

  get process(): ProcessIdentity | undefined {
    return this.run?.process
  }

  get monitor(): QmpMonitor | undefined {
    return this.run?.monitor
  }

  get agent(): Agent | undefined {
    return this.run?.agent
  }

  /** Settles when the start under way is over, however it went; calls that need a running guest wait for it. */
  get startDone(): Promise<void> {
    return this.run?.startDone ?? Promise.resolve()
  }

  get name(): string {
    return this.def.name
  }

  get uuid(): string {
    return this.def.uuid
  }

  /** libvirt's id of a running guest, -1 when it is shut off; kept in the live definition, as its XML shows it */
  get id(): number {
    return this.def.id ?? -1
  }

  set id(id: number) {
    this.def.id = id === -1 ? undefined : id
  }

  get state(): number {
    return this.#state
  }

  get reason(): number {
    return this.#reason
  }

  /** When the state was entered, ms since the epoch. */
  get stateTimeMs(): number {
    return this.#stateTimeMs
  }

  get generation(): number {
    return this.#generation
  }

  get isActive(): boolean {
    return this.id !== -1
  }

  get isPersistent(): boolean {
    return this.newDef !== undefined
  }

  /** @throws VIR_ERR_OPERATION_INVALID when the guest does not run */
  checkActive(): void {
    if (!this.isActive) throw failDomain('VIR_ERR_OPERATION_INVALID', 'domain is not running')
  }

  /** The monitor of a running guest. @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_FAILED when it is lost */
  get qmp(): QmpMonitor {
    this.checkActive()
    const { monitor } = this
    if (!monitor || monitor.closed) throw fail('VIR_ERR_OPERATION_FAILED', 'the QEMU monitor is not connected')
    return monitor
  }

  /** Marks the shutdown under way as a reboot, or not: the next shim must know, too. */
  setFakeReboot(wanted: boolean): void {
    const { run } = this
    if (!run || wanted === run.fakeReboot) return
    run.fakeReboot = wanted
    this.save()
  }

  /** Enters a state; saved before listeners hear of it. */
  setState(state: number, reason: number): void {
    if (state !== this.#state || reason !== this.#reason) this.#stateTimeMs = Date.now()
    this.#state = state
    this.#reason = reason
    this.changed()
  }

  /** Takes over the state another process of ours saved. */
  restoreState(state: number, reason: number, stateTimeMs: number, generation: number): void {
    this.#state = state
    this.#reason = reason
    this.#stateTimeMs = stateTimeMs
    this.#generation = generation + 1
  }

  /** Saves the status and lets report listeners know. */
  changed(): void {
    this.#generation++
    this.save()
    this.#wake()
  }

  /** The same at the end of a change that was saved before it was made: mostly that was all. */
  settled(): void {
    if (!this.run || !isSaved(this, this.run)) this.changed()
  }

  /**
   * The same of what a guest may change as often as it likes: listeners know at once, and it is saved at once where nothing
   * of the kind was saved shortly before, else a little later.
   */
  changedByGuest(): void {
    this.#generation++
    this.#wake()
    if (this.#saveTimer) {
      this.#isSaveDue = true
      return
    }
    this.save()
    this.#saveTimer = setTimeout(() => this.#saveDue(), SAVE_PAUSE_MS)
    this.#saveTimer.unref()
  }

  #saveDue(): void {
    this.#saveTimer = undefined
    if (!this.#isSaveDue) return
    this.#isSaveDue = false
    try {
      if (this.run && !isSaved(this, this.run)) this.save()
    } catch (error) {
      this.log.error({ err: error }, 'the status cannot be saved')
    }
  }

  #wake(): void {
    for (const wake of [...this.#changed]) wake()
  }

  /** Resolves true once the generation has passed `since`, false after `waitMs` or when the signal comes. */
  waitForChange(since: number, waitMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#generation > since) return Promise.resolve(true)
    return new Promise(resolve => {
      const finish = (changed: boolean) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', stop)
        this.#changed.delete(wake)
        resolve(changed)
      }
      const stop = () => finish(false)
      signal?.addEventListener('abort', stop)
      const wake = () => finish(true)
      const timer = setTimeout(() => finish(false), waitMs)
      this.#changed.add(wake)
    })
  }

  /** Writes status.json; nothing is written outside a run, and before it has a phase. */
  save(): void {
    if (this.run?.phase !== undefined) saveStatus(this, this.run)
  }

  /** Makes the definition persistent, or with undefined the domain transient. It is on disk before it counts. */
  setPersistent(def: DomainDef | undefined, context?: QemuContext): void {
    this.definitions.setPersistent(def, context)
    this.changed()
  }

  /**
   * Changes definitions all or none: each on a copy, saved before it is put in place.
   * @param edit gives a changed copy; what it leaves as it is may be shared with the original
   * @throws VIR_ERR_SYSTEM_ERROR when one cannot be saved
   */
  change(which: Affected, edit: (def: DomainDef) => DomainDef): void {
    this.#generation++
    this.definitions.change(which, edit, () => this.save())
    this.#wake()
  }

  /** A text made from what is known of the guest, made once as long as nothing changes: clients poll it. */
  textOnce(key: number, make: () => string): string {
    if (this.#texts.generation !== this.#generation) this.#texts = { generation: this.#generation, made: new Map() }
    const { made } = this.#texts
    const text = made.get(key) ?? make()
    made.set(key, text)
    return text
  }

  /** The guest is to be started with the host. */
  get autostart(): boolean {
    return existsSync(this.root.autostart)
  }

  set autostart(on: boolean) {
    if (on) writeAtomic(this.root.autostart, '')
    else removeSynced(this.root.autostart)
    this.changed()
  }

  /** The guest is to be started with the host's next boot. */
  get autostartOnce(): boolean {
    return existsSync(this.root.autostartOnce)
  }

  set autostartOnce(on: boolean) {
    if (on) writeAtomic(this.root.autostartOnce, '')
    else removeSynced(this.root.autostartOnce)
    this.changed()
  }

  /** A lifecycle event with libvirt's numbers; `of` names the guest where its present name is not the one meant. */
  lifecycle(event: number, detail: number, timestampUs?: number, of?: GuestHandle): void {
    this.events.emit('VIR_DOMAIN_EVENT_ID_LIFECYCLE', { ...(of && { dom: of }), event, detail }, timestampUs)
  }

  /** vCPUs the guest has now. */
  get vcpuCount(): number {
    return currentVcpuCount(this.def)
  }

  /** True while the guest's CPUs run. */
  get isRunning(): boolean {
    return this.#state === virDomainState.VIR_DOMAIN_RUNNING
  }

  setRunning(reason: number = virDomainRunningReason.VIR_DOMAIN_RUNNING_UNPAUSED): void {
    if (this.run) this.run.paused = false
    this.setState(virDomainState.VIR_DOMAIN_RUNNING, reason)
  }

  setPaused(reason: number): void {
    if (this.run) this.run.paused = true
    this.setState(virDomainState.VIR_DOMAIN_PAUSED, reason)
  }
}
