// The balloon: memory that the guest has given back, and is to give back.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { QmpError } from '../monitor/qmp.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Classes of QEMU's errors where there is no balloon, or the host cannot do with one. */
const NO_BALLOON = ['DeviceNotActive', 'KVMMissingCap']

/** True for a guest that can give memory back. */
export const hasBalloon = ({ devices }: DomainDef): boolean =>
  devices.memballoons.some(({ model }) => model !== undefined && model !== 'none')

const virtioMems = ({ devices }: DomainDef) => devices.memories.filter(({ model }) => model === 'virtio-mem')

/** Memory without that of virtio-mem devices, whose size the balloon does not change; KiB. */
export const balloonMaxKiB = (def: DomainDef): number =>
  virtioMems(def).reduce((left, { target }) => left - target.sizeKiB, def.memoryKiB)

/** libvirt's current memory, of which QEMU's balloon does not count virtio-mem; KiB. */
export const currentMemoryKiB = (def: DomainDef, balloonKiB: number): number =>
  virtioMems(def).reduce((sum, { target }) => sum + (target.currentKiB ?? 0), balloonKiB)

/**
 * Asks the guest to make do with so much memory (qemuMonitorSetBalloon).
 * @throws VIR_ERR_OPERATION_INVALID without a balloon, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function setBalloon({ qmp }: Pick<QemuDomain, 'qmp'>, sizeKiB: number): Promise<void> {
  try {
    await qmp.execute('balloon', { value: BigInt(sizeKiB) * 1024n })
  } catch (error) {
    const { cause } = error as Error
    if (!(cause instanceof QmpError && NO_BALLOON.includes(cause.class))) throw error
    const what = 'Unable to change memory of active domain without the balloon device and guest OS balloon driver'
    throw fail('VIR_ERR_OPERATION_INVALID', what, error)
  }
}

/** Takes the size that QEMU tells of for the definition's (qemuProcessRefreshBalloonState). */
export async function syncBalloon(domain: QemuDomain): Promise<void> {
  const { def, qmp } = domain
  const actual = hasBalloon(def) ? (await qmp.execute<{ actual: number | bigint }>('query-balloon')).actual : undefined
  const size = actual === undefined ? def.memoryKiB : currentMemoryKiB(def, Number(BigInt(actual) / 1024n))
  domain.checkActive()
  if (size !== domain.def.currentMemoryKiB)
    domain.change({ live: true }, changed => ({ ...changed, currentMemoryKiB: size }))
}

/**
 * Asks a guest that starts for what the definition takes from it. It has all its memory until it runs
 * (qemuProcessSetupBalloon).
 */
export async function startBalloon(domain: QemuDomain): Promise<void> {
  const { def } = domain
  if (def.currentMemoryKiB === def.memoryKiB && virtioMems(def).length === 0) return
  if (hasBalloon(def)) await setBalloon(domain, def.currentMemoryKiB ?? def.memoryKiB)
  await syncBalloon(domain)
}
