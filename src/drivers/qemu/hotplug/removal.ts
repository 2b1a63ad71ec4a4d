// Removal of a device, once a running guest has given it up (qemuDomainRemoveDevice).
import { type AnyDevice, type DeviceKind, eachDeviceInfo } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { leave } from '../device/family.ts'
import { liveRules, qemuFamily } from '../device/index.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
import type { Builder } from '../parts/builder.ts'
import { dismissUnused } from '../process/access.ts'
import { pathsOfDevice } from '../process/access-paths.ts'
import { forgetChardev } from '../process/refresh.ts'
import { type FdPasser, Plug } from './plug.ts'

/** The device with that alias, if it is one that can leave a running guest. */
export function removableDevice({ devices }: DomainDef, alias: string): [DeviceKind, AnyDevice] | undefined {
  for (const [kind, dev] of eachDeviceInfo(devices)) {
    if (dev.alias === alias && qemuFamily(kind)?.unplug) return [kind, dev]
  }
  return undefined
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
  const { refresh } = await liveRules(kind)
  const warn = leftBy(domain, dev)
  await partsOf(domain, kind, dev)?.removeParts(qmp, warn)
  try {
    await family?.host?.give(dev, hostGuest(domain))
  } catch (error) {
    warn(error)
  }
  const { unplug = leave(kind) } = family ?? {}
  unplug(dev as never, def)
  await dismissUnused(domain, pathsOfDevice(kind, dev as never))
  domain.run?.leaving.delete(dev.alias ?? '')
  forgetChardev(domain, dev.alias)
  await refresh?.(dev, def, qmp).catch(warn)
  domain.changed()
  const { alias: devAlias } = dev
  if (devAlias !== undefined) domain.events.emit('VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED', { devAlias }, timestampUs)
}
