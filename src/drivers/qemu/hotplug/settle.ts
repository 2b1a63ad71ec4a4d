// Devices as a process before this one has left them: it did not live to see the guest give one up, or a medium changed.
import { parseDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { eachDeviceInfo } from '../../../conf/devices/index.ts'
import { settleMedium } from '../device/disk/media.ts'
import { qemuFamily } from '../device/index.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { plugIn } from './live-devices.ts'
import { liveGuest } from './live-guest.ts'
import { partsOf, removeDevice } from './removal.ts'

/**
 * Removes devices that the definition has and QEMU has not: given up by the guest while no shim listened, or told of by
 * a shim that did not live to see it done (qemuProcessUpdateDevices).
 */
export async function settleDevices(domain: QemuDomain): Promise<void> {
  if (!domain.isActive) return
  await settleMedia(domain)
  const { def, qmp } = domain
  const list = await qmp.execute<{ name: string }[]>('qom-list', { path: '/machine/peripheral' })
  const there = new Set(list.map(({ name }) => name))
  for (const [kind, dev] of [...eachDeviceInfo(def.devices)]) {
    if (dev.alias === undefined || there.has(dev.alias) || !qemuFamily(kind)?.unplug) continue
    if (partsOf(domain, kind, dev)?.hasDevice(dev.alias)) await removeDevice(domain, kind, dev)
  }
}

const driveOf = (xml: string) => parseDevice(xml, false, true)[1] as DiskDef

async function settleMedia(domain: QemuDomain): Promise<void> {
  const { media } = domain.running
  for (const [alias, { from, to }] of [...media]) {
    const drive = domain.def.devices.disks.find(disk => disk.alias === alias)
    try {
      if (drive) await settleMedium(drive, driveOf(from), driveOf(to), liveGuest(domain, plugIn))
    } catch (error) {
      domain.log.warn({ err: error, device: alias }, 'a change of medium that was cut short could not be settled')
    }
    media.delete(alias)
  }
}
