// The guest's giving up of a device, and its refusals.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { isPseries } from '../machine-type.ts'
import { QmpError, type QmpEvent, type QmpMonitor } from '../monitor/qmp.ts'
import { refusedEjection } from './ejection.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Time a guest may take to give up a device (QEMU_UNPLUG_TIMEOUT). */
const UNPLUG_LIMIT_MS = 5000
/** pSeries guests are slower than others (QEMU_UNPLUG_TIMEOUT_PPC64). */
const PSERIES_UNPLUG_LIMIT_MS = 10_000

/** The guest that has a device. */
export interface DeviceHolder {
  def: DomainDef
  qmp: QmpMonitor
  /** settles when its QEMU is gone */
  ended?: Promise<unknown>
}

export const deviceHolder = ({ def, qmp, running: { ended } }: QemuDomain): DeviceHolder => ({ def, qmp, ended })

/**
 * Asks the guest for a device, by its id in QEMU (qemuDomainDeleteDevice, qemuDomainWaitForDeviceRemoval).
 * @param wait false: it is asked only
 * @returns true once it is gone; false: it may still go
 * @throws VIR_ERR_OPERATION_FAILED when the guest refuses, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function unplugged({ def, qmp, ended }: DeviceHolder, id: string, wait: boolean): Promise<boolean> {
  let settle = (_gone: boolean | Error): void => undefined
  const answer = new Promise<boolean | Error>(resolve => {
    settle = resolve
  })
  const listen = ({ event, data }: QmpEvent) => {
    if (event === 'DEVICE_DELETED' && data.device === id) settle(true)
    const isRefused =
      event === 'DEVICE_UNPLUG_GUEST_ERROR'
        ? data.device === id
        : event === 'ACPI_DEVICE_OST' && refusedEjection(Object(data.info)) === id
    if (isRefused && wait) settle(fail('VIR_ERR_OPERATION_FAILED', 'unplug of device was rejected by the guest'))
  }
  qmp.on('event', listen)
  const limit = setTimeout(() => settle(false), isPseries(def) ? PSERIES_UNPLUG_LIMIT_MS : UNPLUG_LIMIT_MS)
  try {
    await qmp.execute('device_del', { id })
    if (!wait) return false
    const gone = await Promise.race([answer, ...(ended ? [ended.then(() => true)] : [])])
    if (typeof gone === 'object') throw gone
    return gone
  } catch (error) {
    // it is gone already
    const { cause } = error as Error
    if (cause instanceof QmpError && cause.class === 'DeviceNotFound') return true
    throw error
  } finally {
    clearTimeout(limit)
    qmp.off('event', listen)
  }
}
