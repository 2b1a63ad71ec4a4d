// A macvtap device follows what the guest sets on its card: address, multicast, promiscuous mode.
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import { runHostCommand } from '../../../host/command.ts'
import type { QemuDomain } from '../domain/domain.ts'

interface RxFilter {
  promiscuous: boolean
  multicast: 'normal' | 'none' | 'all'
  'multicast-overflow': boolean
  'main-mac': string
  'multicast-table': string[]
  'vlan-table': number[]
}

/** Shows the address the guest has given its card beside the one it was given, and tells of it. */
function noteAddress(domain: QemuDomain, dev: InterfaceDef, address: string): void {
  const current = address === dev.mac ? undefined : address
  if (current === dev.currentMac) return
  const change = { alias: dev.alias!, oldMAC: dev.currentMac ?? dev.mac!, newMAC: address }
  domain.events.emit('VIR_DOMAIN_EVENT_ID_NIC_MAC_CHANGE', change)
  if (current === undefined) delete dev.currentMac
  else dev.currentMac = current
  domain.changed()
}

/** Asks QEMU for a card's filter, so that it tells the next change, and takes it over (qemuDomainSyncRxFilter). */
export async function syncRxFilter(domain: QemuDomain, dev: InterfaceDef): Promise<void> {
  domain.checkActive()
  const [filter] = await domain.qmp.execute<RxFilter[]>('query-rx-filter', { name: dev.alias })
  if (!filter) return
  noteAddress(domain, dev, filter['main-mac'])
  const name = dev.target?.dev
  if (dev.source.type !== 'direct' || name === undefined) return
  const onOff = (on: boolean) => (on ? 'on' : 'off')
  const { promiscuous, multicast } = filter
  const all = multicast === 'all' || (multicast === 'normal' && filter['multicast-overflow'])
  // VLANs are not filtered by the host's device, so it has to take everything
  const everything = promiscuous || filter['vlan-table'].length > 0
  const modes = ['promisc', onOff(everything), 'multicast', onOff(multicast !== 'none'), 'allmulticast', onOff(all)]
  await runHostCommand('ip', ['link', 'set', 'dev', name, 'address', filter['main-mac'], ...modes])
  for (const address of filter['multicast-table']) {
    await runHostCommand('ip', ['maddress', 'add', address, 'dev', name]).catch(error =>
      domain.log.debug({ err: error }, 'multicast address is there already')
    )
  }
}
