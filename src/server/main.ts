// virshimd: one guest from XML to its end. QEMU is started before anything heavy is loaded.
import { existsSync, readFileSync } from 'node:fs'
import { checkDefinable } from '../conf/domain/identity.ts'
import type { DomainDef } from '../conf/domain-def.ts'
import {
  virDomainEventDefinedDetailType,
  virDomainEventType,
  virDomainSaveRestoreFlags,
  virDomainShutoffReason
} from '../conf/enums.ts'
import { errorsFrom, toVirError } from '../conf/error.ts'
import { VERSION } from '../conf/version.ts'
import { decodeXml } from '../conf/xml.ts'
import type { RestoreOptions } from '../drivers/connection.ts'
import { watchConsoles } from '../drivers/qemu/console/channels.ts'
import { loadDomain } from '../drivers/qemu/definition/passes.ts'
import { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import type { Ended } from '../drivers/qemu/domain/run.ts'
import { readStatus, type Status } from '../drivers/qemu/domain/status.ts'
import { handleQmpEvent } from '../drivers/qemu/events/index.ts'
import { dismissAfterCrash } from '../drivers/qemu/process/access.ts'
import { cancelStart, startDomain } from '../drivers/qemu/process/start.ts'
import { stopDomain } from '../drivers/qemu/process/stop.ts'
import { partWithStarter } from '../host/starter.ts'
import type { AsyncJob } from '../state/async-job.ts'
import { journalOf } from '../state/moments.ts'
import { chooseRoot, type GuestRoot, lockRoot, type RootLock, removeEmptyDirectories } from '../state/root.ts'
import { bootId, removeStatus } from '../state/status.ts'
import { readIfThere } from '../state/store.ts'
import { Activity } from './activity.ts'
import { aggregatorSocket, claimsAt } from './claim.ts'
import { contextFor } from './guest-context.ts'
import { Leave, serve } from './life.ts'
import { LateLog } from './log.ts'
import { releaseStartMemory } from './memory.ts'
import { type Options, readOptions, USAGE, UsageError } from './options.ts'
import { type ApiSockets, listen } from './sockets.ts'
import { type News, starterGone, tell, tellOnStandardOutput } from './starter.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** DESIGN: 0 guest ended in order, 1 it crashed or could not start, 2 bad usage or bad XML. */
const EXIT_OK = 0
const EXIT_FAILED = 1
const EXIT_USAGE = 2

/** Time a shim that is about to end may take to give its root away to one that the aggregator has started. */
const LOCK_WAIT_MS = 3000
/** Time one that was killed may take to be gone. */
const GONE_WAIT_MS = 300

/** Faults in the guest's XML, found by whatever code; ends with status 2. */
class DefinitionError extends Error {}

/** Error codes of a start that mean the XML is at fault. */
const XML_FAULTS = new Set([
  'VIR_ERR_XML_ERROR',
  'VIR_ERR_XML_DETAIL',
  'VIR_ERR_XML_INVALID_SCHEMA',
  'VIR_ERR_CONFIG_UNSUPPORTED',
  'VIR_ERR_NO_NAME',
  'VIR_ERR_OS_TYPE'
])

/** Runs virshimd; gives its exit status. */
export async function main(argv: string[]): Promise<number> {
  partWithStarter()
  // a line that cannot be read is told the same way
  if (argv.includes('--json')) tellOnStandardOutput()
  try {
    const options = readOptions(argv)
    if (options === 'help' || options === 'version') {
      process.stdout.write(options === 'help' ? USAGE : `virshimd ${VERSION}\n`)
      return EXIT_OK
    }
    return options.detach ? await detached(argv, options.xmlFile) : await runGuest(options)
  } catch (thrown) {
    if (thrown instanceof UsageError) {
      process.stderr.write(`error: ${thrown.message}\n${USAGE}`)
      await tell({ error: fail('VIR_ERR_INVALID_ARG', thrown.message).toJSON(), status: EXIT_USAGE })
      return EXIT_USAGE
    }
    const badXml = thrown instanceof DefinitionError
    const error = toVirError(badXml ? thrown.cause : thrown)
    if (process.env.VIRSHIM_DEBUG) process.stderr.write(`${error.stack}\n`)
    process.stderr.write(`error: ${error.message}\n`)
    const status = badXml || XML_FAULTS.has(error.code) ? EXIT_USAGE : EXIT_FAILED
    await tell({ error: error.toJSON(), status })
    return status
  }
}

/** Runs the shim in a session of its own and waits until it serves its guest or has failed. */
async function detached(argv: string[], xmlFile: string | undefined): Promise<number> {
  const { spawn } = await import('node:child_process')
  const args = argv.map(word => (word === '--detach' ? '--background' : word)).filter(word => word !== '--json')
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
    detached: true,
    stdio: [xmlFile === '-' ? 'inherit' : 'ignore', 'ignore', 'inherit', 'ipc']
  })
  return new Promise(resolve => {
    child.on('message', (news: News) => {
      void tell(news)
      if (!('state' in news)) return
      child.disconnect()
      child.unref()
      resolve(EXIT_OK)
    })
    child.once('exit', code => resolve(code ?? EXIT_FAILED))
  })
}

