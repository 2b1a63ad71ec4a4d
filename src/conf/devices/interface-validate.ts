// Checks of an <interface> that need no hypervisor (virDomainNetDefValidate).
import { errorsFrom } from '../error.ts'
import { checkBandwidth } from '../net/bandwidth.ts'
import type { InterfaceDef } from './interface.ts'
import { isVirtioModel } from './interface-driver.ts'
import { checkNoVirtioOptions } from './virtio-options.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')
const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)

/** libvirt's checks, in its order. */
export function validateInterface(dev: InterfaceDef): void {
  const { type, source } = dev
  if (source.hostIp && type !== 'ethernet') {
    throw unsupported(
      `Invalid attempt to set network interface host-side IP route and/or address info on interface of type '${type}'. ` +
        "This is only supported on interfaces of type 'ethernet'"
    )
  }
  if (dev.target?.managed === false && type !== 'ethernet') {
    throw unsupported(`unmanaged target dev is not supported on interfaces of type '${type}'`)
  }
  checkTeaming(dev)
  checkPortOptions(dev)
  if (!isVirtioModel(dev.model)) checkNoVirtioOptions(dev.driver)
  checkPasst(dev)
  checkBandwidth(dev.bandwidth)
}

/** What passt can serve, and what only passt does. */
function checkPasst({ type, source: { passt }, portForwards }: InterfaceDef): void {
  const canServe = type === 'user' || type === 'vhostuser'
  if (passt && !canServe) {
    throw unsupported("The 'passt' backend can only be used with interface type='user' or type='vhostuser'")
  }
  if (portForwards.length > 0 && !passt) {
    throw unsupported(
      "The <portForward> element can only be used with the 'passt' backend of interface type='user' or type='vhostuser'"
    )
  }
  const ranges = portForwards.flatMap(forward => forward.ranges)
  if (ranges.some(({ start, end, to, exclude }) => start === undefined && (end ?? to ?? exclude) !== undefined)) {
    throw unsupported(
      "The 'range' of a 'portForward' requires 'start' attribute if 'end', 'to', or 'exclude' is specified"
    )
  }
}

function checkTeaming({ teaming }: InterfaceDef): void {
  if (teaming?.type === 'transient' && teaming.persistent === undefined) {
    throw unsupported("teaming persistent attribute must be set if teaming type is 'transient'")
  }
  if (teaming?.type === 'persistent' && teaming.persistent !== undefined) {
    throw unsupported("teaming persistent attribute not allowed if teaming type is 'persistent'")
  }
}

/** Only a port of a Linux bridge can be isolated (virDomainNetDefValidatePortOptions). */
export function checkPortOptions({ mac, type, virtualPort, isolated }: InterfaceDef): void {
  if (!isolated) return
  const refused = (what: string) =>
    unsupported(`interface ${mac} - <port isolated='yes'/> is not supported for network interfaces with ${what}`)
  if (type !== 'network' && type !== 'bridge') throw refused(`type='${type}'`)
  if (virtualPort?.type !== undefined) throw refused(`virtualport type='${virtualPort.type}'`)
}
