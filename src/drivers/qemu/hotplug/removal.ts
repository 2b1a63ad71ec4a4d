// Removal of a device, once a running guest has given it up (qemuDomainRemoveDevice).
import { type AnyDevice, type DeviceKind, eachDeviceInfo } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { leave } from '../device/family.ts'
import { qemuFamily } from '../device/index.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
import { isPseries } from '../machine-type.ts'
import { QmpError, type QmpEvent } from '../monitor/qmp.ts'
import type { Builder } from '../parts/builder.ts'
import { forgetChardev } from '../process/refresh.ts'
import { type FdPasser, Plug, UNPLUG_LIMIT_MS } from './plug.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The device with that alias, if it is one that can leave a running guest. */
export function removableDevice({ devices }: DomainDef, alias: string): [DeviceKind, AnyDevice] | undefined {
  for (const [kind, dev] of eachDeviceInfo(devices)) {
    if (dev.alias === alias && qemuFamily(kind)?.unplug) return [kind, dev]
  }
  return undefined
}

/** ACPI's _OST: what is being told about, and how it went (ACPI specification, "_OST"). */
const EJECTION_SOURCES: readonly unknown[] = [0x003, 0x103]
const EJECTED = 0
const isRefusal = (status: number) => status === 0x01 || (status >= 0x80 && status <= 0x83)

/** The memory module a guest will not give up. @param info of ACPI_DEVICE_OST (qemuProcessHandleAcpiOstInfo) */
export function refusedEjection(info: object): string | undefined {
  const { device, 'slot-type': slotType, source, status } = info as Record<string, unknown>
  const isEjection = slotType === 'DIMM' && EJECTION_SOURCES.includes(Number(source))
  return isEjection && typeof device === 'string' && isRefusal(Number(status)) ? device : undefined
}

/** A vCPU has gone, nobody says which. @param info of ACPI_DEVICE_OST */
export function isVcpuEjected(info: object): boolean {
  const { 'slot-type': slotType, source, status } = info as Record<string, unknown>
  return slotType === 'CPU' && EJECTION_SOURCES.includes(Number(source)) && Number(status) === EJECTED
}

/** pSeries guests are slower than others (QEMU_UNPLUG_TIMEOUT_PPC64). */
const PSERIES_UNPLUG_LIMIT_MS = 10_000

/**
 * Asks the guest for a device, by its id in QEMU (qemuDomainDeleteDevice, qemuDomainWaitForDeviceRemoval).
 * @param wait false: it is asked only
 * @returns true once it is gone; false: it may still go
 * @throws VIR_ERR_OPERATION_FAILED when the guest refuses, VIR_ERR_INTERNAL_ERROR with QEMU's words
 */
export async function unplugged(domain: QemuDomain, id: string, wait: boolean): Promise<boolean> {
  const { qmp } = domain
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
  const limit = setTimeout(() => settle(false), isPseries(domain.def) ? PSERIES_UNPLUG_LIMIT_MS : UNPLUG_LIMIT_MS)
  try {
    await qmp.execute('device_del', { id })
    if (!wait) return false
    const gone = await Promise.race([answer, domain.running.ended.then(() => true)])
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

/** Stand in for what the parts of a device were made with, where only their names are wanted. */
const NO_KEY = new Uint8Array(32)
const NO_SECRETS = { value: () => new Uint8Array() }
const NO_FILES: FdPasser = { pass: async () => undefined, nextSet: () => 0 }

/** Tells the log of what a device has left in QEMU or on the host. */
export const leftBy =
  ({ log }: QemuDomain, dev?: AnyDevice) =>
  (error: unknown): void =>
    log.warn({ err: error, device: dev?.alias }, 'a device has left something')

/** What QEMU was told of something, to be taken back. @throws where that cannot be said any more */
export function partsToldBy({ def, context }: QemuDomain, build: (to: Builder) => void): Plug {
  const plug = new Plug({ def, context: { ...context, secrets: NO_SECRETS }, masterKey: NO_KEY }, { passFd: NO_FILES })
  build(plug)
  return plug
}

/** What QEMU was told of a device; undefined where that cannot be said any more, which the log tells. */
export function partsOf(domain: QemuDomain, kind: DeviceKind, dev: AnyDevice): Plug | undefined {
  try {
    return partsToldBy(domain, to => qemuFamily(kind)?.add?.(to, dev))
  } catch (error) {
    leftBy(domain, dev)(error)
    return undefined
  }
}

/**
 * Takes away what the device had of QEMU and of the host, and then the device itself from the live definition, from
 * which the report and with it the aggregator's ledger follow; then its event. What cannot be taken away is told in the
 * log.
 */
export async function removeDevice(
  domain: QemuDomain,
  kind: DeviceKind,
  dev: AnyDevice,
  timestampUs?: number
): Promise<void> {
  const { def, qmp } = domain
  const family = qemuFamily(kind)
  const warn = leftBy(domain, dev)
  await partsOf(domain, kind, dev)?.removeParts(qmp, warn)
  try {
    await family?.host?.give(dev, hostGuest(domain))
  } catch (error) {
    warn(error)
  }
  const { unplug = leave(kind) } = family ?? {}
  unplug(dev as never, def)
  forgetChardev(domain, dev.alias)
  await family?.live?.refresh?.(dev, def, qmp).catch(warn)
  domain.changed()
  const { alias: devAlias } = dev
  if (devAlias !== undefined) domain.events.emit('VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED', { devAlias }, timestampUs)
}