async function runGuest(options: Options): Promise<number> {
  const log = new LateLog()
  const { domain, status, def, given, lock } = await openGuest(options, log)
  const leave = new Leave()
  const activity = new Activity()
  const reattached = status !== undefined && (await (await import('./take-over.ts')).takeOver(domain, status))
  const { awaitMigration } = options
  const nothingLeft = options.inactive ? !domain.isPersistent : reattached
  if (!domain.isActive && nothingLeft) {
    tidyUp(domain)
    return exit(domain.lastEnd, reattached ? EXIT_OK : EXIT_FAILED)
  }
  const starts = !reattached && !options.inactive && !awaitMigration
  // what is kept may be another by now than the one that was read
  const fromKept = given === undefined && options.restore === undefined && domain.isPersistent
  if ((starts && !fromKept) || awaitMigration) domain.definitions.def = def
  const openLog = () => log.open(options.logLevel, { name: domain.name, uuid: domain.uuid })
  let services: Promise<ApiSockets> | undefined
  /** Not before QEMU is spawned, and then beside its initialisation: they are the heavier part of the shim. */
  const openServices = () => {
    services ??= openLog().then(() => listen(domain, { detach: () => leave.ask(), activity }, options.access))
    services.catch(() => undefined)
    return services
  }
  try {
    onSignals(domain, options.shutdownTimeoutS * 1000, leave, options.linger)
    if (starts) {
      const api = options.restore === undefined ? 'virDomainCreateXML' : 'virDomainRestore'
      await domain.jobs.run({ async: 'start' }, { api }, job =>
        startGuest(domain, job, { ...options, given }, openServices)
      )
    }
    watchConsoles(domain)
    const sockets = await openServices().catch(async error => {
      if (domain.isActive) await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED)
      throw error
    })
    const { name, uuid, id, generation } = domain
    await tell({ state: domain.isActive ? 'running' : 'inactive', name, uuid, id })
    // lets go of the stderr that --detach came with
    if (options.background) log.moveTo(domain.root.shimLog)
    releaseStartMemory(() => domain.jobs.async !== undefined)
    const { linger, idleTimeoutS } = options
    // whoever is told may have begun, and given up, by now
    if (awaitMigration) await domain.waitForChange(generation, MIGRATION_LIMIT_MS)
    const end = await serve(domain, { linger, idleTimeoutMs: idleTimeoutS * 1000, leave, sockets, activity })
    if (end !== 'left') return exit(end, end?.failed ? EXIT_FAILED : EXIT_OK)
    domain.log.info({}, 'leaving the guest running')
    domain.monitor?.removeAllListeners()
    return EXIT_OK
  } finally {
    await openLog()
    const answered = (await services?.catch(() => undefined))?.close()
    tidyUp(domain)
    // nothing of ours is in the root any more; who comes next need not wait for our clients
    lock.close()
    await answered
  }
}

/** Time whoever brings a guest here may take to begin with it. */
const MIGRATION_LIMIT_MS = 30_000

