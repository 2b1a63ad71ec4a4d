// One run of a guest: from the moment it is asked to start until nothing of its QEMU is left.
import { virDomainPausedReason, virDomainRunningReason } from '../../../conf/enums.ts'
import type { BackupDef } from '../../../conf/moment/backup.ts'
import { randomBytes } from '../../../conf/random.ts'
import type { StorageSource } from '../../../conf/storage/source.ts'
import type { GivenFile } from '../../../host/dac.ts'
import { boundLog } from '../../../host/log-file.ts'
import type { MountView } from '../../../host/mount-view.ts'
import type { OwnerIds, ProcessOwner } from '../../../host/owner.ts'
import type { PerfCounters } from '../../../host/perf-counters.ts'
import type { Phase, ProcessIdentity, Registration } from '../../../state/status.ts'
import type { Taint } from '../../../state/taint.ts'
import type { SharedByteChannel } from '../../method.ts'
import type { Agent } from '../agent/channel.ts'
import type { QemuContext } from '../context.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'
import type { BlockJob } from './block-jobs.ts'

const LOG_CHECK_MS = 60_000
const RUN_ID_BYTES = 16

/** The end of a guest's run. */
export interface Ended {
  /** virDomainShutoffReason */
  reason: number
  /** the guest crashed or failed, rather than being shut down or destroyed */
  failed: boolean
  /** QEMU ended by itself: libvirt takes it for a failure and tells it with the id the guest had */
  byItself?: boolean
}

/** A drive in our own form of XML, before and after its medium is changed. */
export interface MediumChange {
  from: string
  to: string
}

/** A file that the guest's memory is being written into. */
export interface MemoryFileUnderWay {
  path: string
  /** it was not there before, and goes if it does not come to be whole */
  made: boolean
}

/** An image that QEMU has, or may have, and no definition: it is being added, or is going. */
export interface LooseImage {
  /** a disk in our own form of XML that has it for its image, with those below it that go as well */
  disk: string
  /** files that go with them: made for this, or to be deleted */
  files: string[]
}

/** A checkpoint whose bitmaps and description are about to come or go: the name of the one, or of the other. */
export type CheckpointChange = { creating: string; deleting?: undefined } | { deleting: string; creating?: undefined }

/** Where a destination answers whether the guest is there. */
export interface WitnessPlace {
  /** of its shim */
  port: number
  /** at which its QEMU listens, which says that there is one yet */
  qemu?: number | undefined
  token: string
  /** its source has asked */
  asked?: boolean
}

/** The same for who asks. */
export interface AskedPlace extends WitnessPlace {
  host: string
  /** both have answered: when they refuse to, nobody is there */
  heard?: boolean
}

/** A guest that leaves. */
export interface Departure {
  /** its CPUs ran before */
  ran: boolean
  witness?: AskedPlace | undefined
}

/** A guest that comes. */
export interface Arrival {
  /** the name it has where it comes from */
  sourceName: string
  /** TCP port at which QEMU waits for it */
  port?: number | undefined
  witness?: WitnessPlace | undefined
}

/** A backup of disks under way (libvirt's priv->backup). */
export interface Backup {
  /** with the state of each disk that takes part */
  def: BackupDef
  /** virDomainBackupBeginFlags */
  flags: number
  /** its caller is told that it goes on; one that is not is taken back by the next process */
  begun: boolean
  /** bytes of the disks that are through: copied, or taken of scratch space, and of how many */
  done: { current: number; total: number }
  /** why it fails, in QEMU's words */
  error?: string
}

/** QEMU's stdout and stderr. */
export interface Output {
  /** the last of it in this run, for error messages */
  readonly words: string
  /** takes what a QEMU that ended has left */
  drain(): void
  close(): void
}

/** Files that QEMU's user is given, where it is one of its own. */
export interface Ownership extends OwnerIds {
  /** no other guest's QEMU is that user */
  alone: boolean
  given: GivenFile[]
  /** the process that is giving or taking back at the moment */
  change?: ProcessIdentity
  /** settles when the last change that was asked for is over */
  turn: Promise<void>
}

/**
 * All that exists only while QEMU runs. Made when a start begins or a shim takes a guest over, dropped at the end; what
 * the next shim must know of it has a line in status.ts. Invariant: `monitor` is set exactly while QEMU answers to us.
 */
