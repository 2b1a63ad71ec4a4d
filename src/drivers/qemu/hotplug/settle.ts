// Devices as a process before this one has left them: it did not live to see the guest give one up, or a medium changed.
import { parseDevice } from '../../../conf/device-xml.ts'
import type { DiskDef } from '../../../conf/devices/disk.ts'
import { eachDeviceInfo } from '../../../conf/devices/index.ts'
import { storageImages } from '../../../conf/storage/chain.ts'
import { numberOfNode } from '../block/node-names.ts'
import { settleMedium } from '../device/disk/media.ts'
import { qemuFamily } from '../device/index.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { plugIn } from './live-devices.ts'
import { liveGuest } from './live-guest.ts'
import { leftBy, partsOf, removeDevice } from './removal.ts'
import { deviceHolder, unplugged } from './unplug.ts'

/**
 * Removes devices that the definition has and QEMU has not: given up by the guest while no shim listened, or told of by
 * a shim that did not live to see it done (qemuProcessUpdateDevices). Asks again for those that are to go, and removes
 * block nodes that no image has any more.
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
  const warn = leftBy(domain)
  for (const alias of domain.running.leaving) await unplugged(deviceHolder(domain), alias, false).catch(warn)
  await removeOrphans(domain).catch(warn)
}

/** Removes nodes of images that QEMU had not let go of when their disk or drive did. */
async function removeOrphans({ def, qmp }: QemuDomain): Promise<void> {
  const images = def.devices.disks.flatMap(({ source, mirror }) => [source, ...(mirror ? [mirror.source] : [])])
  const filters = def.devices.disks.flatMap(({ throttlefilters = [] }) => throttlefilters)
  const known = new Set([...images.flatMap(storageImages), ...filters].map(({ index }) => index))
  // QEMU has the last one first: what stands on others before them
  const nodes = await qmp.execute<{ 'node-name': string }[]>('query-named-block-nodes', { flat: true })
  for (const { 'node-name': node } of nodes) {
    const number = numberOfNode(node)
    // one that somebody uses is no orphan
    if (number !== undefined && !known.has(number))
      await qmp.execute('blockdev-del', { 'node-name': node }).catch(() => undefined)
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
