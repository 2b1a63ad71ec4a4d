// Start of a guest (qemuProcessStart): its needs from the host step by step, then QEMU itself, then commands to QEMU
// before the CPUs run.
import { accessSync, constants } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import {
  virDomainEventStartedDetailType,
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../../conf/enums.ts'
import { errorsFrom, toVirError, type VirError } from '../../../conf/error.ts'
import { orThrow, type Refuse } from '../../../conf/refuse.ts'
import { OpenedFiles } from '../../../host/inherited-files.ts'
import { isAlive } from '../../../state/status.ts'
import { determineDiskChains } from '../block/chain.ts'
import { buildCommand } from '../command/index.ts'
import type { QemuContext } from '../context.ts'
import { checkStart, completeStart } from '../definition/passes.ts'
import { updateDevices } from '../device/index.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { Run } from '../domain/run.ts'
import { makeNvram } from '../firmware/nvram.ts'
import { tieTo } from './auto-destroy.ts'
import { claimStart } from './claim.ts'
import { startCpus } from './cpus.ts'
import { callHook, hasHooks } from './hooks.ts'
import { type Launched, launchQemu } from './launch.ts'
import { memoryLockLimit } from './memory-lock.ts'
import { openMonitor } from './monitor.ts'
import { attachNeeds, prepareNeeds, startNeeds } from './needs/index.ts'
import { QemuOutput } from './output.ts'
import { allocatePorts, type HeldPorts } from './ports.ts'
import { refreshDomain } from './refresh.ts'
import { generateLabels } from './seclabel.ts'
import { cleanUp, endProcess } from './stop.ts'
import { withHostStorage } from './storage-driver.ts'
import { asksForThreads } from './tuning/demands.ts'
import { cpusAtStart } from './tuning/placement.ts'
import { type TakenUser, takeUser } from './user.ts'
import { confinedEnvironment, confiningArgv } from './view.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Time a QEMU that closed its monitor during its start may take to end. */
const LAST_WORDS_MS = 1000

/** Memory and device state that a guest goes on from, instead of booting. */
export interface Incoming {
  /** absent: the next shim need not settle it */
  from?: Run['goesOnFrom']
  /** descriptor they are read from, which becomes the start's; absent: QEMU is handed it later */
  fd?: number
  /** <cpu> the guest was once started with, where the definition's is what QEMU made of that */
  originalCpu?: string | undefined
  /** scripts have changed the definition */
  byHook?: boolean
  /** has QEMU read them. @param number of the descriptor in QEMU; absent without one */
  load(domain: QemuDomain, number: number | undefined): Promise<void>
  /** called once it has, before the CPUs run */
  loaded?(): void
  /** chooses the port at which QEMU waits for them */
  choosePorts?(ports: HeldPorts): Promise<void>
  /** QEMU finds them in the guest's own images, and waits for none */
  inImages?: boolean
  /** virDomainRunningReason */
  runningReason: number
  /** virDomainPausedReason of a guest that stays paused; absent: its memory was migrated in */
  pausedReason?: number
  /** virDomainEventStartedDetailType */
  started: number
  /** virDomainEventSuspendedDetailType of a guest that stays paused; absent: it has yet to come */
  suspended?: number
}

export interface StartOptions {
  /** what it goes on from; absent: it boots */
  incoming?: Incoming
  /** what is told of a guest that boots for another reason than that it was started */
  told?: Pick<Incoming, 'started' | 'suspended'>
  /** VIR_DOMAIN_START_PAUSED */
  paused?: boolean
  /** VIR_DOMAIN_START_AUTODESTROY: the connection whose end is the guest's, aborted when it closes */
  autoDestroy?: AbortSignal
  /** QEMU is killed when this process ends, however it does */
  dieWithUs?: boolean
  /** VIR_DOMAIN_START_RESET_NVRAM */
  resetNvram?: boolean
  /** called once QEMU is spawned: work that needs no monitor may be done beside its initialisation */
  onLaunch?(): void
}

/**
 * Starts the guest from `domain.def`. On any failure nothing stays: no process, no socket, no status.
 * @throws VIR_ERR_OPERATION_INVALID when it runs already, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function startDomain(domain: QemuDomain, options: StartOptions = {}): Promise<void> {
  if (domain.isActive) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is already running')
  const run = new Run(domain.context, domain.owner)
  domain.run = run
  const starting = start(domain, run, options)
  run.startDone = starting.catch(() => undefined)
  if (options.autoDestroy) tieTo(options.autoDestroy, domain, run)
  return starting
}

async function start(domain: QemuDomain, run: Run, options: StartOptions): Promise<void> {
  const { dieWithUs = false } = options
  domain.definitions.separate()
  domain.id = 1
  run.paused = options.paused ?? false
  run.autoDestroy = dieWithUs || options.autoDestroy !== undefined
  let ports: HeldPorts | undefined
  let user: TakenUser | undefined
  let outputMade: Promise<QemuOutput> | undefined
  const files = new OpenedFiles(domain.fileGroups)
  const { incoming } = options
  const number = incoming?.fd === undefined ? undefined : files.add(incoming.fd)
  run.originalCpu = incoming?.originalCpu
  run.goesOnFrom = incoming?.from
  if (incoming?.byHook) run.taints.add('hook-script')
  try {
    checkCancelled(domain)
    user = await takeUser(domain)
    run.context = checkStart(domain.def, withSocketDir(domain))
    await prepareByHook(domain)
    run.context = await withHostStorage(domain.def, run.context)
    const context = { ...run.context, files }
    completeStart(domain.def, context, () => ++run.nodeIndex)
    generateLabels(domain.def, run.owner, context.privileged)
    ports = await allocatePorts(domain.def, context.config)
    await incoming?.choosePorts?.(ports)
    checkHostFiles(domain.def)
    determineDiskChains(domain.def, {
      context,
      nextNode: () => ++run.nodeIndex,
      dropped: (disk, path) => reportDropped(domain, disk, path)
    })
    await claimStart(domain, ports, user)
    // it may be another by now
    if (user) generateLabels(domain.def, run.owner, context.privileged)
    checkCancelled(domain)
    // beside what comes before it is needed
    outputMade = QemuOutput.make(domain.root)
    outputMade.catch(() => undefined)
    await makeNvram(domain.def, options.resetNvram)
    run.phase = 'starting'
    domain.save()
    await prepareNeeds({ domain, context })
    const command = buildCommand(domain.def, context, incoming !== undefined && !incoming.inImages)
    run.masterKey = command.masterKey
    run.fdsetIndex = command.fdsetIndex
    domain.save()
    await startNeeds({ domain, context, command })
    await callHook(domain, 'start')
    checkCancelled(domain)
    const { argv, env } = command
    const output = await outputMade
    run.output = output
    const launched = await launchQemu({
      argv,
      env: { ...env, ...confinedEnvironment(domain) },
      output,
      runId: run.id,
      owner: run.owner,
      dieWithUs,
      memoryLock: memoryLockLimit(domain.def),
      cpus: cpusAtStart(domain.def),
      confining: confiningArgv(domain),
      files
    })
    options.onLaunch?.()
    await afterLaunch(domain, run, launched, { ...options, ...(incoming && { incoming: { ...incoming, number } }) })
  } catch (thrown) {
    const error = await startError(run, thrown, incoming && domain.name)
    domain.log.error({ err: error }, 'start failed')
    await endProcess(domain)
    run.output ??= await outputMade?.catch(() => undefined)
    // a guest that never ran does not stop: its state changes, without an event
    await cleanUp(domain, { reason: virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED, failed: true }, 'state')
    throw error
  } finally {
    ports?.release()
    user?.release()
    files.close()
  }
}

/** Lets hook scripts make what the guest is going to need. It is on disk by then: they hear of its end in any case. */
async function prepareByHook(domain: QemuDomain): Promise<void> {
  if (!hasHooks(domain)) return
  domain.running.phase = 'starting'
  domain.save()
  await callHook(domain, 'prepare')
  checkCancelled(domain)
}

/** The surroundings with the socket directory of the run: a QEMU of another user has one apart from our own files. */
export function withSocketDir({ context, root, running }: QemuDomain): QemuContext {
  const { user, group } = running.owner
  if ((user ?? group) === undefined) return context
  const { qemuDir, qemuMonitorSocket } = root
  return { ...context, paths: { ...context.paths, socketDir: qemuDir, monitorSocket: qemuMonitorSocket } }
}

/** Finishes a start once QEMU is spawned. Needs that ask for its process are met beside its initialisation. */
async function afterLaunch(
  domain: QemuDomain,
  run: Run,
  { identity, exited }: Launched,
  { incoming, told }: { incoming?: Incoming & { number?: number | undefined }; told?: StartOptions['told'] }
): Promise<void> {
  run.process = identity
  run.exited = exited
  domain.save()
  checkCancelled(domain)
  run.watchLogs(() => [domain.root.shimLog])
  const attached = attachNeeds(domain)
  attached.catch(() => undefined)
  try {
    run.monitor = await openMonitor(domain, exited)
    await refreshDomain(domain)
    for (const kind of ['disks', 'graphics'] as const) await Promise.all(updateDevices(kind, domain.def, domain.qmp))
  } finally {
    // steps under way must end before the failed start can undo them
    await Promise.allSettled([attached])
  }
  await attached
  checkCancelled(domain)
  if (asksForThreads(domain.def)) {
    await (await import('./tuning/tune.ts')).tuneThreads(domain)
    checkCancelled(domain)
  }
  if (!incoming) return firstRun(domain, undefined, told)
  await incoming.load(domain, incoming.number)
  checkCancelled(domain)
  incoming.loaded?.()
  await firstRun(domain, incoming)
}

/** Ends a start that is under way, or about to begin; it fails and leaves nothing. */
export function cancelStart(domain: QemuDomain, reason: string): void {
  const { run } = domain
  if (!run) return
  run.startCancelled = reason
  run.hook?.abort()
  if (run.process && isAlive(run.process)) process.kill(run.process.pid, 'SIGKILL')
}

const cancelled = (reason: string) => fail('VIR_ERR_OPERATION_ABORTED', `start was cancelled by ${reason}`)

function checkCancelled({ running }: QemuDomain): void {
  if (running.startCancelled) throw cancelled(running.startCancelled)
}

/** Checks for host files a guest cannot start without, before QEMU is started. @throws VIR_ERR_SYSTEM_ERROR */
export function checkHostFiles({ os }: DomainDef, refuse: Refuse = orThrow): void {
  const paths = [os.kernel, os.initrd, os.dtb]
  for (const path of paths) {
    if (path === undefined) continue
    try {
      accessSync(path, constants.R_OK)
    } catch (error) {
      const reason =
        (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'No such file or directory' : 'Permission denied'
      refuse(fail('VIR_ERR_SYSTEM_ERROR', `Cannot access storage file '${path}': ${reason}`, error))
    }
  }
}

/** Says that a disk starts without the image it names (virDomainEventDiskChangeNewFromObj). */
function reportDropped({ events, log }: QemuDomain, { device, alias }: DiskDef, path = ''): void {
  const isDrive = device === 'cdrom' || device === 'floppy'
  log.warn({ disk: alias, path }, 'image is missing, starting without it')
  events.emit('VIR_DOMAIN_EVENT_ID_DISK_CHANGE', {
    oldSrcPath: path,
    devAlias: alias ?? '',
    reason: isDrive ? 0 : 1 // VIR_DOMAIN_EVENT_DISK_CHANGE_MISSING_ON_START, VIR_DOMAIN_EVENT_DISK_DROP_MISSING_ON_START
  })
}

/**
 * The error of a failed start; that of a QEMU which ended has its last words, not just the lost connection.
 * @param goesOn name of a guest that does not boot: it is libvirt's other message of a QEMU that listens to us by then
 */
async function startError(run: Run, thrown: unknown, goesOn?: string): Promise<VirError> {
  const { startCancelled, process: identity, monitor } = run
  if (startCancelled) return cancelled(startCancelled)
  const error = toVirError(thrown)
  if (!identity) return error
  if (monitor === undefined || monitor.closed) {
    // QEMU may close its monitor a little before it ends; polled, as its exit event does not keep this process running
    for (const deadline = Date.now() + LAST_WORDS_MS; isAlive(identity) && Date.now() < deadline; ) await sleep(3)
  }
  if (isAlive(identity)) return error
  const { output } = run
  output?.drain()
  const words = output?.words
  const what =
    goesOn !== undefined && run.vcpuThreads.size > 0
      ? `QEMU unexpectedly closed the monitor (vm='${goesOn}')`
      : 'process exited while connecting to monitor'
  return fail('VIR_ERR_INTERNAL_ERROR', `${what}: ${words || error.message}`, thrown)
}

const BOOTED = {
  started: virDomainEventStartedDetailType.VIR_DOMAIN_EVENT_STARTED_BOOTED,
  suspended: virDomainEventSuspendedDetailType.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED,
  runningReason: virDomainRunningReason.VIR_DOMAIN_RUNNING_BOOTED
}

/** Lets a guest run that boots, or goes on from what it has read by now (qemuProcessFinishStartup, qemuSaveImageStartVM). */
async function firstRun(domain: QemuDomain, incoming?: Incoming, told?: StartOptions['told']): Promise<void> {
  const { running } = domain
  const { VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_PAUSED_STARTING_UP, VIR_DOMAIN_PAUSED_USER } = virDomainPausedReason
  const { started, suspended, runningReason } = incoming ?? { ...BOOTED, ...told }
  running.phase = 'running'
  const { paused } = running
  if (paused)
    domain.setPaused(incoming ? (incoming.pausedReason ?? VIR_DOMAIN_PAUSED_MIGRATION) : VIR_DOMAIN_PAUSED_USER)
  else {
    const reason = incoming ? VIR_DOMAIN_PAUSED_MIGRATION : VIR_DOMAIN_PAUSED_STARTING_UP
    domain.setState(virDomainState.VIR_DOMAIN_PAUSED, reason)
    if (!incoming) await startCpus(domain, runningReason)
  }
  await callHook(domain, 'started')
  if (running.cleanUp) throw fail('VIR_ERR_OPERATION_FAILED', 'guest unexpectedly quit')
  domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_STARTED, started)
  if (incoming && !paused) await startCpus(domain, runningReason)
  if (paused && suspended !== undefined) {
    domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_SUSPENDED, suspended)
  }
  domain.log.info({ pid: domain.process?.pid }, 'guest started')
}
