// The host's address in a libvirt network, for servers that listen there (qemuProcessGetNetworkAddress).
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { errorsFrom } from '../conf/error.ts'
import { childElements, firstChild, parseXml, type XmlElement } from '../conf/xml.ts'
import { hostFile } from './root.ts'

const fail = errorsFrom('VIR_FROM_NETWORK')

/** Directories of libvirt's network driver with its networks, the running ones first. */
const DIRECTORIES = ['/run/libvirt/network', '/etc/libvirt/qemu/networks']
/** Networks of these kinds have an address of their own; the others borrow that of a device. */
const OWN_ADDRESS = ['none', 'nat', 'route', 'open']

/**
 * The IPv4 or IPv6 address of the host in a network.
 * @throws VIR_ERR_NO_NETWORK for an unknown network, VIR_ERR_INTERNAL_ERROR for one without an address
 */
export function networkAddress(name: string): string {
  const network = readNetwork(name)
  const forward = firstChild(network, 'forward')
  if (OWN_ADDRESS.includes(forward ? (forward.attributes.mode ?? 'nat') : 'none')) {
    const address = firstChild(network, 'ip')?.attributes.address
    if (!address) throw fail('VIR_ERR_INTERNAL_ERROR', `network '${name}' doesn't have an IP address`)
    return address
  }
  const device =
    firstChild(network, 'bridge')?.attributes.name ??
    (forward && childElements(forward, 'interface')[0]?.attributes.dev)
  if (!device) throw fail('VIR_ERR_INTERNAL_ERROR', `network '${name}' has no associated interface or bridge`)
  const address = networkInterfaces()[device]?.[0]?.address
  if (!address) throw fail('VIR_ERR_INTERNAL_ERROR', `Error getting IP address for interface '${device}'`)
  return address
}

function readNetwork(name: string): XmlElement {
  if (!name.includes('/')) {
    for (const directory of DIRECTORIES) {
      let text: string
      try {
        text = readFileSync(hostFile(join(directory, `${name}.xml`)), 'utf8')
      } catch {
        continue
      }
      const root = parseXml(text, '(network_definition)')
      return root.name === 'networkstatus' ? (firstChild(root, 'network') ?? root) : root
    }
  }
  throw fail('VIR_ERR_NO_NETWORK', `no network with matching name '${name}'`)
}
