// The life of the QEMU process: start, take over after a crash of ours, stop, clean up.
import { accessSync, constants, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DiskDef } from '../../conf/devices/disk.ts'
import type { DomainDef } from '../../conf/domain-def.ts'
import {
  virDomainEventResumedDetailType,
  virDomainEventStartedDetailType,
  virDomainEventStoppedDetailType,
  virDomainEventSuspendedDetailType,
  virDomainEventType,
  virDomainPausedReason,
  virDomainRunningReason,
  virDomainShutoffReason,
  virDomainState
} from '../../conf/enums.ts'
import { errorsFrom, toVirError, type VirError } from '../../conf/error.ts'
import { isAlive, type ProcessIdentity, processIdentity, removeStatus, type Status } from '../../state/status.ts'
import { makePrivateDirectory } from '../../state/store.ts'
import { cgroupPaths, enterCgroups, leaveCgroups } from './cgroup.ts'
import { closeAgent, connectAgent } from './channels.ts'
import { buildCommand } from './command/index.ts'
import { writeLaunchSecurityFiles } from './command/launch-security.ts'
import { masterKeyFile, writeMasterKey } from './command/secret.ts'
import { verifyGuestCpu } from './cpu/live.ts'
import { startDbusDaemon, stopDbusDaemon } from './dbus-daemon.ts'
import { prepareStart } from './def-driver.ts'
import { determineDiskChains } from './disk-chain.ts'
import { throttleDisks } from './disk-throttle.ts'
import { makeTransientOverlays, removeTransientOverlays } from './disk-transient.ts'
import type { Ended, QemuDomain } from './domain.ts'
import { makeNvram } from './firmware-nvram.ts'
import { setGraphicsPassword } from './graphics-password.ts'
import { OpenedFiles } from './inherited-files.ts'
import { boundLog, findQemu, lastWords, launchQemu } from './launch.ts'
import { makeMemoryDirectories, removeMemoryDirectories } from './memory-files.ts'
import { allocatePorts, type HeldPorts } from './ports.ts'
import { startReservationsHelper, stopReservationsHelper } from './pr-helper.ts'
import { generatedSockets } from './prepare-graphics.ts'
import { connectQmp, type QmpMonitor } from './qmp.ts'
import { handleQmpEvent } from './qmp-events.ts'
import { generateLabels } from './seclabel.ts'
import { startSwtpm } from './swtpm-start.ts'
import { connectInterfaces, disconnectInterfaces, type TapOwner } from './tap.ts'
import { plugVcpus } from './vcpu-plug.ts'
import { removeVirtiofsSockets, startVirtiofsds } from './virtiofsd.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** How long QEMU may take until its monitor answers; libvirt's default. */
const START_TIMEOUT_MS = 30_000
/** SIGTERM's time before SIGKILL, as in libvirt's qemuProcessKill. */
const TERM_TIMEOUT_MS = 10_000
const KILL_TIMEOUT_MS = 20_000
/** How long a QEMU whose monitor was closed during its start may take to end. */
const LAST_WORDS_MS = 1000
/** memory statistics are fetched by QEMU this often, in seconds */
const BALLOON_POLL_S = 5

export interface StartOptions {
  /** VIR_DOMAIN_START_PAUSED */
  paused?: boolean
  /** VIR_DOMAIN_START_AUTODESTROY */
  autoDestroy?: boolean
}

const running = new WeakMap<
  QemuDomain,
  { exited?: Promise<string>; ended: (ended: Ended) => void; promise: Promise<Ended>; timer: NodeJS.Timeout }
>()

/** Settles when the guest's present run is over. */
export function whenEnded(domain: QemuDomain): Promise<Ended> {
  const run = running.get(domain)
  if (!run) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is not running')
  return run.promise
}

function beginRun(domain: QemuDomain, exited?: Promise<string>): void {
  let ended: (ended: Ended) => void = () => {}
  const promise = new Promise<Ended>(resolve => {
    ended = resolve
  })
  const timer = setInterval(() => {
    for (const log of [domain.root.log, domain.root.shimLog]) boundLog(log)
  }, 60_000)
  timer.unref()
  running.set(domain, { exited, ended, promise, timer })
}

