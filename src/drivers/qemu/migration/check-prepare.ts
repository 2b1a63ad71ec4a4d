// The dry run of a migration at its destination: the checks that its phases, and the start of a QEMU that waits for it, make
// there, all of them. No shim and no QEMU is started, and nothing made or claimed: ports are held while they are looked at.

import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { parseDomain } from '../../../conf/domain-xml.ts'
import { virDomainMigrateFlags } from '../../../conf/enums.ts'
import { errorsFrom, type VirError } from '../../../conf/error.ts'
import { checkAll, type Refuse } from '../../../conf/refuse.ts'
import { ShownFiles } from '../../../host/inherited-files.ts'
import type { ProcessOwner } from '../../../host/owner.ts'
import { cellPages, memoryKiB, WHOLE_HOST } from '../../../host/topology.ts'
import { usedBy } from '../../../state/allocation.ts'
import type { ClaimedResource } from '../../../state/claim.ts'
import type { GuestRoot } from '../../../state/root.ts'
import type { Identity } from '../../known-guest.ts'
import type { Finding, MigrationPhase } from '../../migration.ts'
import { determineDiskChains } from '../block/chain.ts'
import { buildCommand } from '../command/index.ts'
import type { QemuContext } from '../context.ts'
import { checkMadeCpu } from '../cpu/check-made.ts'
import { takeMadeCpu } from '../cpu/live.ts'
import { type ContextFor, checkStart, completeStart } from '../definition/passes.ts'
import { checkNvram } from '../firmware/nvram.ts'
import { claimedAtStart } from '../process/claim.ts'
import { scriptsIn } from '../process/hooks.ts'
import { checkHostEnds } from '../process/needs/index.ts'
import { allocatePorts } from '../process/ports.ts'
import { generateLabels } from '../process/seclabel.ts'
import { checkHostFiles } from '../process/start.ts'
import { checkSecrets, withHostStorage } from '../process/storage-driver.ts'
import { checkDestination, checkEncrypted, checkPrepare } from './checks.ts'
import { decodeCookie, type MigrationCookie, parseCookie } from './cookie.ts'
import { definitionOf, FEATURES, ownName, type Place, placeFor } from './destination.ts'
import { Findings } from './findings.ts'
import { checkDestinationSettings, settingsFor } from './params.ts'
import { checkStorage, diskServerFor } from './storage.ts'
import { checkCertificates } from './tls.ts'
import { parseMigrationUri } from './uri.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const busy = (message: string) => fail('VIR_ERR_RESOURCE_BUSY', message)

const { VIR_MIGRATE_OFFLINE, VIR_MIGRATE_TLS, VIR_MIGRATE_TUNNELLED } = virDomainMigrateFlags

/** The host that a guest would come to. */
export interface ArrivalHost {
  contextFor: ContextFor
  /** directories of hook scripts */
  hookDirs: readonly string[]
  /** the guest's files, as they would lie here */
  rootOf(def: DomainDef): GuestRoot
  /** @throws VIR_ERR_OPERATION_FAILED for a name or uuid of another guest's, VIR_ERR_OPERATION_INVALID for one that runs */
  checkIdentity(guest: Identity): void
  /** Tells what a claim would be refused for. @returns what it would be warned of */
  look(def: DomainDef, resources: ClaimedResource[], refuse: Refuse): Promise<string[]>
  log: { warn(values: object, message: string): void }
}

/** The user that QEMU runs as, where nothing else is said. */
const OWNER: ProcessOwner = {}

/** Looks at all that would keep the guest from coming so. */
export async function checkPreparePhase(host: ArrivalHost, phase: MigrationPhase): Promise<Finding[]> {
  const { params, flags } = phase
  const has = (flag: number) => (flags & flag) !== 0
  const isTunnelled = has(VIR_MIGRATE_TUNNELLED)
  const findings = new Findings('destination')
  const settings = await findings.check('parameters', () => settingsFor(params, flags, 'destination'))
  await findings.check('flags', refuse => {
    if (!isTunnelled) checkPrepare(params, flags, refuse)
    checkDestination(flags, refuse)
  })
  const loaded = await findings.check('definition', () => definitionOf(phase, host.contextFor, { check: false }))
  await findings.check('name', () => host.checkIdentity(loaded?.def ?? identityIn(phase)))
  if (!loaded) return findings.list
  const { def, context, sourceName } = loaded
  const place = isTunnelled ? undefined : await findings.check('parameters', () => placeFor(context, phase))
  await findings.check('flags', refuse => checkAll(refuse, [() => checkEncrypted(context.config, flags)]))
  const reader = { name: sourceName, uuid: def.uuid }
  const heard = await findings.check('cookie', () => parseCookie(decodeCookie(phase.cookie), reader, FEATURES))
  if (has(VIR_MIGRATE_OFFLINE)) return findings.list
  if (settings) {
    await findings.check('parameters', refuse => checkDestinationSettings(context.qemu, settings, refuse))
  }
  if (has(VIR_MIGRATE_TLS)) {
    await findings.check('certificates', refuse =>
      checkCertificates(context, 'destination', refuse, isTunnelled ? undefined : checkedName(context, phase))
    )
  }
  await checkArrivalOf(host, { def, context }, { phase, place, heard, findings })
  return findings.list
}

