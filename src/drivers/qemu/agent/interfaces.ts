// Interfaces and addresses as the guest's agent tells them (qemuAgentGetInterfaces).
import { virIPAddrType } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Agent } from './channel.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const wrong = (message: string) => fail('VIR_ERR_INTERNAL_ERROR', message)

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

/** What the agent says is the guest's word: of any shape. */
type Said = Readonly<Record<string, unknown>>

const textIn = (object: Said, name: string) => (typeof object[name] === 'string' ? object[name] : undefined)

/**
 * The guest's interfaces, each once: an alias (`eth0:1`) is its interface's.
 * @throws VIR_ERR_INTERNAL_ERROR for an answer of another form, and what Agent.execute throws
 */
export async function agentInterfaces(agent: Agent): Promise<AddressedInterface[]> {
  const list = await agent.execute('guest-network-get-interfaces')
  if (!Array.isArray(list)) throw wrong("qemu agent didn't return an array of interfaces")
  const found = new Map<string, AddressedInterface>()
  for (const one of list.map(entry => Object(entry) as Said)) {
    const said = textIn(one, 'name')
    if (said === undefined) throw wrong("qemu agent didn't provide 'name' field")
    const name = said.split(':')[0]!
    const hwaddr = textIn(one, 'hardware-address')
    const iface = found.get(name) ?? { name, ...(hwaddr !== undefined && { hwaddr }), addrs: [] }
    found.set(name, iface)
    const addresses = one['ip-addresses']
    if (addresses === undefined) continue
    if (!Array.isArray(addresses)) throw wrong('Malformed ip-addresses array')
    for (const address of addresses) iface.addrs.push(addressOf(Object(address), said))
  }
  return [...found.values()]
}

function addressOf(said: Said, name: string): InterfaceAddress {
  const type = textIn(said, 'ip-address-type')
  const addr = textIn(said, 'ip-address')
  const { prefix } = said
  if (type === undefined) throw wrong(`qemu agent didn't provide 'ip-address-type' field for interface '${name}'`)
  if (type !== 'ipv4' && type !== 'ipv6') throw wrong(`unknown ip address type '${type}'`)
  if (addr === undefined) throw wrong(`qemu agent didn't provide 'ip-address' field for interface '${name}'`)
  if (typeof prefix !== 'number' || !Number.isInteger(prefix) || prefix < 0 || prefix > 2 ** 32 - 1)
    throw wrong("malformed 'prefix' field")
  const { VIR_IP_ADDR_TYPE_IPV4, VIR_IP_ADDR_TYPE_IPV6 } = virIPAddrType
  return { type: type === 'ipv4' ? VIR_IP_ADDR_TYPE_IPV4 : VIR_IP_ADDR_TYPE_IPV6, addr, prefix }
}