/**
 * Starts the guest from `domain.def`. On any failure nothing stays: no process, no socket, no status.
 * @throws VIR_ERR_OPERATION_INVALID when it runs already, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function startDomain(domain: QemuDomain, options: StartOptions = {}): Promise<void> {
  if (domain.isActive) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is already running')
  const starting = start(domain, options)
  domain.startDone = starting.catch(() => undefined)
  return starting
}

async function start(domain: QemuDomain, options: StartOptions): Promise<void> {
  const { root } = domain
  domain.id = 1
  domain.paused = options.paused ?? false
  domain.autoDestroy = options.autoDestroy ?? false
  let ports: HeldPorts | undefined
  const files = new OpenedFiles()
  let stopTpm: (() => void) | undefined
  let stopVirtiofsds: (() => void) | undefined
  try {
    checkCancelled(domain)
    const context = prepareStart(domain.def, domain.context)
    generateLabels(domain.def, domain, context.privileged)
    makeNvram(domain.def, domain)
    ports = await allocatePorts(domain.def, context.config)
    checkHostFiles(domain.def)
    determineDiskChains(domain.def, (disk, path) => reportDropped(domain, disk, path))
    domain.phase = 'starting'
    domain.save()
    await makeTransientOverlays(domain.def, domain)
    await startReservationsHelper(domain.def, context, domain)
    await startDbusDaemon(domain.def, context.paths, domain)
    await connectInterfaces(tapOwner(domain))
    const { argv, env, masterKey, memoryDirs } = buildCommand(domain.def, { ...context, files })
    makeMemoryDirectories(memoryDirs, domain)
    makePrivateDirectory(root.channelDir)
    stopTpm = await startSwtpm(domain.def, context)
    stopVirtiofsds = await startVirtiofsds(domain.def, context, dirname(root.log))
    writeMasterKey(masterKeyFile(context.paths.libDir), masterKey, domain)
    writeLaunchSecurityFiles(domain.def, context.paths.libDir, domain)
    rmSync(root.monitorSocket, { force: true })
    domain.save()
    const launched = await launchQemu(root, {
      argv,
      env,
      user: domain.user,
      group: domain.group,
      dieWithUs: domain.autoDestroy,
      files: files.descriptors
    })
    domain.process = launched.identity
    checkCancelled(domain)
    beginRun(domain, launched.exited)
    const register = domain.def.resource?.register
    domain.cgroups = cgroupPaths(domain.def.name, launched.identity, register)
    domain.save()
    domain.cgroups = enterCgroups(domain.cgroups, launched.identity, register)
    if (domain.cgroups.length > 0) domain.def.resource = { partition: '/machine', ...domain.def.resource }
    domain.monitor = await openMonitor(domain, launched.exited)
    await setUp(domain)
    await throttleDisks(domain.def.devices.disks, domain.qmp)
    for (const dev of domain.def.devices.graphics) await setGraphicsPassword(dev, domain.qmp)
    checkCancelled(domain)
    await firstRun(domain)
  } catch (thrown) {
    const error = await startError(domain, thrown)
    domain.log.error({ err: error }, 'start failed')
    stopTpm?.()
    stopVirtiofsds?.()
    await endProcess(domain)
    await cleanUp(domain, { reason: virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED, failed: true })
    throw error
  } finally {
    ports?.release()
    files.close()
  }
}

/** The guest as the owner of its network devices. */
function tapOwner({ def, root, user, group }: QemuDomain): TapOwner {
  return { def, root: root.dir, user, group }
}

/** Ends a start that is under way, or about to begin; it fails and leaves nothing. */
export function cancelStart(domain: QemuDomain, reason: string): void {
  domain.startCancelled = reason
  if (domain.process && isAlive(domain.process)) process.kill(domain.process.pid, 'SIGKILL')
}

const cancelled = (reason: string) => fail('VIR_ERR_OPERATION_ABORTED', `start was cancelled by ${reason}`)