/** Name and uuid of a definition that cannot be here. */
function identityIn({ params }: MigrationPhase): Identity {
  const { uuid, name } = parseDomain(params.destination_xml ?? '')
  return { uuid, name: params.destination_name ?? name }
}

/** The host name that the source checks the certificate by. */
function checkedName({ config }: Pick<QemuContext, 'config'>, { params }: MigrationPhase): string | undefined {
  const { migrate_uri: uri, 'tls.destination': given } = params
  return given ?? (uri === undefined ? (config.migrationHost ?? ownName()) : parseMigrationUri(uri).host || undefined)
}

interface Arriving {
  phase: MigrationPhase
  place: Place | undefined
  heard: MigrationCookie | undefined
  findings: Findings
}

/** The checks of a start, in its order. */
async function checkArrivalOf(
  host: ArrivalHost,
  { def, context: given }: { def: DomainDef; context: QemuContext },
  { phase, place, heard, findings }: Arriving
): Promise<void> {
  takeMadeCpu(def, heard?.cpu)
  const awaited: DiskDef[] =
    (await findings.check('disks', refuse => {
      const warn = (error: VirError, device?: string) => findings.warn('disks', error, device)
      return checkStorage(def, given, phase, heard?.nbd, { refuse, warn })
    })) ?? []
  const server = await findings.check('parameters', () =>
    heard?.nbd && place ? diskServerFor(def, given, phase, place.listen) : undefined
  )
  // nobody can look at what is yet to be made
  def.devices.disks = def.devices.disks.filter(disk => !awaited.includes(disk))
  let context = (await findings.check('definition', refuse => checkStart(def, given, refuse))) ?? given
  await warnOfHooks(host, findings)
  context = (await findings.check('disks', () => withHostStorage(def, context))) ?? context
  const guest = { def, context, root: host.rootOf(def), owner: OWNER, log: host.log }
  let nodes = 0
  const nextNode = () => ++nodes
  await findings.check('devices', refuse => completeStart(def, context, nextNode, refuse))
  await findings.check('devices', () => checkMadeCpu(def, context))
  await findings.check('definition', () => generateLabels(def, OWNER, context.privileged))
  await findings.check('definition', refuse => checkHostFiles(def, refuse))
  await findings.check('disks', refuse =>
    determineDiskChains(def, { context, nextNode, dropped: () => undefined, refuse })
  )
  await findings.check('resources', async refuse => {
    const ports = await allocatePorts(def, context.config)
    try {
      await place?.choosePort(ports, context)
      await place?.chooseWitness?.(ports, context)
      await server?.choosePort(ports)
      const warnings = await host.look(def, claimedAtStart(def, ports), refuse)
      for (const warning of warnings) findings.warn('resources', busy(warning))
      for (const port of await ports.taken()) refuse(busy(`tcp-port '${port}' is in use on this host`))
    } finally {
      ports.release()
    }
  })
  await findings.check('memory', refuse => checkMemory(def, refuse, error => findings.warn('memory', error)))
  await findings.check('firmware', () => checkNvram(def))
  await findings.check('devices', refuse => checkHostEnds(guest, refuse))
  await findings.check('secrets', refuse => checkSecrets(def, context.secrets, refuse))
  // it takes for granted what has been looked at; the devices that are made only now are left out
  if (findings.hasErrors) return
  await findings.check('devices', () => {
    buildCommand(def, { ...context, pretend: true, files: new ShownFiles() }, true)
  })
}

/** Scripts may do anything, and refuse anybody. */
async function warnOfHooks({ hookDirs }: ArrivalHost, findings: Findings): Promise<void> {
  for (const script of await scriptsIn(hookDirs)) {
    findings.warn('hooks', fail('VIR_ERR_HOOK_SCRIPT_FAILED', `'${script}' is run, and may refuse the guest`))
  }
}

/** Looks whether there is as much memory as the guest may come to use. Huge pages are taken when it starts. */
function checkMemory(def: DomainDef, refuse: Refuse, warn: Refuse): void {
  const { MemAvailable: availableKiB = 0 } = memoryKiB()
  const pages = new Map(cellPages(WHOLE_HOST).map(({ sizeKiB, free }) => [String(sizeKiB), free]))
  for (const { kind, key = '', amount = 0 } of usedBy(def)) {
    if (kind === 'memory' && amount > availableKiB) {
      warn(busy(`${amount} KiB of memory are wanted, ${availableKiB} KiB are available`))
    }
    const free = pages.get(key) ?? 0
    if (kind === 'hugepages' && amount > free) {
      refuse(busy(`${amount} pages of ${key} KiB are wanted, ${free} are free`))
    }
  }
}
