// Interfaces and addresses as the guest's agent tells them (qemuAgentGetInterfaces).
import { virIPAddrType } from '../../../conf/enums.ts'
import { entriesOf, malformed, type Said, textIn, uintIn } from './answer.ts'

export interface InterfaceAddress {
  /** virIPAddrType */
  type: number
  addr: string
  prefix: number
}

export interface AddressedInterface {
  name: string
  hwaddr?: string
  addrs: InterfaceAddress[]
}

/**
 * The guest's interfaces, each once: an alias (`eth0:1`) is its interface's.
 * @param answer of guest-network-get-interfaces
 * @throws VIR_ERR_INTERNAL_ERROR for one of another form
 */
export function interfacesIn(answer: unknown): AddressedInterface[] {
  const found = new Map<string, AddressedInterface>()
  for (const one of entriesOf(answer, "qemu agent didn't return an array of interfaces")) {
    const said = textIn(one, 'name')
    if (said === undefined) throw malformed("qemu agent didn't provide 'name' field")
    const name = said.split(':')[0]!
    const hwaddr = textIn(one, 'hardware-address')
    const iface = found.get(name) ?? { name, ...(hwaddr !== undefined && { hwaddr }), addrs: [] }
    found.set(name, iface)
    const addresses = one['ip-addresses']
    if (!Array.isArray(addresses)) continue
    for (const address of addresses) iface.addrs.push(addressOf(Object(address), said))
  }
  return [...found.values()]
}

function addressOf(said: Said, name: string): InterfaceAddress {
  const type = textIn(said, 'ip-address-type')
  const addr = textIn(said, 'ip-address')
  const prefix = uintIn(said, 'prefix')
  if (type === undefined) throw malformed(`qemu agent didn't provide 'ip-address-type' field for interface '${name}'`)
  if (type !== 'ipv4' && type !== 'ipv6') throw malformed(`unknown ip address type '${type}'`)
  if (addr === undefined) throw malformed(`qemu agent didn't provide 'ip-address' field for interface '${name}'`)
  if (prefix === undefined) throw malformed("malformed 'prefix' field")
  const { VIR_IP_ADDR_TYPE_IPV4, VIR_IP_ADDR_TYPE_IPV6 } = virIPAddrType
  return { type: type === 'ipv4' ? VIR_IP_ADDR_TYPE_IPV4 : VIR_IP_ADDR_TYPE_IPV6, addr, prefix }
}