function checkCancelled({ startCancelled }: QemuDomain): void {
  if (startCancelled) throw cancelled(startCancelled)
}

/** Host files a guest cannot start without; missing ones are told before QEMU is started. */
function checkHostFiles({ os }: DomainDef): void {
  const paths = [os.kernel, os.initrd, os.dtb]
  for (const path of paths) {
    if (path === undefined) continue
    try {
      accessSync(path, constants.R_OK)
    } catch (error) {
      const reason =
        (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'No such file or directory' : 'Permission denied'
      throw fail('VIR_ERR_SYSTEM_ERROR', `Cannot access storage file '${path}': ${reason}`, error)
    }
  }
}

/** Says that a disk starts without the image it names (virDomainEventDiskChangeNewFromObj). */
function reportDropped({ events, log }: QemuDomain, { device, alias }: DiskDef, path = ''): void {
  const isDrive = device === 'cdrom' || device === 'floppy'
  log.warn({ disk: alias, path }, 'image is missing, starting without it')
  events.emit('VIR_DOMAIN_EVENT_ID_DISK_CHANGE', {
    oldSrcPath: path,
    newSrcPath: '',
    devAlias: alias,
    reason: isDrive ? 0 : 1 // VIR_DOMAIN_EVENT_DISK_CHANGE_MISSING_ON_START, VIR_DOMAIN_EVENT_DISK_DROP_MISSING_ON_START
  })
}

/** A QEMU that is about to end may close its monitor first: its own words say more than the lost connection. */
async function startError(domain: QemuDomain, thrown: unknown): Promise<VirError> {
  if (domain.startCancelled) return cancelled(domain.startCancelled)
  const error = toVirError(thrown)
  const identity = domain.process
  if (!identity) return error
  if (domain.monitor === undefined || domain.monitor.closed) {
    await Promise.race([running.get(domain)?.exited, sleep(LAST_WORDS_MS, undefined, { ref: false })])
  }
  if (isAlive(identity)) return error
  const words = lastWords(domain.root.log)
  return fail('VIR_ERR_INTERNAL_ERROR', `process exited while connecting to monitor: ${words || error.message}`, thrown)
}

async function openMonitor(domain: QemuDomain, exited?: Promise<string>): Promise<QmpMonitor> {
  const deadline = Date.now() + START_TIMEOUT_MS
  let gone: string | undefined
  void exited?.then(how => {
    gone = how
  })
  for (;;) {
    try {
      const monitor = await connectQmp(domain.context.paths.monitorSocket, Math.max(deadline - Date.now(), 1))
      monitor.on('event', event => {
        handleQmpEvent(domain, event)
        for (const listener of domain.monitorListeners) listener(event)
      })
      monitor.on('close', reason => void monitorClosed(domain, monitor, reason))
      return monitor
    } catch (error) {
      if (gone !== undefined)
        throw fail('VIR_ERR_INTERNAL_ERROR', `QEMU ended with ${gone} before its monitor answered`, error)
      if (Date.now() >= deadline) throw fail('VIR_ERR_OPERATION_TIMEOUT', 'QEMU monitor socket did not show up', error)
      if (toVirError(error).code !== 'VIR_ERR_OPERATION_FAILED') throw error
      await sleep(2)
    }
  }
}

interface QmpChardev {
  label: string
  filename: string
  'frontend-open': boolean
}

/** Learns what only QEMU knows: threads, ptys, versions; asked for all at once. */
async function setUp(domain: QemuDomain): Promise<void> {
  const { qmp, def } = domain
  await plugVcpus(def, qmp)
  const onReboot = def.onReboot === 'destroy' ? qmp.execute('set-action', { reboot: 'shutdown' }) : undefined
  const [cpus, chardevs] = await Promise.all([
    qmp.execute<{ 'cpu-index': number; 'thread-id': number }[]>('query-cpus-fast'),
    qmp.execute<QmpChardev[]>('query-chardev'),
    onReboot,
    verifyGuestCpu(def, qmp),
    ...downLinks(domain),
    ...balloonPolling(domain)
  ])
  domain.vcpuThreads = new Map(cpus.map(cpu => [cpu['cpu-index'], cpu['thread-id']]))
  domain.ptys = new Map(
    chardevs
      .filter(({ filename }) => filename.startsWith('pty:'))
      .map(({ label, filename }) => [label.replace(/^char/, ''), filename.slice(4)])
  )
  fillPtyPaths(domain)
  const frontendOpen = (label: string) => chardevs.find(chardev => chardev.label === label)?.['frontend-open']
  fillChannelStates(domain, frontendOpen)
  connectAgent(domain, label => frontendOpen(label) ?? false)
}

/** Unplugs the cards whose cable is out (qemuProcessSetLinkStates). */
function downLinks({ qmp, def }: QemuDomain): Promise<unknown>[] {
  return def.devices.interfaces
    .filter(({ link, alias }) => link === 'down' && alias)
    .map(({ alias }) => qmp.execute('set_link', { name: alias!, up: false }))
}

function balloonPolling(domain: QemuDomain): Promise<unknown>[] {
  return domain.def.devices.memballoons
    .filter(balloon => balloon.model?.startsWith('virtio') && balloon.alias)
    .map(balloon =>
      domain.qmp
        .execute('qom-set', {
          path: `/machine/peripheral/${balloon.alias}`,
          property: 'guest-stats-polling-interval',
          value: balloon.statsPeriod ?? BALLOON_POLL_S
        })
        .catch(error => domain.log.warn({ err: error }, 'no balloon statistics'))
    )
}

/** Puts the host's pty names into the live definition, as libvirt shows them. */
function fillPtyPaths(domain: QemuDomain): void {
  const { serials, parallels, consoles, channels } = domain.def.devices
  for (const chardev of [...serials, ...parallels, ...consoles, ...channels]) {
    const path = chardev.alias && domain.ptys.get(chardev.alias)
    if (path && chardev.source.type === 'pty') chardev.source.path = path
  }
}

/** Whether the guest listens on its virtio ports (qemuProcessRefreshChannelVirtioState). */
function fillChannelStates({ def }: QemuDomain, frontendOpen: (label: string) => boolean | undefined): void {
  for (const { alias, target } of def.devices.channels) {
    const open = frontendOpen(`char${alias}`)
    if (target.type === 'virtio' && open !== undefined) target.state = open ? 'connected' : 'disconnected'
  }
}

async function firstRun(domain: QemuDomain): Promise<void> {
  domain.phase = 'running'
  const { paused } = domain
  if (paused) {
    domain.setPaused(virDomainPausedReason.VIR_DOMAIN_PAUSED_STARTING_UP)
  } else {
    domain.setState(virDomainState.VIR_DOMAIN_RUNNING, virDomainRunningReason.VIR_DOMAIN_RUNNING_BOOTED)
    await domain.qmp.execute('cont')
  }
  const { VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_SUSPENDED } = virDomainEventType
  domain.lifecycle(VIR_DOMAIN_EVENT_STARTED, virDomainEventStartedDetailType.VIR_DOMAIN_EVENT_STARTED_BOOTED)
  if (paused) {
    domain.lifecycle(VIR_DOMAIN_EVENT_SUSPENDED, virDomainEventSuspendedDetailType.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED)
  } else domain.lifecycle(VIR_DOMAIN_EVENT_RESUMED, virDomainEventResumedDetailType.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED)
  domain.log.info({ pid: domain.process?.pid }, 'guest started')
}

/**
 * Takes over the guest a former shim left, by its saved status.
 * @returns true when the guest runs under us; false when there is nothing left and it may be started anew
 */
export async function reconnectDomain(domain: QemuDomain, status: Status): Promise<boolean> {
  domain.id = status.id
  domain.phase = status.phase
  domain.process = status.process
  domain.cgroups = status.cgroups
  domain.paused = status.paused
  domain.autoDestroy = status.autoDestroy
  domain.restoreState(status.state, status.reason, status.stateTimeMs, status.generation)
  if (status.phase === 'starting') {
    domain.process ??= findQemu(domain.root)
    domain.log.warn({ pid: domain.process?.pid }, 'a start was cut short, removing what it left')
    await endProcess(domain)
    await cleanUp(domain, { reason: virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED, failed: true }, true)
    return false
  }
  beginRun(domain)
  if (!domain.process || !isAlive(domain.process)) {
    domain.log.warn({}, 'the guest ended while no shim watched it')
    const stopping = status.phase === 'stopping'
    await cleanUp(domain, {
      reason: stopping
        ? virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED
        : virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED,
      failed: !stopping
    })
    return stopping
  }
  if (status.phase === 'stopping') {
    await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED)
    return true
  }
  domain.monitor = await openMonitor(domain)
  await setUp(domain)
  await catchUp(domain)
  domain.log.info({ pid: domain.process.pid }, 'reattached to running guest')
  return true
}

