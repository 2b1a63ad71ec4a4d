// Limits for what an interface sends and receives, on a running guest and in definitions.
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type Bandwidth, type BandwidthRate, checkBandwidth } from '../../../conf/net/bandwidth.ts'
import { mac } from '../../../conf/scalar.ts'
import { typedInput } from '../../../conf/wire.ts'
import type { Meant } from '../../method.ts'
import { actualSource } from '../device/interface/network-port.ts'
import { replaceBandwidth } from '../device/interface/tap-bandwidth.ts'
import type { QemuDomain } from '../domain/domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')

/** Parameters by name, in libvirt's order. */
export const RATE_NAMES = [
  'inbound.average',
  'inbound.peak',
  'inbound.burst',
  'inbound.floor',
  'outbound.average',
  'outbound.peak',
  'outbound.burst'
] as const
export type Rates = { [name in (typeof RATE_NAMES)[number]]?: number }
export const rates = typedInput(
  Object.fromEntries(RATE_NAMES.map(name => [name, 'uint'])) as Record<(typeof RATE_NAMES)[number], 'uint'>
)

/** Types whose host's end the kernel can limit (virNetDevSupportsBandwidth). */
const LIMITED = ['bridge', 'network', 'direct', 'ethernet']

/** The interface of that MAC address or name on the host (virDomainNetFind). @throws VIR_ERR_INVALID_ARG */
export function findInterface({ devices }: DomainDef, name: string): InterfaceDef {
  const address = mac.parse(name)
  const found = devices.interfaces.find(net => (address ? net.mac === address : net.target?.dev === name))
  if (!found) throw failDomain('VIR_ERR_INVALID_ARG', `'${name}' is not a known interface`)
  return found
}

/** One direction's limits; none without an average, but for what is guaranteed. */
function rateOf(given: Rates, direction: 'inbound' | 'outbound'): BandwidthRate | undefined {
  const value = (name: string) => BigInt(given[`${direction}.${name}` as keyof Rates] ?? 0)
  const rate = { average: value('average'), peak: value('peak'), burst: value('burst'), floor: value('floor') }
  return rate.average || rate.floor ? rate : undefined
}

/** The limits an interface is to have: a direction that is not told of stays as it was. */
function merged(given: Rates, before: Bandwidth = {}): Bandwidth | undefined {
  const isTold = {
    inbound: given['inbound.average'] !== undefined || given['inbound.floor'] !== undefined,
    outbound: given['outbound.average'] !== undefined
  }
  const of = (direction: 'inbound' | 'outbound') =>
    rateOf(given, direction) ?? (isTold[direction] ? undefined : before[direction])
  const [inbound, outbound] = [of('inbound'), of('outbound')]
  return (inbound ?? outbound) && { ...(inbound && { inbound }), ...(outbound && { outbound }) }
}

function withBandwidth(def: DomainDef, name: string, given: Rates): DomainDef {
  const net = findInterface(def, name)
  const limited = { ...net, bandwidth: merged(given, net.bandwidth) }
  const interfaces = def.devices.interfaces.map(one => (one === net ? limited : one))
  return { ...def, devices: { ...def.devices, interfaces } }
}

/**
 * Limits what passes an interface (qemuDomainSetInterfaceParameters).
 * @param name on the host, or MAC address
 * @throws VIR_ERR_INVALID_ARG for no such interface, VIR_ERR_CONFIG_UNSUPPORTED for one that cannot be limited,
 *   VIR_ERR_OVERFLOW, VIR_ERR_OPERATION_UNSUPPORTED, VIR_ERR_INTERNAL_ERROR with the words of tc(8); nothing has changed
 *   then
 */
export async function setInterfaceBandwidth(
  domain: QemuDomain,
  name: string,
  given: Rates,
  { live, config }: Meant
): Promise<void> {
  const net = live && findInterface(live, name)
  const kept = config && findInterface(config, name)
  for (const one of [net, kept]) {
    const type = one && actualSource(one).type
    if (type === undefined || LIMITED.includes(type)) continue
    const message = `setting bandwidth on interfaces of type '${type}' is not implemented yet`
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  }
  checkBandwidth(merged(given))
  if (net) checkFloor(net, given)
  const takeBack = net && (await limit(net, merged(given, net.bandwidth)))
  try {
    domain.change({ live, config }, def => withBandwidth(def, name, given))
  } catch (error) {
    await takeBack?.()
    throw error
  }
}

/** Has the kernel limit the host's end. @returns takes that back */
async function limit(net: InterfaceDef, after: Bandwidth | undefined): Promise<() => Promise<void>> {
  const { bandwidth: before, target } = net
  const put = (change: { before: Bandwidth | undefined; after: Bandwidth | undefined }) =>
    replaceBandwidth(target?.dev ?? '', change, actualSource(net).type === 'direct')
  await put({ before, after })
  return () => put({ before: after, after: before })
}

/** Bandwidth is guaranteed by networks of libvirt's alone. */
function checkFloor({ type, mac: address }: InterfaceDef, given: Rates): void {
  if (type === 'network' || !given['inbound.floor']) return
  const where = "interface type 'network' with forward type 'nat', 'route', 'open' or none"
  const message = `Invalid use of 'floor' on interface with MAC address ${address} - 'floor' is only supported for ${where}`
  throw fail('VIR_ERR_OPERATION_UNSUPPORTED', message)
}

/** The limits of an interface, 0 where there is none (qemuDomainGetInterfaceParameters). */
export function interfaceRates({ bandwidth = {} }: InterfaceDef): Required<Rates> {
  const rate = (name: string) => {
    const [direction, limit] = name.split('.') as ['inbound', 'average']
    return Number(bandwidth[direction]?.[limit] ?? 0n)
  }
  return Object.fromEntries(RATE_NAMES.map(name => [name, rate(name)])) as Required<Rates>
}
