// One guest and everything this process knows of it. Only its methods change its state, and each change is on disk
// before anyone is told.
import { existsSync } from 'node:fs'
import type { Server } from 'node:net'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { formatDomain } from '../../../conf/domain-xml.ts'
import {
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { Activity } from '../../../state/activity.ts'
import type { Claims } from '../../../state/claim.ts'
import { EventLog } from '../../../state/events.ts'
import { JobQueue } from '../../../state/job.ts'
import type { GuestRoot } from '../../../state/root.ts'
import {
  bootId,
  type Phase,
  type ProcessIdentity,
  type Registration,
  STATUS_VERSION,
  writeStatus
} from '../../../state/status.ts'
import { removeSynced, writeAtomic } from '../../../state/store.ts'
import type { Taint } from '../../../state/taint.ts'
import type { GuestHandle } from '../../connection.ts'
import type { Agent } from '../agent/channel.ts'
import type { QemuContext } from '../context.ts'
import type { ContextFor } from '../definition/passes.ts'
import type { QmpEvent, QmpMonitor } from '../monitor/qmp.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/** The part of a logger the driver needs; values first, fixed message second, as in pino. */
export interface Log {
  debug(values: object, message: string): void
  info(values: object, message: string): void
  warn(values: object, message: string): void
  error(values: object, message: string): void
}

/** How a guest's run ended. */
export interface Ended {
  /** virDomainShutoffReason */
  reason: number
  /** the guest crashed or failed, rather than being shut down or destroyed */
  failed: boolean
  /** QEMU ended by itself: libvirt takes it for a failure and tells it with the id the guest had */
  byItself?: boolean
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
  /** what it claims from the host's aggregator; absent: there is none */
  claims?: Claims
  /** takes what QEMU tells by itself */
  onEvent?: (domain: QemuDomain, event: QmpEvent) => void
}

/** The guest of this shim. Invariant: `monitor` is set exactly while QEMU runs and answers to us. */
export class QemuDomain {
  root: GuestRoot
  readonly rootByName: boolean
  readonly log: Log
  readonly jobs = new JobQueue()
  readonly activity = new Activity()
  readonly events = new EventLog()
  /** who hears of QEMU's own events */
  readonly monitorListeners = new Set<(event: QmpEvent) => void>()
  readonly #onEvent: DomainOptions['onEvent']
  /** who QEMU runs as, or will at its next start */
  user: string | undefined
  group: string | undefined
  readonly claims: Claims | undefined
  readonly versions: Record<string, string> = {}
  /** the live definition while active, else the one to start from */
  def: DomainDef
  /** surroundings of `def` */
  context: QemuContext
  /** it is persistent, or was in this run */
  hasBeenDefined = false
  /** surroundings of `newDef`, where they are others: it may name another emulator */
  newContext: QemuContext | undefined
  /** the surroundings another definition of this guest would have */
  readonly contextFor: ContextFor
  phase: Phase | undefined
  process: ProcessIdentity | undefined
  monitor: QmpMonitor | undefined
  agent: Agent | undefined
  /** thread id of each vCPU */
  vcpuThreads = new Map<number, number>()
  /** host side of each pty chardev, by alias */
  ptys = new Map<string, string>()
  cgroups: string[] = []
  registration: Registration | undefined
  /** <cpu> the running guest was started with, where QEMU made another: what its migratable XML has */
  originalCpu: string | undefined
  /** what has been done to the running guest that its daemon cannot answer for */
  readonly taints = new Set<Taint>()
  /** what it uses that its QEMU means to drop */
  deprecations: string[] = []
  paused = false
  autoDestroy = false
  /** why the next STOP event comes, if we caused it */
  pausedReason: number = virDomainPausedReason.VIR_DOMAIN_PAUSED_UNKNOWN
  /** why the next RESUME event comes, if we caused it */
  runningReason: number = virDomainRunningReason.VIR_DOMAIN_RUNNING_UNKNOWN
  /** a reboot by shutdown is under way: that the CPUs stand still is nobody's business */
  pausedShutdown = false
  lock: Server | undefined
  /** nothing is known of the guest any more but to this process, which ends */
  removed = false
  /** how its last run ended */
  lastEnd: Ended | undefined
  /** settles when the start under way is over, however it went; calls that need a running guest wait for it */
  startDone: Promise<void> = Promise.resolve()
  /** why the start under way is not to go on */
  startCancelled: string | undefined
  #state: number = virDomainState.VIR_DOMAIN_SHUTOFF
  #reason: number = virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_UNKNOWN
  #stateTimeMs = Date.now()
  #generation = 1
  #fakeReboot = false
  #newDef: DomainDef | undefined
  #changed = new Set<() => void>()

  constructor({
    root,
    def,
    context,
    contextFor,
    rootByName = false,
    log,
    user,
    group,
    claims,
    onEvent
  }: DomainOptions) {
    this.root = root
    this.rootByName = rootByName
    this.def = def
    this.context = context
    this.contextFor = contextFor
    this.log = log
    this.user = user
    this.group = group
    this.claims = claims
    this.#onEvent = onEvent
  }

  /** Takes an event of QEMU, or one that came while nobody listened. */
  handleEvent(event: QmpEvent): void {
    this.#onEvent?.(this, event)
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

  /** the persistent definition, if the domain is persistent; the same object as `def` while it is shut off */
  get newDef(): DomainDef | undefined {
    return this.#newDef
  }

  set newDef(def: DomainDef | undefined) {
    this.#newDef = def
    if (def) this.hasBeenDefined = true
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
    if (!this.monitor || this.monitor.closed)
      throw fail('VIR_ERR_OPERATION_FAILED', 'the QEMU monitor is not connected')
    return this.monitor
  }

  /** The running shutdown request is to end in a reboot; a shim that takes the guest over must know, too. */
  get fakeReboot(): boolean {
    return this.#fakeReboot
  }

  set fakeReboot(wanted: boolean) {
    if (wanted === this.#fakeReboot) return
    this.#fakeReboot = wanted
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

  /** Writes status.json; nothing is written outside a run. */
  save(): void {
    if (this.phase === undefined) return
    writeStatus(this.root.status, {
      version: STATUS_VERSION,
      bootId: bootId(),
      phase: this.phase,
      name: this.name,
      uuid: this.uuid,
      id: this.id,
      persistent: this.isPersistent,
      process: this.process,
      state: this.#state,
      reason: this.#reason,
      stateTimeMs: this.#stateTimeMs,
      generation: this.#generation,
      paused: this.paused,
      fakeReboot: this.#fakeReboot || undefined,
      autoDestroy: this.autoDestroy,
      cgroups: this.cgroups,
      registration: this.registration,
      claims: this.claims?.held,
      originalCpu: this.originalCpu,
      taints: this.taints.size > 0 ? [...this.taints] : undefined,
      deprecations: this.deprecations.length > 0 ? this.deprecations : undefined,
      user: this.user,
      group: this.group,
      xml: formatDomain(this.def, { inactive: false, secure: true, status: true })
    })
  }

  /** Makes the definition persistent, or with undefined the domain transient. It is on disk before it counts. */
  setPersistent(def: DomainDef | undefined, context?: QemuContext): void {
    if (def) writeAtomic(this.root.definition, formatDomain(def, { inactive: true, secure: true }))
    else removeSynced(this.root.definition)
    this.newDef = def
    this.newContext = context
    this.changed()
  }

  /** Keeps the persistent definition apart from the one a start is going to fill (virDomainObjSetDefTransient). */
  separateDefinitions(): void {
    if (this.newDef === this.def) this.newDef = structuredClone(this.def)
  }

  /** The run is over: the persistent definition is the one again (virDomainObjRemoveTransientDef). */
  joinDefinitions(): void {
    if (!this.newDef) return
    this.def = this.newDef
    this.context = this.newContext ?? this.context
    this.newContext = undefined
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

  /** A lifecycle event with libvirt's numbers; `of` names the guest where its present name is not the one meant. */
  lifecycle(event: number, detail: number, timestampUs?: number, of?: GuestHandle): void {
    this.events.emit('VIR_DOMAIN_EVENT_ID_LIFECYCLE', { ...(of && { dom: of }), event, detail }, timestampUs)
  }

  /** vCPUs the guest has now. */
  get vcpuCount(): number {
    return this.vcpuThreads.size || this.def.vcpu.current || this.def.vcpu.max
  }

  /** True while the guest's CPUs run. */
  get isRunning(): boolean {
    return this.#state === virDomainState.VIR_DOMAIN_RUNNING
  }

  setRunning(reason: number = virDomainRunningReason.VIR_DOMAIN_RUNNING_UNPAUSED): void {
    this.paused = false
    this.setState(virDomainState.VIR_DOMAIN_RUNNING, reason)
  }

  setPaused(reason: number): void {
    this.paused = true
    this.setState(virDomainState.VIR_DOMAIN_PAUSED, reason)
  }
}
