// Interfaces in a command line that is only shown (qemuConnectDomainXMLToNative).
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { networkHostdev } from '../../../../conf/devices/interface-hostdev.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'

/**
 * Turns every interface into a plain one of type ethernet, as libvirt does for domxml-to-native: what its host's end
 * would be is not known before a start. Card model, MAC address and script stay; the guest address is chosen anew. Cards that are host devices stay in that guise besides.
 */
export function asPlainInterfaces(def: DomainDef): void {
  const cards = def.devices.interfaces.flatMap(card => {
    const dev = networkHostdev(card)
    return dev ? [{ source: dev.source, boot: dev.boot, rom: dev.rom }] : []
  })
  def.devices.hostdevs.unshift(...cards)
  def.devices.interfaces = def.devices.interfaces.map(({ mac, model, script }): InterfaceDef => {
    return {
      type: 'ethernet',
      mac,
      source: { type: 'ethernet' },
      portForwards: [],
      ...(model !== undefined && { model }),
      ...(script !== undefined && { script })
    }
  })
}