/** Brings our view up to what happened while nobody listened. */
async function catchUp(domain: QemuDomain): Promise<void> {
  const { status } = await domain.qmp.execute<{ status: string }>('query-status')
  const { VIR_DOMAIN_PAUSED_UNKNOWN, VIR_DOMAIN_PAUSED_WATCHDOG, VIR_DOMAIN_PAUSED_IOERROR } = virDomainPausedReason
  const pausedReasons: Record<string, number> = {
    watchdog: VIR_DOMAIN_PAUSED_WATCHDOG,
    'io-error': VIR_DOMAIN_PAUSED_IOERROR
  }
  switch (status) {
    case 'running':
      if (!domain.isRunning) domain.setRunning(virDomainRunningReason.VIR_DOMAIN_RUNNING_UNKNOWN)
      break
    case 'prelaunch':
      if (!domain.paused) await domain.qmp.execute('cont')
      break
    case 'shutdown':
      handleQmpEvent(domain, { event: 'SHUTDOWN', data: { guest: true }, timestampUs: Date.now() * 1000 })
      break
    case 'guest-panicked':
      handleQmpEvent(domain, { event: 'GUEST_PANICKED', data: { action: 'pause' }, timestampUs: Date.now() * 1000 })
      break
    case 'suspended':
      domain.setState(virDomainState.VIR_DOMAIN_PMSUSPENDED, 0)
      break
    default:
      if (domain.isRunning) domain.setPaused(pausedReasons[status] ?? VIR_DOMAIN_PAUSED_UNKNOWN)
  }
  domain.changed()
}

