// Guests whose memory and device state QEMU cannot give away, into a file or to another host (qemuMigrationSrcIsAllowed).
import type { HostdevDef } from '../../../conf/devices/hostdev.ts'
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { type ErrorCode, errorsFrom } from '../../../conf/error.ts'
import { hasBlockJob } from '../domain/block-jobs.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

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
 * Checks that the guest's memory can be written into a file.
 * @throws VIR_ERR_OPERATION_INVALID, VIR_ERR_OPERATION_UNSUPPORTED
 */
export async function checkMigratable(domain: QemuDomain): Promise<void> {
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
  if (hasBlockJob(domain)) throw fail('VIR_ERR_OPERATION_INVALID', 'domain has active block job')
  found(HINDRANCES)
}
