// Devices that come, go and change, in the definitions that a call means: all of it or nothing.
import type { Device } from '../../../conf/device-xml.ts'
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import { virDomainEventDefinedDetailType, virDomainEventType } from '../../../conf/enums.ts'
import type { Meant } from '../../method.ts'
import { loadDevice } from '../definition/passes.ts'
import {
  deviceWithAlias,
  type PreparedChange,
  prepareAttach,
  prepareDetach,
  prepareDetachAlias,
  prepareUpdate
} from '../domain/config-devices.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { attachLive, detachLive, updateLive } from './live-devices.ts'

/** Adds a device (qemuDomainAttachDeviceLiveAndConfig). @throws as prepareAttach and attachLive */
export async function attachDevice(domain: QemuDomain, xml: string, { live, config }: Meant): Promise<void> {
  const kept = config && prepareAttach(domain, xml)
  if (live) await attachLive(domain, xml, device => kept?.device && sameAs(kept.device, device))
  commit(domain, kept)
}

/** A card has one MAC address, also where it was drawn (qemuDomainAttachDeviceLiveAndConfigHomogenize). */
function sameAs([kind, kept]: Device, [, dev]: Device): void {
  if (kind === 'interfaces') (dev as InterfaceDef).mac = (kept as InterfaceDef).mac
}

/** Removes the device that is described (qemuDomainDetachDeviceLiveAndConfig). @throws as prepareDetach and detachLive */
export async function detachDevice(domain: QemuDomain, xml: string, { live, config }: Meant): Promise<void> {
  const { def, context } = domain
  const kept = config && prepareDetach(domain, xml, !live)
  if (live) {
    await detachLive(domain, loadDevice(xml, def, context, { check: false, inactive: false }), { wait: true })
  }
  commit(domain, kept)
}

/**
 * Removes the device of that alias (qemuDomainDetachDeviceAliasLiveAndConfig). A guest that runs is asked only; an event
 * tells when it has given it up.
 * @throws as prepareDetachAlias and detachLive
 */
export async function detachDeviceAlias(domain: QemuDomain, alias: string, { live, config }: Meant): Promise<void> {
  const kept = config && prepareDetachAlias(domain, alias)
  if (live) await detachLive(domain, deviceWithAlias(live, alias), { wait: false })
  // libvirt tells nobody
  kept?.commit()
}

/**
 * Changes a device into what is described (qemuDomainUpdateDeviceFlags).
 * @param force VIR_DOMAIN_DEVICE_MODIFY_FORCE
 * @throws as prepareUpdate and updateLive
 */
export async function updateDevice(
  domain: QemuDomain,
  xml: string,
  { live, config }: Meant,
  force: boolean
): Promise<void> {
  const device = live && loadDevice(xml, domain.def, domain.context, { inactive: false })
  const kept = config && prepareUpdate(domain, xml, !live)
  if (device) await updateLive(domain, device, force)
  commit(domain, kept)
}

/** Puts a change in force and tells of it. */
function commit(domain: QemuDomain, kept: PreparedChange | undefined): void {
  if (!kept) return
  kept.commit()
  domain.lifecycle(
    virDomainEventType.VIR_DOMAIN_EVENT_DEFINED,
    virDomainEventDefinedDetailType.VIR_DOMAIN_EVENT_DEFINED_UPDATED
  )
}
