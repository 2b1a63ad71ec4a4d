// Interfaces in a command line that is only shown (qemuConnectDomainXMLToNative).
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'

/**
 * Turns every interface into a plain one of type ethernet, as libvirt does for domxml-to-native: what its host's end
 * would be is not known before a start. Card model, MAC address and script stay; the guest address is chosen anew.
 */
export function asPlainInterfaces(def: DomainDef): void {
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