/** Kills QEMU and cleans up after it; libvirt: qemuProcessStop. */
export async function stopDomain(domain: QemuDomain, reason: number, graceful = false): Promise<void> {
  domain.phase = 'stopping'
  domain.save()
  const gone = await endProcess(domain, graceful)
  if (!gone) {
    domain.phase = 'running'
    domain.save()
    throw fail('VIR_ERR_OPERATION_FAILED', `QEMU process ${domain.process?.pid} did not end in time`)
  }
  await cleanUp(domain, { reason, failed: reason === virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED })
}

/** Ends the process, gently first. Gives false if it is still there (graceful only). */
async function endProcess(domain: QemuDomain, graceful = false): Promise<boolean> {
  const identity = domain.process
  if (!identity) return true
  const exited = running.get(domain)?.exited
  if (await signalAndWait(identity, 'SIGTERM', TERM_TIMEOUT_MS, exited)) return true
  return !graceful && (await signalAndWait(identity, 'SIGKILL', KILL_TIMEOUT_MS, exited))
}

async function signalAndWait(
  identity: ProcessIdentity,
  signal: NodeJS.Signals,
  limitMs: number,
  exited?: Promise<string>
): Promise<boolean> {
  if (!isAlive(identity)) return true
  try {
    process.kill(identity.pid, signal)
  } catch {
    return true
  }
  const deadline = Date.now() + limitMs
  while (Date.now() < deadline) {
    await (exited ? Promise.race([exited, sleep(50)]) : sleep(3))
    if (processIdentity(identity.pid)?.startTime !== identity.startTime) return true
  }
  return false
}

