// A place where a guest may be: the directory or socket of a shim. It turns the shim's report, and if none runs the
// words of its files, into the registry's entry.
//
//   shim answers                    its report
//   shim hangs, or died and left    the last report, or status.json, with "unreachable since"
//     QEMU running
//   no shim, no QEMU, definition    a guest that is shut off
//   none of these                   no entry
import { existsSync, type FSWatcher, statSync, watch } from 'node:fs'
import { virDomainShutoffReason, virDomainState } from '../../conf/enums.ts'
import type { Log } from '../../drivers/qemu/domain/domain.ts'
import { readStatus, type Status } from '../../drivers/qemu/domain/status.ts'
import type { GuestRoot } from '../../state/root.ts'
import { bootId, isAlive } from '../../state/status.ts'
import { readIfThere } from '../../state/store.ts'
import { ask } from '../raw-http.ts'
import type { Report } from '../report.ts'
import { ReportPoll } from './poll.ts'
import { checkReport, NotBelieved, readReport } from './read-report.ts'
import type { Registry } from './registry.ts'
import { socketIdOf } from './socket-id.ts'

/** Errors of connect(2) that mean nobody listens. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTDIR'])
/** Errors of a connection that its other side has closed. */
const CLOSED = new Set(['ECONNRESET', 'EPIPE'])
/** A shim that is asked at once has this long to answer; its first request makes it load its HTTP server. */
const REFRESH_LIMIT_MS = 5000
/** Changes of a directory within this time are looked at together. */
const GATHER_MS = 10

export interface PlaceOptions {
  registry: Registry
  log: Log
  /** name in the registry */
  key: string
  /** the guest's files; only the sockets and status.json matter unless `owned` */
  root: Pick<GuestRoot, 'dir' | 'apiSocket' | 'status' | 'definition' | 'autostart' | 'managedSave'>
  /** below our guests directory: its definition makes it a guest even when it is shut off */
  owned: boolean
  /** seconds a shim may hold its report back */
  waitS(): number
}

export class Place {
  readonly key: string
  readonly owned: boolean
  readonly root: PlaceOptions['root']
  /** settles once the first look is over, however it went */
  readonly settled: Promise<void>
  readonly #options: PlaceOptions
  #settle!: () => void
  #poll: ReportPoll | undefined
  #watcher: FSWatcher | undefined
  #gathering: NodeJS.Timeout | undefined
  /** grows with everything the shim says: a slower look at files is then out of date */
  #heard = 0
  /** first words of this socket's shim about itself */
  #said: { socketId: string | undefined; name: string; uuid: string } | undefined
  /** of the definition the entry was made from */
  #definitionStamp: string | undefined
  #closed = false

  constructor(options: PlaceOptions) {
    this.#options = options
    this.key = options.key
    this.root = options.root
    this.owned = options.owned
    this.settled = new Promise(resolve => {
      this.#settle = resolve
    })
    this.look()
  }

  /** True while there is a socket or an entry. */
  get isKnown(): boolean {
    return this.#poll !== undefined || this.#options.registry.at(this.key) !== undefined
  }

