// Changes to a card of a running guest: its cable, limits, bridge and the like; the card itself is fixed
// (qemuDomainChangeNet).
import { isDeepStrictEqual } from 'node:util'
import type { InterfaceDef } from '../../../../conf/devices/interface.ts'
import { type InterfaceDriver, isVirtioModel } from '../../../../conf/devices/interface-driver.ts'
import type { InterfaceSource, InterfaceType } from '../../../../conf/devices/interface-source.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import type { LiveGuest } from '../family.ts'
import { actualInterface, networkPort, takeOverPort } from './network-port.ts'
import { checkPossible, ip, isNetworkDevice, mtuOf, setCoalesce } from './tap.ts'
import { replaceBandwidth } from './tap-bandwidth.ts'
import { setVlans } from './tap-vlan.ts'
import { validateActualInterface } from './validate.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const unsupported = (message: string) => fail('VIR_ERR_OPERATION_UNSUPPORTED', message)

/** Types whose cards are as they are. */
const FIXED: readonly InterfaceType[] = ['hostdev', 'vdpa']
/** Types that nothing can be changed of but by plugging in another. */
const CLOSED: readonly InterfaceType[] = ['vhostuser', 'null', 'vds']
const FILTERED: readonly InterfaceType[] = ['ethernet', 'bridge', 'network']

/**
 * Makes of a card what is described, or leaves it as it was. The description takes the place of the card in the
 * definition where more has changed than the cable.
 * @throws VIR_ERR_OPERATION_UNSUPPORTED for what cannot change, VIR_ERR_OPERATION_FAILED for a bridge that is not there,
 * VIR_ERR_SYSTEM_ERROR and others with the words of kernel and tools
 */
export async function changeInterface(dev: InterfaceDef, there: InterfaceDef, guest: LiveGuest): Promise<void> {
  const before = actualInterface(there)
  if (FIXED.includes(before.type)) throw unsupported(`cannot change config of '${before.type}' network interface type`)
  keepWhatIsUnsaid(dev, there)
  for (const check of CHECKS) check(dev, there)
  const isNewPort = await choosePort(dev, there, guest)
  try {
    const after = actualInterface(dev)
    if (isNewPort) validateActualInterface(after)
    checkConnection(dev, there, after, before)
    const changes = CHANGES.filter(({ isMeant }) => isMeant(after, before))
    await carryOut(changes, after, before, guest)
    const isReplaced = isNewPort || dev.type !== there.type || changes.some(({ isOfCable }) => !isOfCable)
    if (isReplaced) await replace(dev, there, guest)
    else setLinkState(there, dev.link)
  } catch (error) {
    if (isNewPort) await networkPort.give(dev, guest)
    throw error
  }
}

/** Names and places that a description may leave out. */
function keepWhatIsUnsaid(dev: InterfaceDef, there: InterfaceDef): void {
  const name = there.target?.dev
  if (dev.target?.dev === undefined && name !== undefined) dev.target = { ...dev.target, dev: name }
  if (there.address) dev.address ??= there.address
  if (there.alias !== undefined) dev.alias ??= there.alias
  if (there.currentMac !== undefined) dev.currentMac ??= there.currentMac
}

type Check = (dev: InterfaceDef, there: InterfaceDef) => void

/** Refuses a change of what `of` gives. */
const fixed =
  (what: string, of: (dev: InterfaceDef) => unknown): Check =>
  (dev, there) => {
    if (!isDeepStrictEqual(of(dev), of(there))) throw unsupported(`cannot modify ${what}`)
  }

const NONE: InterfaceDriver = {}
const virtioAttributes = ({ driver }: InterfaceDef) => {
  const { iommu, ats, packed, pagePerVq, ...attributes } = driver ?? NONE
  return attributes
}
const virtioOptions = ({ driver }: InterfaceDef) => {
  const { iommu, ats, packed, pagePerVq } = driver ?? NONE
  return [iommu, ats, packed, pagePerVq]
}

