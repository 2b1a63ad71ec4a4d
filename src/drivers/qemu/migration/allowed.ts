// Guests whose memory and device state QEMU cannot give away, into a file or to another host (qemuMigrationSrcIsAllowed).
import type { DiskDef } from '../../../conf/devices/disk.ts'
import type { HostdevDef } from '../../../conf/devices/hostdev.ts'
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainMigrateFlags, virDomainPausedReason, virDomainState } from '../../../conf/enums.ts'
import { type ErrorCode, errorsFrom } from '../../../conf/error.ts'
import { isStorageEmpty } from '../../../conf/storage/source.ts'
import { sharedFileSystem } from '../../../host/shared-file-system.ts'
import { hasBlockJob } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const { VIR_MIGRATE_ABORT_ON_ERROR, VIR_MIGRATE_OFFLINE } = virDomainMigrateFlags
const { VIR_DOMAIN_PAUSED } = virDomainState
const { VIR_DOMAIN_PAUSED_IOERROR } = virDomainPausedReason

/** Why a guest stays, undefined for one that does not. */
interface Hindrance {
  code: ErrorCode
  of(def: DomainDef): string | undefined
}

const unsupported = (of: Hindrance['of']): Hindrance => ({ code: 'VIR_ERR_OPERATION_UNSUPPORTED', of })
const invalid = (of: Hindrance['of']): Hindrance => ({ code: 'VIR_ERR_OPERATION_INVALID', of })

const isTransient = ({ teaming }: HostdevDef | InterfaceDef) => teaming?.type === 'transient'

function hostdevHindrance({ devices }: DomainDef): string | undefined {
  const card = devices.interfaces.find(dev => dev.type === 'hostdev' && !isTransient(dev))
  if (card) return "cannot migrate a domain with <interface type='hostdev'>"
  for (const dev of devices.hostdevs) {
    if (dev.source.mode === 'capabilities') return "cannot migrate a domain with <hostdev mode='capabilities'>"
    if (dev.source.type === 'usb' || (dev.source.type === 'pci' && isTransient(dev))) continue
    return `cannot migrate a domain with <hostdev mode='subsystem' type='${dev.source.type}'>`
  }
  return undefined
}

/** Of a QEMU that does not tell of them itself. */
const DEVICES_OF_HOST: Hindrance[] = [
  unsupported(hostdevHindrance),
  invalid(({ devices }) =>
    devices.interfaces.some(({ type }) => type === 'vdpa') ? 'vDPA devices cannot be migrated' : undefined
  )
]

const HINDRANCES: Hindrance[] = [
  invalid(({ cpu, clock }) => {
    const isInvariant = cpu?.features.some(({ name, policy }) => name === 'invtsc' && policy !== 'disable')
    const isFixed = clock?.timers.some(({ name, frequencyHz }) => name === 'tsc' && frequencyHz)
    return isInvariant && !isFixed ? "domain has 'invtsc' CPU feature but TSC frequency is not specified" : undefined
  }),
  invalid(({ devices }) =>
    devices.memories.some(({ model, address }) => model === 'dimm' && address?.type !== 'dimm')
      ? "domain's dimm info lacks slot ID or base address"
      : undefined
  ),
  invalid(({ devices }) => {
    const shmem = devices.shmems.find(({ role }) => role !== 'master')
    return (
      shmem &&
      `shmem device '${shmem.name}' cannot be migrated, only shmem with role='${shmem.role ?? 'default'}' can be migrated`
    )
  }),
  unsupported(({ devices }) =>
    devices.filesystems.some(({ driver, source }) => driver?.type === 'virtiofs' && source?.socket === undefined)
      ? 'migration with this virtiofs device is not supported'
      : undefined
  ),
  invalid(({ devices }) =>
    devices.disks.some(({ transient }) => transient) ? 'migration with transient disk is not supported' : undefined
  )
]

/**
 * Checks that the guest's memory can be given away, into a file or to another host.
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_UNSUPPORTED
 */
export async function checkMigratable(domain: QemuDomain, checkRemote = () => {}): Promise<void> {
  const { def, qmp, context } = domain
  const tellsItself = context.qemu.has('migration.blocked-reasons')
  if (tellsItself) {
    const { 'blocked-reasons': reasons = [] } = await qmp.execute<{ 'blocked-reasons'?: string[] }>('query-migrate')
    if (reasons.length > 0) throw fail('VIR_ERR_OPERATION_INVALID', `cannot migrate domain: ${reasons.join('; ')}`)
  }
  const found = (list: Hindrance[]) => {
    for (const { code, of } of list) {
      const why = of(def)
      if (why !== undefined) throw fail(code, why)
    }
  }
  if (!tellsItself) found(DEVICES_OF_HOST)
  checkRemote()
  if (hasBlockJob(domain)) throw fail('VIR_ERR_OPERATION_INVALID', 'domain has active block job')
  found(HINDRANCES)
}

/**
 * Checks that the guest can go to another host.
 * @param bits virDomainMigrateFlags
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_UNSUPPORTED
 */
export async function checkRemotelyMigratable(domain: QemuDomain, bits: number): Promise<void> {
  const { count } = domain.moments.snapshots
  if (count > 0) throw fail('VIR_ERR_OPERATION_INVALID', `cannot migrate domain with ${count} snapshots`)
  if ((bits & VIR_MIGRATE_OFFLINE) !== 0) return
  await checkMigratable(domain, () => {
    const isHalted = domain.state === VIR_DOMAIN_PAUSED && domain.reason === VIR_DOMAIN_PAUSED_IOERROR
    if ((bits & VIR_MIGRATE_ABORT_ON_ERROR) !== 0 && isHalted) {
      throw fail('VIR_ERR_OPERATION_INVALID', 'cannot migrate domain with I/O error')
    }
    if (domain.run?.autoDestroy) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is marked for auto destroy')
  })
}

const unsafe = (message: string) => fail('VIR_ERR_MIGRATE_UNSAFE', message)

/**
 * Checks that the disks that stay where they are will have the same contents there.
 * @param isCopied those that do not stay
 * @throws VIR_ERR_MIGRATE_UNSAFE (qemuMigrationSrcIsSafe)
 */
export function checkSafe({ def, context }: QemuDomain, isCopied: (disk: DiskDef) => boolean): void {
  for (const disk of def.devices.disks) {
    const { source, driver, readonly, shareable } = disk
    if (isStorageEmpty(source) || readonly || isCopied(disk) || source.type === 'network') continue
    if (source.type === 'nvme') throw unsafe('Migration without shared storage is unsafe')
    if (source.type === 'file') {
      const shared = sharedFileSystem(source.path ?? '')
      if (!shared) throw unsafe('Migration without shared storage is unsafe')
      if (shared.cluster) continue
    }
    if (shareable || driver?.cache === 'none' || driver?.cache === 'directsync') continue
    if (context.qemu.has('migration-file-drop-cache')) continue
    throw unsafe('Migration may lead to data corruption if disks use cache other than none or directsync')
  }
}