/** The monitor is gone: either QEMU ended, or only the connection did. */
async function monitorClosed(domain: QemuDomain, monitor: QmpMonitor, reason: VirError): Promise<void> {
  if (domain.monitor !== monitor) return
  domain.monitor = undefined
  if (domain.phase !== 'running' || !domain.process) return
  const { process: identity } = domain
  for (let i = 0; i < 100 && isAlive(identity); i++) await sleep(10)
  if (domain.phase !== 'running') return
  if (isAlive(identity)) {
    domain.log.error({ err: reason }, 'monitor connection lost, connecting again')
    try {
      domain.monitor = await openMonitor(domain)
      await catchUp(domain)
    } catch (error) {
      domain.log.error({ err: error }, 'monitor cannot be reached; the guest is left alone')
    }
    return
  }
  domain.phase = 'stopping'
  const shutDown = domain.state === virDomainState.VIR_DOMAIN_SHUTDOWN
  const { VIR_DOMAIN_SHUTOFF_SHUTDOWN, VIR_DOMAIN_SHUTOFF_CRASHED } = virDomainShutoffReason
  if (!shutDown) domain.log.error({ err: reason, qemu: lastWords(domain.root.log) }, 'QEMU ended unexpectedly')
  await cleanUp(domain, {
    reason: shutDown ? VIR_DOMAIN_SHUTOFF_SHUTDOWN : VIR_DOMAIN_SHUTOFF_CRASHED,
    failed: !shutDown
  })
}

const STOPPED_DETAIL: Record<number, number> = {
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_SHUTDOWN]:
    virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED]:
    virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_DESTROYED,
  [virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_CRASHED]: virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_CRASHED
}

const cleaning = new WeakMap<QemuDomain, Promise<void>>()

/** Removes every trace of a run, once, whoever finds out first that it is over. */
function cleanUp(domain: QemuDomain, ended: Ended, quiet = false): Promise<void> {
  const underWay = cleaning.get(domain)
  if (underWay) return underWay
  const work = removeTraces(domain, ended, quiet).finally(() => cleaning.delete(domain))
  cleaning.set(domain, work)
  return work
}

/** status.json goes last: a crash on the way is resumed from it. */
async function removeTraces(domain: QemuDomain, ended: Ended, quiet: boolean): Promise<void> {
  const { root, monitor } = domain
  domain.monitor = undefined
  monitor?.close()
  closeAgent(domain)
  const busy = await leaveCgroups(domain.cgroups)
  if (busy.length > 0) domain.log.warn({ cgroups: busy }, 'cgroups are still in use')
  removeVirtiofsSockets(domain.def, domain.context)
  await disconnectInterfaces(tapOwner(domain), error =>
    domain.log.warn({ err: error }, 'a network device could not be removed')
  )
  const masterKey = masterKeyFile(domain.context.paths.libDir)
  for (const left of [root.monitorSocket, root.channelDir, masterKey, ...generatedSockets(domain.def)])
    rmSync(left, { force: true, recursive: true })
  removeMemoryDirectories(domain.context.paths)
  removeTransientOverlays(domain.def)
  stopReservationsHelper(domain.context)
  stopDbusDaemon(domain.context.paths)
  removeStatus(root.status)
  domain.phase = undefined
  domain.process = undefined
  domain.id = -1
  domain.cgroups = []
  domain.vcpuThreads.clear()
  domain.ptys.clear()
  const run = running.get(domain)
  clearInterval(run?.timer)
  running.delete(domain)
  if (quiet) return
  domain.setState(virDomainState.VIR_DOMAIN_SHUTOFF, ended.reason)
  const detail = STOPPED_DETAIL[ended.reason] ?? virDomainEventStoppedDetailType.VIR_DOMAIN_EVENT_STOPPED_FAILED
  domain.lifecycle(virDomainEventType.VIR_DOMAIN_EVENT_STOPPED, detail)
  run?.ended(ended)
}
