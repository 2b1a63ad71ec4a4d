// A guest as the host's end of its devices knows it, without a QEMU.
import type { AnyDevice, DeviceKind } from '../../src/conf/devices/index.ts'
import type { DomainDef } from '../../src/conf/domain-def.ts'
import type { QemuContext } from '../../src/drivers/qemu/context.ts'
import type { HostGuest } from '../../src/drivers/qemu/device/family.ts'
import { qemuFamily } from '../../src/drivers/qemu/device/index.ts'
import { guestRoot } from '../../src/state/root.ts'
import { testContext } from './definition.ts'

/** @param dir the guest's directory @param warnings gets what could not be undone */
export function hostGuest(
  def: DomainDef,
  dir: string,
  { context = testContext(), warnings = [] }: { context?: QemuContext; warnings?: object[] } = {}
): HostGuest {
  return { def, context, root: guestRoot(dir), owner: {}, log: { warn: values => void warnings.push(values) } }
}

/** Makes the host's end of the devices of a list, as a start does. */
export async function takeDevices(kind: DeviceKind, guest: HostGuest): Promise<void> {
  for (const dev of guest.def.devices[kind] as AnyDevice[]) await qemuFamily(kind)?.host?.take(dev, guest)
}

/** Undoes it, as the end of a run does. */
export async function giveDevices(kind: DeviceKind, guest: HostGuest): Promise<void> {
  for (const dev of guest.def.devices[kind] as AnyDevice[]) await qemuFamily(kind)?.host?.give(dev, guest)
}