  /** Looks at once at what is there, as something may have changed. */
  look(): void {
    if (this.#closed) return
    if (this.#poll) {
      this.#poll.kick()
      return
    }
    this.#watch()
    if (existsSync(this.root.apiSocket)) this.#startPolling()
    else void this.#judge()
  }

  /**
   * Asks what is so now; it is in the registry when this settles. A shim that does not answer keeps nobody waiting.
   * @returns false for one that has not answered in time
   */
  async refresh(): Promise<boolean> {
    if (this.#closed) return true
    const question = { method: 'GET', path: '/v1/report', timeoutMs: REFRESH_LIMIT_MS } as const
    try {
      const { status, body } = await ask(this.root.apiSocket, question).catch(error => {
        // one that is asked when it ends leaves nobody behind, or another one
        if (!CLOSED.has(error.code)) throw error
        return ask(this.root.apiSocket, question)
      })
      if (status === 200 && !this.#closed) this.#take(readReport(body))
      // nobody would hear of its end, or of what has become of it since it has answered
      if (!this.#poll) this.look()
      return true
    } catch (error) {
      const isOver = isNobody(error)
      if (isOver) await this.#judge()
      this.#leaveOut(error)
      return isOver || error instanceof NotBelieved
    }
  }

  /** Forgets the guest. */
  close(): void {
    this.#closed = true
    this.#stopPolling()
    this.#unwatch()
    this.#options.registry.leftOut.delete(this.key)
    this.#options.registry.remove(this.key)
    this.#settle()
  }

  #startPolling(): void {
    const { registry, log } = this.#options
    const { apiSocket } = this.root
    this.#poll = new ReportPoll(
      apiSocket,
      {
        report: report => this.#take(report),
        same: () => {
          this.#hear()
          const known = registry.at(this.key)
          if (known?.unreachableSince !== undefined) registry.set(this.key, { ...known, unreachableSince: undefined })
        },
        silent: () => {
          log.warn({ socket: apiSocket }, 'a shim does not answer')
          registry.markUnreachable(this.key)
          this.#settle()
        },
        lost: error => {
          this.#watch()
          if (isNobody(error)) return void this.#judge()
          this.#leaveOut(error)
          log.warn({ socket: apiSocket, err: error }, 'a shim cannot be asked')
          registry.markUnreachable(this.key)
          this.#settle()
        }
      },
      this.#options.waitS
    )
  }

  /** @throws NotBelieved */
  #take(report: Report): void {
    const { registry } = this.#options
    const { key, owned, root } = this
    const known = registry.at(key)?.report
    // one that was on its way while a newer one came by another connection
    if (known && known.pids.shim === report.pids.shim && known.generation > report.generation) return
    const socketId = socketIdOf(root.apiSocket)
    this.#checkSame(report, socketId)
    this.#said = { socketId, name: report.name, uuid: report.uuid }
    registry.leftOut.delete(key)
    this.#hear()
    // its shim will end in a moment
    if (known && !isOver(known) && isOver(report)) registry.remove(key)
    else registry.set(key, { socket: root.apiSocket, socketId, isOwn: owned, report, unreachableSince: undefined })
  }

  /**
   * A shim has one guest as long as it lives, if under another name: whom that belongs to the registry sees.
   * @throws NotBelieved
   */
  #checkSame({ name, uuid }: Report, socketId: string | undefined): void {
    const said = this.#said
    if (!said || said.socketId !== socketId || said.uuid === uuid) return
    throw new NotBelieved(`the shim of domain '${said.name}' calls itself '${name}' with uuid ${uuid}`)
  }

