// Guests whose memory and device state QEMU cannot give away, into a file or to another host (qemuMigrationSrcIsAllowed).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { HostdevDef } from '../../../conf/devices/hostdev.ts'
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainMigrateFlags, virDomainPausedReason, virDomainState } from '../../../conf/enums.ts'
import { type ErrorCode, errorsFrom } from '../../../conf/error.ts'
import { orThrow, type Refuse } from '../../../conf/refuse.ts'
import { isStorageEmpty } from '../../../conf/storage/source.ts'
import { sharedFileSystem } from '../../../host/shared-file-system.ts'
import type { QemuContext } from '../context.ts'
import { hasBlockJob } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_MIGRATE_ABORT_ON_ERROR, VIR_MIGRATE_OFFLINE } = virDomainMigrateFlags
const { VIR_DOMAIN_PAUSED } = virDomainState
const { VIR_DOMAIN_PAUSED_IOERROR } = virDomainPausedReason

/** Reasons why a guest stays. */
interface Hindrance {
  code: ErrorCode
  of(def: DomainDef): string[]
}

const unsupported = (of: Hindrance['of']): Hindrance => ({ code: 'VIR_ERR_OPERATION_UNSUPPORTED', of })
const invalid = (of: Hindrance['of']): Hindrance => ({ code: 'VIR_ERR_OPERATION_INVALID', of })

const isTransient = ({ teaming }: HostdevDef | InterfaceDef) => teaming?.type === 'transient'

const when = (is: boolean | undefined, why: string): string[] => (is ? [why] : [])

function hostdevHindrances({ devices }: DomainDef): string[] {
  const cards = devices.interfaces.filter(dev => dev.type === 'hostdev' && !isTransient(dev))
  return [
    ...cards.map(() => "cannot migrate a domain with <interface type='hostdev'>"),
    ...devices.hostdevs.flatMap(dev => {
      if (dev.source.mode === 'capabilities') return ["cannot migrate a domain with <hostdev mode='capabilities'>"]
      if (dev.source.type === 'usb' || (dev.source.type === 'pci' && isTransient(dev))) return []
      return [`cannot migrate a domain with <hostdev mode='subsystem' type='${dev.source.type}'>`]
    })
  ]
}

/** Of a QEMU that does not tell of them itself. */
const DEVICES_OF_HOST: Hindrance[] = [
  unsupported(hostdevHindrances),
  invalid(({ devices }) =>
    when(
      devices.interfaces.some(({ type }) => type === 'vdpa'),
      'vDPA devices cannot be migrated'
    )
  )
]

const HINDRANCES: Hindrance[] = [
  invalid(({ cpu, clock }) => {
    const isInvariant = cpu?.features.some(({ name, policy }) => name === 'invtsc' && policy !== 'disable')
    const isFixed = clock?.timers.some(({ name, frequencyHz }) => name === 'tsc' && frequencyHz)
    return when(isInvariant && !isFixed, "domain has 'invtsc' CPU feature but TSC frequency is not specified")
  }),
  invalid(({ devices }) =>
    when(
      devices.memories.some(({ model, address }) => model === 'dimm' && address?.type !== 'dimm'),
      "domain's dimm info lacks slot ID or base address"
    )
  ),
  invalid(({ devices }) =>
    devices.shmems
      .filter(({ role }) => role !== 'master')
      .map(
        ({ name, role = 'default' }) =>
          `shmem device '${name}' cannot be migrated, only shmem with role='${role}' can be migrated`
      )
  ),
  unsupported(({ devices }) =>
    when(
      devices.filesystems.some(({ driver, source }) => driver?.type === 'virtiofs' && source?.socket === undefined),
      'migration with this virtiofs device is not supported'
    )
  ),
  invalid(({ devices }) =>
    when(
      devices.disks.some(({ transient }) => transient),
      'migration with transient disk is not supported'
    )
  )
]

/**
 * Checks that the guest's memory can be given away, into a file or to another host.
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_UNSUPPORTED
 */
export async function checkMigratable(
  domain: QemuDomain,
  refuse: Refuse = orThrow,
  checkRemote = () => {}
): Promise<void> {
  const { def, qmp, context } = domain
  const tellsItself = context.qemu.has('migration.blocked-reasons')
  if (tellsItself) {
    const { 'blocked-reasons': reasons = [] } = await qmp.execute<{ 'blocked-reasons'?: string[] }>('query-migrate')
    if (reasons.length > 0) refuse(fail('VIR_ERR_OPERATION_INVALID', `cannot migrate domain: ${reasons.join('; ')}`))
  }
  const found = (list: Hindrance[]) => {
    for (const { code, of } of list) for (const why of of(def)) refuse(fail(code, why))
  }
  if (!tellsItself) found(DEVICES_OF_HOST)
  checkRemote()
  if (hasBlockJob(domain)) refuse(fail('VIR_ERR_OPERATION_INVALID', 'domain has active block job'))
  found(HINDRANCES)
}

/**
 * Checks that the guest can go to another host.
 * @param bits virDomainMigrateFlags
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_UNSUPPORTED
 */
export async function checkRemotelyMigratable(
  domain: QemuDomain,
  bits: number,
  refuse: Refuse = orThrow
): Promise<void> {
  const { count } = domain.moments.snapshots
  const invalid = (message: string) => refuse(fail('VIR_ERR_OPERATION_INVALID', message))
  if (count > 0) invalid(`cannot migrate domain with ${count} snapshots`)
  if ((bits & VIR_MIGRATE_OFFLINE) !== 0) return
  await checkMigratable(domain, refuse, () => {
    const isHalted = domain.state === VIR_DOMAIN_PAUSED && domain.reason === VIR_DOMAIN_PAUSED_IOERROR
    if ((bits & VIR_MIGRATE_ABORT_ON_ERROR) !== 0 && isHalted) invalid('cannot migrate domain with I/O error')
    if (domain.run?.autoDestroy) invalid('domain is marked for auto destroy')
  })
}

const NOT_SHARED = 'Migration without shared storage is unsafe'
const CACHED = 'Migration may lead to data corruption if disks use cache other than none or directsync'

/** Why a disk that stays where it is may have other contents there, undefined for one that has not. */
function unsafety({ source, driver, readonly, shareable }: DiskDef, { qemu }: QemuContext): string | undefined {
  if (isStorageEmpty(source) || readonly || source.type === 'network') return undefined
  if (source.type === 'nvme') return NOT_SHARED
  if (source.type === 'file') {
    const shared = sharedFileSystem(source.path ?? '')
    if (!shared) return NOT_SHARED
    if (shared.cluster) return undefined
  }
  if (shareable || driver?.cache === 'none' || driver?.cache === 'directsync') return undefined
  return qemu.has('migration-file-drop-cache') ? undefined : CACHED
}

/**
 * Checks that the disks that stay where they are will have the same contents there.
 * @param isCopied those that do not stay
 * @throws VIR_ERR_MIGRATE_UNSAFE (qemuMigrationSrcIsSafe)
 */
export function checkSafe(
  { def, context }: QemuDomain,
  isCopied: (disk: DiskDef) => boolean,
  refuse: Refuse = orThrow
): void {
  for (const disk of def.devices.disks) {
    const why = isCopied(disk) ? undefined : unsafety(disk, context)
    if (why !== undefined) refuse(fail('VIR_ERR_MIGRATE_UNSAFE', why), disk.target?.dev)
  }
}
