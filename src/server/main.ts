// virshimd: one guest from XML to its end. QEMU is started before anything heavy is loaded.
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkDefinable } from '../conf/domain/identity.ts'
import type { DomainDef } from '../conf/domain-def.ts'
import { virDomainShutoffReason } from '../conf/enums.ts'
import { errorsFrom, toVirError } from '../conf/error.ts'
import { VERSION } from '../conf/version.ts'
import { decodeXml } from '../conf/xml.ts'
import { qemuCapabilities } from '../drivers/qemu/capabilities.ts'
import { watchConsoles } from '../drivers/qemu/channels.ts'
import { DEFAULT_CONFIG, type QemuContext } from '../drivers/qemu/context.ts'
import { loadDomain } from '../drivers/qemu/def-driver.ts'
import { QemuDomain } from '../drivers/qemu/domain.ts'
import { OpenedFiles } from '../drivers/qemu/inherited-files.ts'
import { reconnectDomain } from '../drivers/qemu/reconnect.ts'
import { whenEnded } from '../drivers/qemu/run.ts'
import { cancelStart, startDomain } from '../drivers/qemu/start.ts'
import { stopDomain } from '../drivers/qemu/stop.ts'
import { cacheDirectory, chooseRoot, type GuestRoot, lockRoot } from '../state/root.ts'
import { secretDirectories, secretStore } from '../state/secrets.ts'
import { bootId, readStatus, removeStatus, type Status } from '../state/status.ts'
import { readIfThere } from '../state/store.ts'
import { LateLog } from './log.ts'
import { releaseStartMemory } from './memory.ts'
import { type Options, readOptions, USAGE, UsageError } from './options.ts'
import { listen } from './sockets.ts'
import { hostArchitecture } from './this-host.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** DESIGN: 0 guest ended in order, 1 it crashed or could not start, 2 bad usage or bad XML. */
const EXIT_OK = 0
const EXIT_FAILED = 1
const EXIT_USAGE = 2

/** What was found wrong in the guest's XML, by whatever code; ends with status 2. */
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
  try {
    const options = readOptions(argv)
    if (options === 'help' || options === 'version') {
      process.stdout.write(options === 'help' ? USAGE : `virshimd ${VERSION}\n`)
      return EXIT_OK
    }
    return options.detach ? await detached(argv) : await runGuest(options)
  } catch (thrown) {
    if (thrown instanceof UsageError) {
      process.stderr.write(`error: ${thrown.message}\n${USAGE}`)
      return EXIT_USAGE
    }
    const badXml = thrown instanceof DefinitionError
    const error = toVirError(badXml ? thrown.cause : thrown)
    if (process.env.VIRSHIM_DEBUG) process.stderr.write(`${error.stack}\n`)
    process.stderr.write(`error: ${error.message}\n`)
    return badXml || XML_FAULTS.has(error.code) ? EXIT_USAGE : EXIT_FAILED
  }
}

/** Runs the shim in a session of its own and waits until its guest runs or it has failed. */
async function detached(argv: string[]): Promise<number> {
  const { spawn } = await import('node:child_process')
  const args = argv.map(word => (word === '--detach' ? '--background' : word))
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  })
  return new Promise(resolve => {
    child.once('message', () => {
      child.disconnect()
      child.unref()
      resolve(EXIT_OK)
    })
    child.once('exit', code => resolve(code ?? EXIT_FAILED))
  })
}

async function runGuest(options: Options): Promise<number> {
  const log = new LateLog()
  const { domain, status, def } = await openGuest(options, log)
  let leave: () => void = () => {}
  const detachedByUser = new Promise<'detach'>(resolve => {
    leave = () => resolve('detach')
  })
  const reattached = status !== undefined && (await reconnectDomain(domain, status))
  if (reattached && !domain.isActive) return EXIT_OK
  if (!reattached) domain.def = def
  const services = (async () => {
    await log.open(options.logLevel, { name: domain.name, uuid: domain.uuid })
    return listen(domain, { detach: leave })
  })()
  services.catch(() => undefined)
  try {
    onSignals(domain, options.shutdownTimeoutS * 1000)
    if (!reattached) await startDomain(domain, { paused: options.paused, autoDestroy: options.autoDestroy })
    const ended = whenEnded(domain)
    watchConsoles(domain)
    await services.catch(async error => {
      await stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_FAILED)
      throw error
    })
    process.send?.('running')
    if (options.background) logTo(domain.root.shimLog)
    releaseStartMemory()
    const end = await Promise.race([ended, detachedByUser])
    if (end === 'detach') {
      domain.log.info({}, 'leaving the guest running')
      domain.monitor?.removeAllListeners()
      return EXIT_OK
    }
    return end.failed ? EXIT_FAILED : EXIT_OK
  } finally {
    await (await services.catch(() => undefined))?.close()
    domain.lock?.close()
  }
}

