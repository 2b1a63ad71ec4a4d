// Events about the guest's devices.
import { virConnectDomainEventAgentLifecycleReason, virDomainEventTrayChangeReason } from '../../../conf/enums.ts'
import { isLocalStorage } from '../../../conf/storage/source.ts'
import { setRdmaAddress } from '../../../host/rdma.ts'
import { MANAGED_PR_MANAGER } from '../block/node-names.ts'
import { diskOfDevice, imageOfNode } from '../device/disk/lookup.ts'
import { hasManagedReservations, startReservationsHelper } from '../device/disk/pr-helper.ts'
import { startPasst } from '../device/interface/passt.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { hostGuest } from '../domain/host-guest.ts'
import { isVcpuEjected, refusedEjection } from '../hotplug/ejection.ts'
import { portChanged } from '../process/agent-port.ts'
import { currentMemoryKiB } from '../process/balloon.ts'
import { setTray } from '../process/trays.ts'
import { flagOf, type Handlers, integerOf, kibOf, objectOf, textOf } from './handler.ts'
import { syncRxFilter } from './rx-filter.ts'

const TRAY = virDomainEventTrayChangeReason
const { VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL } = virConnectDomainEventAgentLifecycleReason

function removalFailed(domain: QemuDomain, devAlias: string, timestampUs: number): void {
  domain.events.emit('VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED', { devAlias }, timestampUs)
}

/** A vCPU is gone; a call that waits for it has seen to that by itself. */
const removeVcpu = (domain: QemuDomain, alias?: string) =>
  domain.jobs.run('modify', { api: 'vcpu-removal' }, async () => {
    await (await import('../hotplug/vcpus.ts')).vcpuGone(domain, alias)
  })

/** A card's passt went away: QEMU connects to the next by itself (processNetdevDisconnectedEvent). */
async function restartPasst(domain: QemuDomain, data: Record<string, unknown>): Promise<void> {
  const name = textOf(data, 'netdev-id')
  await domain.jobs.run('query', { api: 'passt' }, async () => {
    if (!domain.isActive) return
    const dev = domain.def.devices.interfaces.find(({ alias }) => name === `host${alias}`)
    if (!dev?.source.passt) return
    domain.log.warn({ alias: dev.alias }, 'passt is gone, starting it again')
    await startPasst(dev, hostGuest(domain))
  })
}