  /** Keeps the reason why a report from here is not believed. */
  #leaveOut(error: unknown): void {
    if (error instanceof NotBelieved) this.#options.registry.leftOut.set(this.key, error.message)
  }

  #hear(): void {
    this.#heard++
    this.#definitionStamp = undefined
    this.#unwatch()
    this.#settle()
  }

  #stopPolling(): void {
    this.#poll?.close()
    this.#poll = undefined
  }

  /** Nobody listens: tells from the files what that means. */
  async #judge(): Promise<void> {
    const heard = this.#heard
    const status = await readStatus(this.root.status).catch(() => undefined)
    if (this.#closed || heard !== this.#heard) return
    if (status?.process && status.bootId === bootId() && isAlive(status.process)) await this.#leftAlone(status)
    else if (!this.owned && existsSync(this.root.apiSocket)) this.#options.registry.markUnreachable(this.key)
    else {
      this.#stopPolling()
      await this.#shutOff()
    }
    this.#settle()
  }

  /** QEMU runs, its shim does not: the shim may come back at any time. */
  async #leftAlone(status: Status): Promise<void> {
    const { registry, log } = this.#options
    const known = registry.at(this.key)
    if (known && known.report.id === status.id && known.socket !== undefined) {
      registry.markUnreachable(this.key)
      return
    }
    const heard = this.#heard
    let report: Report
    try {
      // a file beside a watched socket is no more than its shim's word
      report = checkReport({ ...reportOfStatus(status, keptOf(this.root)), allocations: [] })
      this.#checkSame(report, socketIdOf(this.root.apiSocket))
    } catch (error) {
      this.#leaveOut(error)
      return
    }
    const allocations = await import('./left-alone.ts')
      .then(({ allocationsOfStatus }) => allocationsOfStatus(status))
      .catch(error => {
        log.warn({ name: status.name, err: error }, 'what a guest without its shim holds cannot be told')
        return []
      })
    if (this.#closed || heard !== this.#heard) return
    log.warn({ name: status.name, pid: status.process?.pid }, 'a guest runs without its shim')
    registry.set(this.key, {
      isOwn: this.owned,
      socket: this.root.apiSocket,
      report: { ...report, allocations },
      unreachableSince: known?.unreachableSince ?? Date.now()
    })
    if (!this.#poll) this.#startPolling()
  }

  async #shutOff(): Promise<void> {
    const { registry, log } = this.#options
    const { definition } = this.root
    const stamp = this.owned ? stampOf(this.root) : undefined
    if (stamp !== undefined && stamp === this.#definitionStamp) return
    this.#definitionStamp = stamp
    const heard = this.#heard
    try {
      const xml = stamp === undefined ? undefined : readIfThere(definition)
      if (xml === undefined) {
        registry.remove(this.key)
        return
      }
      const { reportOfDefinition } = await import('./definition.ts')
      if (this.#closed || heard !== this.#heard) return
      const report = reportOfDefinition(xml, keptOf(this.root))
      registry.set(this.key, { socket: undefined, isOwn: true, report, unreachableSince: undefined })
    } catch (error) {
      log.warn({ file: definition, err: error }, 'a definition cannot be read')
      registry.remove(this.key)
    }
  }

  /** Hears of changes in the directory, while no shim tells of them. */
  #watch(): void {
    if (this.#watcher || !this.owned) return
    try {
      this.#watcher = watch(this.root.dir, () => {
        this.#gathering ??= setTimeout(() => {
          this.#gathering = undefined
          this.look()
        }, GATHER_MS)
      })
      this.#watcher.on('error', () => this.#unwatch())
    } catch {
      // no directory yet, or no watches left: the discovery looks again in a while
    }
  }

  #unwatch(): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    this.#watcher?.close()
    this.#watcher = undefined
  }
}

/** Nobody listens at a socket. */
const isNobody = (error: unknown) => NOBODY.has((error as NodeJS.ErrnoException).code ?? '')

/** A guest that is neither running nor defined is none. */
const isOver = ({ state, persistent }: Report) => state === virDomainState.VIR_DOMAIN_SHUTOFF && !persistent

/** Facts of a guest by files beside its definition. */
type Kept = Pick<Report, 'autostart' | 'managedSave'>

const keptOf = ({ autostart, managedSave }: PlaceOptions['root']): Kept => ({
  autostart: existsSync(autostart),
  managedSave: existsSync(managedSave)
})

/** Tells one state of the files from another; undefined when there is no definition. */
function stampOf(root: PlaceOptions['root']): string | undefined {
  const { definition } = root
  const found = statSync(definition, { throwIfNoEntry: false })
  return found && `${found.ino} ${found.size} ${found.mtimeMs} ${Object.values(keptOf(root))}`
}

/** The report that follows from status.json. */
function reportOfStatus(status: Status, kept: Kept): Omit<Report, 'allocations'> {
  const { name, uuid, id, state, reason, persistent, generation, process, claims } = status
  return {
    name,
    uuid,
    id,
    state,
    persistent,
    ...kept,
    snapshots: false,
    checkpoints: false,
    reason,
    generation,
    pids: { shim: null, qemu: process?.pid ?? null },
    versions: {},
    sockets: {},
    ...(claims && { claims })
  }
}

/** The report of a guest that is shut off. */
export function reportOfShutOff(name: string, uuid: string, kept: Kept): Report {
  return {
    name,
    uuid,
    id: -1,
    state: virDomainState.VIR_DOMAIN_SHUTOFF,
    persistent: true,
    ...kept,
    snapshots: false,
    checkpoints: false,
    reason: virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_UNKNOWN,
    generation: 0,
    pids: { shim: null, qemu: null },
    versions: {},
    sockets: {},
    allocations: [
      { kind: 'name', key: name, mode: 'exclusive' },
      { kind: 'uuid', key: uuid, mode: 'exclusive' }
    ]
  }
}