/** In libvirt's order. */
const CHECKS: readonly Check[] = [
  (dev, there) => {
    if (dev.mac === there.mac) return
    throw unsupported(`cannot change network interface mac address from ${there.mac} to ${dev.mac}`)
  },
  (dev, there) => {
    if (dev.model === there.model) return
    const [from, to] = [there.model ?? '<null>', dev.model ?? '<null>']
    throw unsupported(`cannot modify network device model from ${from} to ${to}`)
  },
  fixed('virtio network device driver attributes', dev => isVirtioModel(dev.model) && virtioAttributes(dev)),
  fixed('virtio network device driver options', virtioOptions),
  fixed('network device script attribute', ({ script }) => script),
  fixed('network device tap name', ({ target }) => target?.dev),
  fixed('network device guest PCI address', ({ address }) => address),
  fixed('network device rom bar setting', ({ rom }) => rom?.bar),
  fixed('network rom file', ({ rom }) => rom?.file),
  fixed('network device boot index setting', ({ boot }) => boot?.order),
  fixed('network device rom enabled setting', ({ rom }) => rom?.enabled),
  fixed('MTU', ({ mtu }) => mtu),
  fixed('network device backend settings', ({ backend }) => backend ?? {})
]

/**
 * Gets a card on a network a port there, or leaves it the one it has: a device of the host is not changed for another.
 * @returns true if there is a new one
 */
async function choosePort(dev: InterfaceDef, there: InterfaceDef, guest: LiveGuest): Promise<boolean> {
  if (dev.source.type !== 'network') return false
  const isSame = there.source.type === 'network' && there.source.network === dev.source.network
  if (!isSame || actualInterface(there).type !== 'direct') {
    await networkPort.take(dev, guest)
    return true
  }
  takeOverPort(dev, there)
  return false
}

/** Refuses what would take QEMU's end of the connection anew. */
function checkConnection(
  dev: InterfaceDef,
  there: InterfaceDef,
  { type, source, virtualPort, sndbuf }: InterfaceDef,
  before: InterfaceDef
): void {
  if (FIXED.includes(type)) throw unsupported(`cannot change network interface type to '${type}'`)
  const stays = () => unsupported(`unable to change config on '${dev.type}' network type`)
  if (dev.type === there.type && type === before.type) {
    if (CLOSED.includes(dev.type)) throw stays()
    if (portgroupOf(dev) !== portgroupOf(there)) {
      throw unsupported('cannot modify network device portgroup attribute')
    }
  }
  const isMovable = type === before.type || (bridgeOf(source) && bridgeOf(before.source))
  const isMacvtap = type === 'direct'
  const isSameDevice =
    isDeepStrictEqual(fixedPlace(source), fixedPlace(before.source)) &&
    (!isMacvtap || isDeepStrictEqual(virtualPort, before.virtualPort))
  if (!isMovable || !isSameDevice || sndbuf !== before.sndbuf) throw stays()
}

const portgroupOf = ({ source }: InterfaceDef) => (source.type === 'network' ? source.portgroup : undefined)
const bridgeOf = (source: InterfaceSource) => (source.type === 'bridge' ? source.bridge : undefined)

/** What a connection is to, where that cannot change. */
function fixedPlace(source: InterfaceSource): unknown[] {
  switch (source.type) {
    case 'server':
    case 'client':
    case 'mcast':
    case 'udp':
      return [source.address, source.port]
    case 'internal':
      return [source.name]
    case 'direct':
      return [source.dev, source.mode]
    default:
      return []
  }
}

/** One thing that can change; undone by the change back. */
interface Change {
  isMeant(to: InterfaceDef, from: InterfaceDef): boolean
  make(to: InterfaceDef, guest: LiveGuest): Promise<unknown>
  /** it alone leaves the card in the definition what it is */
  isOfCable?: true
}

const differs =
  (of: (dev: InterfaceDef) => unknown) =>
  (to: InterfaceDef, from: InterfaceDef): boolean =>
    !isDeepStrictEqual(of(to), of(from))

const nameOf = ({ target }: InterfaceDef): string => target?.dev ?? ''

const isBridgeMeant = (to: InterfaceDef, from: InterfaceDef): boolean =>
  (to.source.type === 'bridge' && differs(dev => [bridgeOf(dev.source), dev.virtualPort])(to, from)) ||
  differs(({ vlan }) => vlan)(to, from)