export const deviceEvents: Handlers = {
  /** Parts of devices go, too: they have no name, or none that the definition knows. */
  async DEVICE_DELETED(domain, { device }, timestampUs) {
    if (typeof device !== 'string') return
    if (device.startsWith('vcpu')) return removeVcpu(domain, device)
    const { removableDevice, removeDevice } = await import('../hotplug/removal.ts')
    if (!domain.isActive || !removableDevice(domain.def, device)) return
    await domain.jobs.run('modify', { api: 'device-removal' }, async () => {
      const found = domain.isActive && removableDevice(domain.def, device)
      if (!found) return
      await removeDevice(domain, ...found, timestampUs)
    })
  },

  DEVICE_UNPLUG_GUEST_ERROR(domain, { device }, timestampUs) {
    if (typeof device === 'string') removalFailed(domain, device, timestampUs)
  },

  /** libvirt looks at modules of memory only; QEMU under TCG has no other word for a vCPU that is gone. */
  ACPI_DEVICE_OST(domain, data, timestampUs) {
    const info = objectOf(data, 'info')
    if (isVcpuEjected(info)) return removeVcpu(domain)
    const refused = refusedEjection(info)
    if (refused !== undefined) removalFailed(domain, refused, timestampUs)
  },

  DEVICE_TRAY_MOVED(domain, data, timestampUs) {
    const disk = diskOfDevice(domain.def, String(data.device || data.id || ''))
    if (!disk?.alias) return
    const open = flagOf(data, 'tray-open')
    const reason = open ? TRAY.VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN : TRAY.VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE
    setTray(disk, open)
    domain.changedByGuest()
    domain.events.emit('VIR_DOMAIN_EVENT_ID_TRAY_CHANGE', { devAlias: disk.alias, reason }, timestampUs)
  },

  /** Told for the disk by its target, and for the image by its number in the chain. */
  BLOCK_WRITE_THRESHOLD(domain, data, timestampUs) {
    const threshold = integerOf(data, 'write-threshold')
    const excess = integerOf(data, 'amount-exceeded')
    const node = textOf(data, 'node-name')
    const found = imageOfNode(domain.def, node)
    if (!found?.disk.target?.dev) return
    const { disk, source } = found
    const path = isLocalStorage(source) ? source.path : undefined
    const names = [
      ...(source === disk.source && !domain.run?.indexedThresholds.has(node) ? [disk.target!.dev!] : []),
      ...(source.index ? [`${disk.target!.dev}[${source.index}]`] : [])
    ]
    for (const dev of names)
      domain.events.emit('VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD', { dev, path, threshold, excess }, timestampUs)
  },

  VSERPORT_CHANGE(domain, data, timestampUs) {
    const reason = VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL
    portChanged(domain, textOf(data, 'id'), flagOf(data, 'open'), reason, timestampUs)
    domain.changedByGuest()
  },

  /** QEMU tells again only after it has been asked, which is left out for guests that are not trusted. */
  async NIC_RX_FILTER_CHANGED(domain, data) {
    const name = textOf(data, 'name')
    const dev = domain.def.devices.interfaces.find(({ alias }) => alias === name)
    if (dev?.trustGuestRxFilters) await domain.jobs.run('query', { api: 'rx-filter' }, () => syncRxFilter(domain, dev))
  },

  /** The guest set its clock. QEMU counts from the start's base, libvirt's event from UTC. */
  RTC_CHANGE(domain, data, timestampUs) {
    const { clock } = domain.def
    let utcoffset = integerOf(data, 'offset')
    if (clock.offset === 'variable') {
      utcoffset += clock.adjustment0 ?? 0n
      clock.adjustment = utcoffset
      domain.changed()
    }
    domain.events.emit('VIR_DOMAIN_EVENT_ID_RTC_CHANGE', { utcoffset }, timestampUs)
  },

  /** QEMU's balloon does not know of virtio-mem, libvirt's current memory does. */
  BALLOON_CHANGE(domain, data, timestampUs) {
    const actual = kibOf(integerOf(data, 'actual'))
    domain.def.currentMemoryKiB = currentMemoryKiB(domain.def, actual)
    domain.changed()
    domain.events.emit('VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE', { actual }, timestampUs)
  },

  MEMORY_DEVICE_SIZE_CHANGE(domain, data, timestampUs) {
    const alias = textOf(data, 'id')
    const size = kibOf(integerOf(data, 'size'))
    const memory = domain.def.devices.memories.find(one => one.alias === alias)
    if (!memory) return
    const { def } = domain
    def.currentMemoryKiB = (def.currentMemoryKiB ?? 0) - (memory.target.currentKiB ?? 0) + size
    memory.target.currentKiB = size
    domain.changed()
    domain.events.emit('VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE', { alias, size }, timestampUs)
  },

  NETDEV_STREAM_DISCONNECTED: restartPasst,
  NETDEV_VHOST_USER_DISCONNECTED: restartPasst,

  /** The helper for persistent reservations went away. */
  async PR_MANAGER_STATUS_CHANGED(domain, data) {
    if (flagOf(data, 'connected') || textOf(data, 'id') !== MANAGED_PR_MANAGER || !domain.isActive) return
    if (!hasManagedReservations(domain.def)) return
    domain.log.warn({}, 'qemu-pr-helper is gone, starting it again')
    await startReservationsHelper(hostGuest(domain))
  },

  /** Gives or takes an address of the host's RDMA device, as the guest's paravirtual one has it. */
  async RDMA_GID_STATUS_CHANGED(domain, data) {
    if (!domain.isActive) return
    const prefix = integerOf(data, 'subnet-prefix')
    await setRdmaAddress(textOf(data, 'netdev'), flagOf(data, 'gid-status'), prefix, integerOf(data, 'interface-id'))
  }
}