/** Starts the guest: from an image of its memory, from what its managed save has left, or it boots. */
async function startGuest(
  domain: QemuDomain,
  job: AsyncJob,
  options: Options & Pick<Opened, 'given'>,
  onLaunch: () => void
): Promise<void> {
  const { paused, resetNvram, autoDestroy: dieWithUs, tied, bypassCache, restore } = options
  const start = { paused, resetNvram, autoDestroy: tied ? starterGone() : undefined, dieWithUs, onLaunch }
  const saved = () => import('../drivers/qemu/save/restore.ts')
  if (restore !== undefined) {
    const { startFrom } = await saved()
    return startFrom(domain, job, { ...restoreOptions(options), xml: options.given, start })
  }
  const isKept = options.define || options.xmlFile === undefined
  if (!isKept || !existsSync(domain.root.managedSave)) return startDomain(domain, start)
  await (await saved()).startKept(domain, job, { ...start, bypassCache })
}

const SAVE = virDomainSaveRestoreFlags

/** What is asked of a restore; the definition that was given is known by its file. */
function restoreOptions({ restore, channels, running, paused, bypassCache, resetNvram }: Options): RestoreOptions {
  const bits = [
    running && SAVE.VIR_DOMAIN_SAVE_RUNNING,
    paused && SAVE.VIR_DOMAIN_SAVE_PAUSED,
    bypassCache && SAVE.VIR_DOMAIN_SAVE_BYPASS_CACHE,
    resetNvram && SAVE.VIR_DOMAIN_SAVE_RESET_NVRAM
  ]
  return { path: restore!, channels, flags: bits.reduce<number>((all, bit) => all | Number(bit), 0) }
}

/** Leaves neither snapshots nor empty directories behind of a guest that is neither run nor kept. */
function tidyUp({ isActive, isPersistent, root, moments }: QemuDomain): void {
  if (isActive || isPersistent) return
  moments.snapshots.remove()
  moments.checkpoints.remove()
  removeEmptyDirectories(root)
}

function exit(end: Ended | undefined, status: number): number {
  void tell({ ended: end ? { reason: end.reason, failed: end.failed } : null, status })
  return status
}

interface Opened {
  /** with the live definition where there is a status */
  domain: QemuDomain
  status: Status | undefined
  /** the next start begins from it */
  def: DomainDef
  /** its XML, if it was given */
  given: string | undefined
  /** keeps other shims from the root while it is open */
  lock: RootLock
}

/** Reads what is asked for and what is there, and locks the root. */
async function openGuest(options: Options, log: LateLog): Promise<Opened> {
  const given = options.xmlFile === undefined ? undefined : readXml(options.xmlFile)
  const { root: dir, name } = options
  const early = dir === undefined && name === undefined ? undefined : chooseRoot(dir, name ?? '')
  const saved = options.restore === undefined ? undefined : await xmlInImage(options.restore)
  const xml = given ?? saved ?? (early && ((await readStatusIfAlive(early, log))?.xml ?? readIfThere(early.definition)))
  if (xml === undefined) throw new UsageError(`GUEST.xml is missing and nothing is known of a guest in '${early?.dir}'`)
  let root: GuestRoot | undefined
  let ofHost: unknown
  const forDef = async (parsed: DomainDef) => {
    root = chooseRoot(dir, name ?? parsed.name)
    return contextFor(parsed, root, options.secondary, options.migration).catch(error => {
      ofHost = error
      throw error
    })
  }
  const isNew = given !== undefined && saved === undefined && !options.awaitMigration
  const { def, context } = await loadDomain(xml, forDef, { validate: options.validate, abiUpdate: isNew, check: isNew })
    .then(loaded => {
      if (options.define) checkDefinable(loaded.def)
      return loaded
    })
    .catch(error => {
      throw error === ofHost ? error : new DefinitionError('bad XML', { cause: error })
    })
  const lock = await lockRoot(root!, 'virshimd', options.linger ? LOCK_WAIT_MS : GONE_WAIT_MS)
  const status = await readStatusIfAlive(root!, log)
  const { settleSnapshots } = existsSync(journalOf(root!)) ? await import('./take-over.ts') : {}
  const isSettled = await settleSnapshots?.(root!, status, log)
  if (isSettled && !isNew) {
    // the definition may be another than the one that was read
    lock.close()
    return openGuest(options, log)
  }
  if (status && status.name !== def.name) {
    throw fail('VIR_ERR_OPERATION_INVALID', `root directory '${root!.dir}' belongs to domain '${status.name}'`)
  }
  const again = { inactive: false, abiUpdate: false, status: true }
  const live = status ? (await loadDomain(status.xml, async () => context, again)).def : def
  const { user, group, uidRange, confine, hookDirs } = options
  const aggregator = aggregatorSocket(options.aggregator)
  const domain: QemuDomain = new QemuDomain({
    root: root!,
    rootByName: dir === undefined,
    def: live,
    context,
    contextFor: other => contextFor(other, domain.root, options.secondary, options.migration),
    log,
    user,
    group,
    uidRange,
    confine,
    hookDirs,
    openPeer: async uri => (await import('./rpc/peer.ts')).openPeer(uri),
    onEvent: handleQmpEvent,
    ...(aggregator !== undefined && { claims: claimsAt(aggregator, root!.apiSocket, log) })
  })
  await takeDefinition(domain, { def, xml, define: options.define })
  return { domain, status, def, given, lock }
}

