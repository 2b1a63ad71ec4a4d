// Interfaces on libvirt's networks: a start asks the network driver for a port, which says what the interface really is,
// a bridge's or a host device's, and is given back after the run (virDomainNetAllocateActualDevice).
import { type InterfaceDef, interfaceFields } from '../../../../conf/devices/interface.ts'
import type { InterfaceSource, InterfaceSourceOf } from '../../../../conf/devices/interface-source.ts'
import { formatFieldsInto, parseFields } from '../../../../conf/element.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { bandwidth } from '../../../../conf/net/bandwidth.ts'
import { virtualPort } from '../../../../conf/net/virtual-port.ts'
import { randomUUID } from '../../../../conf/random.ts'
import { element, firstChild, formatXml, parseXml } from '../../../../conf/xml.ts'
import type { HostEnd } from '../family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const LIVE = { inactive: false, secure: true, migratable: false }

/** Elements an interface and its port have in common, as the port's XML has them (virNetworkPortDefFormatBuf). */
const SHARED = {
  virtualPort: virtualPort(() => 'partial'),
  bandwidth: bandwidth(() => true),
  vlan: interfaceFields.vlan,
  isolated: interfaceFields.isolated
}

/** The settings of ports this process has asked for; the network's may be among them. */
const settings = new WeakMap<InterfaceDef, Partial<InterfaceDef>>()

type OnNetwork = InterfaceDef & { source: InterfaceSourceOf<'network'> }
const isOnNetwork = (dev: InterfaceDef): dev is OnNetwork => dev.source.type === 'network'

/** An interface as it is on the host: one on a network becomes the bridge's or device's it is plugged into. */
export function actualInterface(dev: InterfaceDef): InterfaceDef {
  const source = actualSource(dev)
  if (source === dev.source) return dev
  return { ...dev, ...settings.get(dev), type: source.type, source }
}

/** An interface's source on the host: that of its port where it is plugged into a network. */
export function actualSource({ source }: InterfaceDef): InterfaceSource {
  if (source.type !== 'network') return source
  const { bridge, dev, mode = 'vepa' } = source
  if (bridge !== undefined) return { type: 'bridge', bridge }
  return dev === undefined ? source : { type: 'direct', dev, mode }
}

export const networkPort = {
  async check(dev, { context: { drivers } }) {
    if (!isOnNetwork(dev)) return
    if (!drivers) throw noDriver()
    await (await drivers()).checkNetwork(dev.source.network)
  },
  /**
   * Gets a port for an interface on a network; the live definition then says where it is plugged in.
   * @throws what the network driver says, VIR_ERR_NO_SUPPORT without one
   */
  async take(dev, { def, context: { drivers } }) {
    if (!isOnNetwork(dev)) return
    if (!drivers) throw noDriver()
    const { source } = dev
    const port = await (await drivers()).createPort(source.network, formatPort(dev, def))
    source.portid = port.uuid
    plug(dev, port.xml)
  },
  /** Gives the port back, also that of a former process; what cannot be given back is told in the log. */
  async give(dev, { context, log }) {
    if (!isOnNetwork(dev) || dev.source.portid === undefined) return
    const { network, portid } = dev.source
    try {
      await (await context.drivers?.())?.deletePort(network, portid)
    } catch (error) {
      log.warn({ err: error, network }, 'a network still holds a port')
    }
    for (const name of ['portid', 'plug', 'bridge', 'macTableManager', 'dev', 'mode'] as const) delete dev.source[name]
    settings.delete(dev)
  }
} satisfies HostEnd<InterfaceDef>

const noDriver = () => fail('VIR_ERR_NO_SUPPORT', 'interface type network needs a network driver')

/** Has an interface stay plugged in where another, whose place it takes, is. */
export function takeOverPort(dev: InterfaceDef, from: InterfaceDef): void {
  if (!isOnNetwork(dev) || !isOnNetwork(from)) return
  const { portgroup } = dev.source
  const { portgroup: _, ...port } = from.source
  dev.source = { ...port, ...(portgroup !== undefined && { portgroup }) }
  const given = settings.get(from)
  if (given) settings.set(dev, given)
}

function formatPort(dev: OnNetwork, owner: { name: string; uuid: string }): string {
  const node = element('networkport', {}, [
    element('uuid', {}, [randomUUID()]),
    element('owner', {}, [element('name', {}, [owner.name]), element('uuid', {}, [owner.uuid])])
  ])
  const { portgroup } = dev.source
  if (portgroup !== undefined) node.children.push(element('group', {}, [portgroup]))
  node.children.push(element('mac', { address: dev.mac }))
  formatFieldsInto(node, dev, SHARED, LIVE)
  if (dev.trustGuestRxFilters !== undefined) {
    node.children.push(element('rxfilters', { trustGuest: dev.trustGuestRxFilters ? 'yes' : 'no' }))
  }
  return formatXml(node)
}

/** Takes over where a port is plugged in (virDomainNetDefActualFromNetworkPort). */
function plug(dev: OnNetwork, xml: string): void {
  const node = parseXml(xml, '(networkport)')
  const { type, bridge, macTableManager, ...direct } = firstChild(node, 'plug')?.attributes ?? {}
  const { source } = dev
  if ((type === 'network' || type === 'bridge') && bridge !== undefined) {
    Object.assign(source, { plug: type, bridge, macTableManager })
  } else if (type === 'direct') Object.assign(source, { plug: type, ...direct })
  else {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `a port of type '${type}' of network '${source.network}' cannot be used`)
  }
  settings.set(dev, parseFields(node, SHARED, { inactive: false }))
}