export class Run {
  /** absent until there is something to find again */
  phase: Phase | undefined
  /** text of status.json */
  saved: string | undefined
  /** surroundings of the live definition, with `<qemu:capabilities>` and what the start has changed */
  context: QemuContext
  /** who QEMU runs as; empty: who its shim runs as */
  owner: ProcessOwner
  /** absent where that is not a user of this guest's own */
  ownership: Ownership | undefined
  /** in QEMU's environment, by which it is found whose pid was not saved */
  id: string = randomBytes(RUN_ID_BYTES).toString('hex')
  process: ProcessIdentity | undefined
  /** what a confined QEMU sees of the host */
  view: MountView | undefined
  /** settles when no change of it is under way */
  viewTurn: Promise<void> = Promise.resolve()
  /** settles with QEMU's exit code or signal; absent for a QEMU that is not our child */
  exited: Promise<string> | undefined
  output: Output | undefined
  monitor: QmpMonitor | undefined
  agent: Agent | undefined
  /** thread id of each vCPU */
  vcpuThreads = new Map<number, number>()
  /** host side of each pty chardev, by alias */
  ptys = new Map<string, string>()
  /** consoles and channels that have viewers, by alias */
  readonly consoles = new Map<string, SharedByteChannel>()
  /** the balloon's last report */
  balloon: { atMs: number; values: Promise<Record<string, bigint>> } | undefined
  cgroups: string[] = []
  /** performance counters of QEMU, once any is enabled */
  counters: PerfCounters | undefined
  registration: Registration | undefined
  /** key that secrets for this QEMU are encrypted with; absent if it was given none */
  masterKey: Uint8Array | undefined
  /** number of the last block node that was named */
  nodeIndex = 0
  /** number of the next set of descriptors */
  fdsetIndex = 0
  /** nodes of images whose write threshold was set by their number in the chain: its event does not name the disk */
  readonly indexedThresholds = new Set<string>()
  /** <cpu> it was started with, where QEMU made another: what its migratable XML has */
  originalCpu: string | undefined
  /** changes to the guest that its daemon cannot answer for */
  readonly taints = new Set<Taint>()
  /** features it uses that its QEMU means to drop */
  deprecations: string[] = []
  /** the last I/O error of each image that QEMU had words for */
  readonly ioErrors = new Map<StorageSource, { time: string; message: string }>()
  /** devices whose plugging has failed, by alias, which the guest has yet to give up */
  readonly leaving = new Set<string>()
  /** media being changed, by alias of the drive: XML of it as it was and is going to be */
  readonly media = new Map<string, MediumChange>()
  /** the file its memory is being written into */
  memoryFile: MemoryFileUnderWay | undefined
  /** where its memory comes from, until the guest runs: a saved image then goes */
  goesOnFrom: 'file' | 'managed save' | undefined
  /** the migration it leaves by */
  departure: Departure | undefined
  /** the migration it comes by, or has come by lately */
  arrival: Arrival | undefined
  /** QEMU's parameters from before that migration, to be set back */
  migrationParameters: Record<string, unknown> | undefined
  /** how much memory QEMU was allowed to lock before that migration, soft and hard limit, where it is more now */
  memoryLock: string | undefined
  /** the NBD server that its disks are copied to, until the guest has come; its port, if it has one */
  diskServer: { port?: number } | undefined
  /** images that no definition has, by their number */
  readonly looseImages = new Map<number, LooseImage>()
  /** jobs on disks, by QEMU's id */
  readonly blockJobs = new Map<string, BlockJob>()
  /** the checkpoint that is being made or deleted, once QEMU is about to change its bitmaps */
  checkpoint: CheckpointChange | undefined
  /** bitmaps made for the migration under way, which go if the guest stays */
  temporaryBitmaps: { node: string; name: string }[] = []
  /** the backup under way; set before QEMU is told of it */
  backup: Backup | undefined
  /** its file systems are being frozen, or are, for a snapshot */
  frozen = false
  /** the guest is to stay paused after its start */
  paused = false
  /** it was started to end with somebody: its client's connection, or this process */
  autoDestroy = false
  /** lets the connection go that it ends with; absent for one that ends with none */
  untie: (() => void) | undefined
  /** the shutdown under way is to end in a reboot */
  fakeReboot = false
  /** that shutdown has stopped the CPUs, which is nobody's business */
  pausedShutdown = false
  /** reason of the next STOP event, if we caused it */
  pausedReason: number = virDomainPausedReason.VIR_DOMAIN_PAUSED_UNKNOWN
  /** reason of the next RESUME event, if we caused it */
  runningReason: number = virDomainRunningReason.VIR_DOMAIN_RUNNING_UNKNOWN
  /** settles when the start is over, however it went */
  startDone: Promise<void> = Promise.resolve()
  /** why the start is not to go on */
  startCancelled: string | undefined
  /** ends the hook script under way */
  hook: AbortController | undefined
  /** the removal of what is left, once it is under way */
  cleanUp: Promise<void> | undefined
  /** settles when the run is over */
  readonly ended: Promise<Ended>
  #tellEnded: (ended: Ended) => void = () => {}
  #logs: NodeJS.Timeout | undefined

  constructor(context: QemuContext, owner: ProcessOwner = {}) {
    this.context = context
    this.owner = owner
    this.ended = new Promise(resolve => {
      this.#tellEnded = resolve
    })
  }

  /** Keeps logs that somebody else writes within their bounds. @param paths of the logs at that time */
  watchLogs(paths: () => string[]): void {
    this.#logs ??= setInterval(() => paths().forEach(boundLog), LOG_CHECK_MS)
    this.#logs.unref()
  }

  /** Stops what goes on by itself. */
  close(): void {
    clearInterval(this.#logs)
    this.untie?.()
    this.untie = undefined
    this.output?.close()
    this.counters?.close()
  }

  /** Tells those who wait for the end. */
  tellEnded(ended: Ended): void {
    this.#tellEnded(ended)
  }
}
