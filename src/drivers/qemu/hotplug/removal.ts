// Removal of a device, once a running guest has given it up (qemuDomainRemoveDevice).
import { type AnyDevice, type DeviceKind, eachDeviceInfo } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { qemuFamily } from '../device/index.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
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

/**
 * Takes away what the device had of QEMU and of the host, and then the device itself from the live definition, from
 * which the report and with it the aggregator's ledger follow. What cannot be taken away is told in the log.
 */
export async function removeDevice(domain: QemuDomain, kind: DeviceKind, dev: AnyDevice): Promise<void> {
  const { def, context, qmp, log } = domain
  const family = qemuFamily(kind)
  const warn = (error: unknown) => log.warn({ err: error, device: dev.alias }, 'a removed device has left something')
  try {
    const plug = new Plug(
      { def, context: { ...context, secrets: NO_SECRETS }, masterKey: NO_KEY },
      { passFd: NO_FILES }
    )
    family?.add?.(plug, dev)
    await plug.removeParts(qmp, warn)
  } catch (error) {
    warn(error)
  }
  try {
    await family?.host?.give(dev, hostGuest(domain))
  } catch (error) {
    warn(error)
  }
  family?.unplug?.(dev, def)
  domain.changed()
}