const xmlInImage = async (path: string) => (await import('../drivers/qemu/save/image.ts')).readImageFile(path).xml

/** Makes what was loaded the persistent definition, or takes the one that is kept. */
async function takeDefinition(
  domain: QemuDomain,
  loaded: { def: DomainDef; xml: string; define: boolean }
): Promise<void> {
  const { def, xml, define } = loaded
  const kept = readIfThere(domain.root.definition)
  if (define) {
    domain.setPersistent(def)
    const { VIR_DOMAIN_EVENT_DEFINED_ADDED, VIR_DOMAIN_EVENT_DEFINED_UPDATED } = virDomainEventDefinedDetailType
    domain.lifecycle(
      virDomainEventType.VIR_DOMAIN_EVENT_DEFINED,
      kept === undefined ? VIR_DOMAIN_EVENT_DEFINED_ADDED : VIR_DOMAIN_EVENT_DEFINED_UPDATED
    )
  } else if (kept === xml) {
    domain.definitions.adopt(def)
  } else if (kept !== undefined) {
    const persistent = await loadDomain(kept, domain.contextFor, { abiUpdate: false, check: false })
    domain.definitions.adopt(persistent.def, persistent.context)
  }
}

/** The saved status if it speaks of this boot; of another boot it is removed, its processes are gone. */
async function readStatusIfAlive(root: GuestRoot, log: LateLog): Promise<Status | undefined> {
  const status = await readStatus(root.status)
  if (status && status.bootId !== bootId()) {
    await dismissAfterCrash(status, log)
    removeStatus(root.status)
    return undefined
  }
  return status
}

function readXml(file: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new UsageError(`cannot read '${file}': ${(error as Error).message}`)
  }
  return decodeXml(bytes, '(domain_definition)')
}

/**
 * SIGTERM and SIGINT ask the guest to shut down, force it off when time is up or on a second signal, and end the shim
 * of a guest that is shut off.
 */
function onSignals(domain: QemuDomain, timeoutMs: number, leave: Leave, linger: boolean): void {
  let asked = false
  const force = () => {
    if (!domain.isActive || domain.phase === 'stopping') return
    stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED).catch(error =>
      domain.log.error({ err: error }, 'destroy failed')
    )
  }
  const onSignal = (signal: NodeJS.Signals) => {
    if (linger && !domain.isActive) return leave.ask()
    if (domain.phase === undefined || domain.phase === 'starting') return cancelStart(domain, signal)
    domain.log.info({ signal }, asked ? 'forcing the guest off' : 'asking the guest to shut down')
    if (asked) return force()
    asked = true
    if (linger) void domain.run?.ended.then(() => leave.ask())
    setTimeout(force, timeoutMs).unref()
    domain.monitor?.execute('system_powerdown').catch(force)
    if (!domain.monitor) force()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}