interface Opened {
  /** with the live definition where there is a status */
  domain: QemuDomain
  status: Status | undefined
  /** what the next start begins from */
  def: DomainDef
}

/** Reads what is asked for and what is there, and locks the root. */
async function openGuest(options: Options, log: LateLog): Promise<Opened> {
  const given = options.xmlFile === undefined ? undefined : readXml(options.xmlFile)
  const early = options.root === undefined ? undefined : chooseRoot(options.root, '')
  const xml = given ?? (early && ((await readStatusIfAlive(early))?.xml ?? readIfThere(early.definition)))
  if (xml === undefined) throw new UsageError(`GUEST.xml is missing and nothing is known of a guest in '${early?.dir}'`)
  let root: GuestRoot | undefined
  let ofHost: unknown
  const { def, context } = await loadDomain(xml, async parsed => {
    root = chooseRoot(options.root, parsed.name)
    return contextFor(parsed, root).catch(error => {
      ofHost = error
      throw error
    })
  })
    .then(loaded => {
      if (options.define) checkDefinable(loaded.def)
      return loaded
    })
    .catch(error => {
      throw error === ofHost ? error : new DefinitionError('bad XML', { cause: error })
    })
  const lock = await lockRoot(root!)
  const status = await readStatusIfAlive(root!)
  if (status && status.name !== def.name) {
    throw fail('VIR_ERR_OPERATION_INVALID', `root directory '${root!.dir}' belongs to domain '${status.name}'`)
  }
  const live = status ? (await loadDomain(status.xml, async () => context, { inactive: false, status: true })).def : def
  const domain = new QemuDomain({ root: root!, def: live, context, log, user: options.user, group: options.group })
  domain.lock = lock
  if (options.define) domain.setPersistent(def)
  else if (readIfThere(root!.definition) !== undefined) domain.newDef = def
  return { domain, status, def }
}

/** The saved status if it speaks of this boot; of another boot it is removed, its processes are gone. */
async function readStatusIfAlive(root: GuestRoot): Promise<Status | undefined> {
  const status = await readStatus(root.status)
  if (status && status.bootId !== bootId()) {
    removeStatus(root.status)
    return undefined
  }
  return status
}

function readXml(file: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (error) {
    throw new UsageError(`cannot read '${file}': ${(error as Error).message}`)
  }
  return decodeXml(bytes, '(domain_definition)')
}

async function contextFor(def: DomainDef, root: GuestRoot): Promise<QemuContext> {
  return {
    qemu: await qemuCapabilities(def.devices.emulator!, cacheDirectory(), def.type),
    config: DEFAULT_CONFIG,
    paths: {
      libDir: root.dir,
      channelTargetDir: root.channelDir,
      channelTargetBase: root.channelDir,
      nvramDir: root.nvramDir,
      memoryBackingDir: `${root.dir}/ram`,
      hugepageSubdir: `virshim/${def.uuid}`,
      monitorSocket: root.monitorSocket,
      dbusSocket: join(root.dir, 'dbus.sock'),
      swtpmDir: root.swtpmDir,
      swtpmSocket: root.swtpmSocket
    },
    privileged: process.getuid?.() === 0,
    secrets: secretStore(secretDirectories(process.getuid?.() === 0)),
    hostArch: hostArchitecture(),
    pretend: false,
    files: new OpenedFiles()
  }
}

/** Lets go of the stderr that --detach came with; what is said from now on goes to a file. */
function logTo(file: string): void {
  closeSync(2)
  // the lowest free descriptor is taken: 2
  openSync(file, 'a', 0o600)
}

/** SIGTERM and SIGINT ask the guest to shut down, force it off when time is up or on a second signal. */
function onSignals(domain: QemuDomain, timeoutMs: number): void {
  let asked = false
  const force = () => {
    if (!domain.isActive || domain.phase === 'stopping') return
    stopDomain(domain, virDomainShutoffReason.VIR_DOMAIN_SHUTOFF_DESTROYED).catch(error =>
      domain.log.error({ err: error }, 'destroy failed')
    )
  }
  const onSignal = (signal: NodeJS.Signals) => {
    if (domain.phase === undefined || domain.phase === 'starting') return cancelStart(domain, signal)
    domain.log.info({ signal }, asked ? 'forcing the guest off' : 'asking the guest to shut down')
    if (asked) return force()
    asked = true
    setTimeout(force, timeoutMs).unref()
    domain.monitor?.execute('system_powerdown').catch(force)
    if (!domain.monitor) force()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}