/** In libvirt's order; what is new of a bridge's port comes with the bridge. */
const CHANGES: readonly Change[] = [
  {
    isMeant: differs(({ bandwidth }) => bandwidth),
    // the former limits are made again like all that fails
    make: to => replaceBandwidth(nameOf(to), { before: undefined, after: to.bandwidth }, to.type === 'direct')
  },
  { isMeant: isBridgeMeant, make: moveToBridge },
  {
    isMeant: (to, from) => differs(({ isolated }) => isolated)(to, from) && !isBridgeMeant(to, from),
    make: to => isolate(to)
  },
  {
    isMeant: differs(({ filterref }) => filterref),
    async make(to) {
      if (FILTERED.includes(to.type)) checkPossible(to)
      else throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `filters not supported on interfaces of type ${to.type}`)
    }
  },
  { isMeant: differs(({ coalesce }) => coalesce), make: to => setCoalesce(nameOf(to), to.coalesce ?? 0) },
  {
    isMeant: differs(({ trustGuestRxFilters }) => trustGuestRxFilters === true),
    // QEMU tells of changes once it has been asked
    make: async ({ trustGuestRxFilters, alias }, { qmp }) =>
      trustGuestRxFilters && qmp.execute('query-rx-filter', { name: alias })
  },
  {
    isMeant: differs(({ link }) => link),
    make: ({ link, alias }, { qmp }) => qmp.execute('set_link', { name: alias, up: link !== 'down' }),
    isOfCable: true
  }
]

async function isolate(to: InterfaceDef): Promise<void> {
  const words = ['type', 'bridge_slave', 'isolated', to.isolated ? 'on' : 'off']
  await ip(`Unable to isolate port ${nameOf(to)}`, 'link', 'set', 'dev', nameOf(to), ...words)
}

/** Makes the tap device a port of another bridge (qemuDomainChangeNetBridge). */
async function moveToBridge(to: InterfaceDef, { def }: LiveGuest): Promise<void> {
  const bridge = bridgeOf(to.source)
  if (bridge === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', 'Missing bridge name')
  const name = nameOf(to)
  if (!isNetworkDevice(bridge)) {
    throw fail(
      'VIR_ERR_OPERATION_FAILED',
      `cannot add domain ${def.name} device ${name} to nonexistent bridge ${bridge}`
    )
  }
  checkPossible(to)
  const set = (failed: string, ...words: string[]) => ip(failed, 'link', 'set', 'dev', name, ...words)
  await set(`Cannot set interface MTU on '${name}'`, 'mtu', String(to.mtu ?? mtuOf(bridge)))
  // anew, so that no VLAN is left of before
  await set(`Unable to remove port ${name}`, 'nomaster')
  await set(`Unable to add bridge ${bridge} port ${name}`, 'master', bridge, 'up')
  if (to.vlan) await setVlans(name, to.vlan)
  await isolate(to)
}

/** Makes the changes, or none: those before one that fails are made back. */
async function carryOut(
  changes: readonly Change[],
  after: InterfaceDef,
  before: InterfaceDef,
  guest: LiveGuest
): Promise<void> {
  for (const [i, { make }] of changes.entries()) {
    try {
      await make(after, guest)
    } catch (error) {
      for (const one of changes.slice(0, i + 1).toReversed())
        await one
          .make(before, guest)
          .catch(failed => guest.log.warn({ err: failed }, 'a card could not be changed back'))
      throw error
    }
  }
}

/** Puts the description into the card's place, whose port goes back to its network. */
async function replace(dev: InterfaceDef, there: InterfaceDef, guest: LiveGuest): Promise<void> {
  const list = guest.def.devices.interfaces
  list[list.indexOf(there)] = dev
  const isShared =
    dev.source.type === 'network' && there.source.type === 'network' && dev.source.portid === there.source.portid
  if (!isShared) await networkPort.give(there, guest)
}

function setLinkState(there: InterfaceDef, link: InterfaceDef['link']): void {
  if (link) there.link = link
  else delete there.link
}
