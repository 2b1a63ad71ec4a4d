// Network interfaces: statistics of the host's end, addresses of the guest's.
import { virDomainInterfaceAddressesSource, virDomainModificationImpact } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import {
  array,
  defaulted,
  flags,
  hyper,
  int,
  oneOf,
  optional,
  struct,
  text,
  typed,
  typedInput,
  typedParams,
  uint
} from '../../../conf/wire.ts'
import { neighbours } from '../../../host/neighbours.ts'
import { methodFor } from '../../method.ts'
import { availableAgent } from '../agent/channel.ts'
import { type AddressedInterface, interfacesIn } from '../agent/interfaces.ts'
import { interfaceLeases } from '../device/interface/leases.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { interfaceStats } from '../stats/interface.ts'
import {
  findInterface,
  interfaceRates,
  RATE_NAMES,
  rates,
  setInterfaceBandwidth
} from '../tuning/interface-bandwidth.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failDomain = errorsFrom('VIR_FROM_DOMAIN')
const failHost = errorsFrom('VIR_FROM_NONE')
const method = methodFor<QemuDomain>()

const SOURCE = virDomainInterfaceAddressesSource
/** libvirt's REMOTE_DOMAIN_INTERFACE_MAX and REMOTE_DOMAIN_IP_ADDR_MAX. */
const ADDRESSES_MAX = 2048

/** Times of announcements in ms, and how many: those QEMU has after a migration. */
const ANNOUNCEMENT = { initial: 50, max: 550, rounds: 5, step: 100 }

/** Addresses that the networks of interfaces have given them; interfaces without are left out (virDomainNetDHCPInterfaces). */
async function byLease(domain: QemuDomain): Promise<AddressedInterface[]> {
  const leased = await interfaceLeases(domain.def, domain.context)
  return leased
    .filter(({ leases }) => leases.length > 0)
    .map(({ net: { target, mac }, leases }) => ({
      name: target?.dev ?? '',
      hwaddr: mac,
      addrs: leases.map(({ type, addr, prefix }) => ({ type, addr, prefix }))
    }))
}

/** Addresses the host has met on its networks, one an entry (virDomainNetARPInterfaces). */
async function byArp({ def }: QemuDomain): Promise<AddressedInterface[]> {
  const table = await neighbours()
  return def.devices.interfaces.flatMap(({ target, mac }) =>
    table
      .filter(neighbour => neighbour.mac === mac)
      .map(({ addr }) => ({ name: target?.dev ?? '', hwaddr: mac, addrs: [{ type: 0, addr, prefix: 0 }] }))
  )
}

export const interfaces = {
  /** Counters of one interface, by the host's name of it or its MAC address. */
  virDomainInterfaceStats: method({
    since: '0.3.2',
    on: 'domain',
    acl: 'domain:read',
    needs: 'active',
    args: { device: text() },
    ret: {
      rx_bytes: hyper('bytes'),
      rx_packets: hyper(),
      rx_errs: hyper(),
      rx_drop: hyper(),
      tx_bytes: hyper('bytes'),
      tx_packets: hyper(),
      tx_errs: hyper(),
      tx_drop: hyper()
    },
    run(domain, { device }) {
      const net = domain.def.devices.interfaces.find(
        ({ target, mac }) => target?.dev === device || mac === device.toLowerCase()
      )
      if (!net) throw failDomain('VIR_ERR_INVALID_ARG', `'${device}' is not a known interface`)
      if (net.target?.dev === undefined) throw failHost('VIR_ERR_INTERNAL_ERROR', 'Interface name not provided')
      const stats = interfaceStats(net)
      if (!stats) throw failHost('VIR_ERR_INTERNAL_ERROR', 'Interface not found')
      return {
        rx_bytes: stats.rx_bytes!,
        rx_packets: stats.rx_packets!,
        rx_errs: stats.rx_errors!,
        rx_drop: stats.rx_dropped!,
        tx_bytes: stats.tx_bytes!,
        tx_packets: stats.tx_packets!,
        tx_errs: stats.tx_errors!,
        tx_drop: stats.tx_dropped!
      }
    }
  }),

  /**
   * Addresses of the guest's interfaces, as its networks, its agent or the host's neighbour table know them.
   * Source: qemuDomainInterfaceAddresses, 9.0.0.
   */
  virDomainInterfaceAddresses: method({
    since: '1.2.14',
    on: 'domain',
    acl: 'domain:read',
    job: ({ source }) => (source === SOURCE.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT ? { agent: 'query' } : undefined),
    needs: 'active',
    args: {
      source: defaulted(
        oneOf(SOURCE, source => fail('VIR_ERR_ARGUMENT_UNSUPPORTED', `Unknown IP address data source ${source}`)),
        SOURCE.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE
      ),
      flags: flags()
    },
    ret: {
      ifaces: array(
        struct({
          name: text(),
          hwaddr: optional(text()),
          addrs: array(struct({ type: int('virIPAddrType'), addr: text(), prefix: uint() }), ADDRESSES_MAX)
        }),
        ADDRESSES_MAX
      )
    },
    async run(domain, { source }) {
      if (source === SOURCE.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE) return { ifaces: await byLease(domain) }
      if (source === SOURCE.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP) return { ifaces: await byArp(domain) }
      return { ifaces: interfacesIn(await availableAgent(domain).execute('guest-network-get-interfaces')) }
    }
  }),

  /**
   * Limits for what an interface sends and receives, in KiB/s and KiB, 0 where there is none; without an interface, those
   * there can be. Source: qemuDomainGetInterfaceParameters.
   */
  virDomainGetInterfaceParameters: method({
    since: '0.9.9',
    on: 'domain',
    acl: 'domain:read',
    impact: 'one',
    args: { device: optional(text('name on the host, or MAC address')), flags: flags(virDomainModificationImpact) },
    ret: { params: typedParams },
    run(_domain, { device }, { def }) {
      const values = device === undefined ? undefined : interfaceRates(findInterface(def, device))
      return { params: Object.fromEntries(RATE_NAMES.map(name => [name, typed.uint(values?.[name] ?? 0)])) }
    }
  }),

  /** Limits what an interface sends and receives; an average of 0 lifts that. Source: qemuDomainSetInterfaceParameters. */
  virDomainSetInterfaceParameters: method({
    since: '0.9.9',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    impact: 'both',
    args: {
      device: text('name on the host, or MAC address'),
      params: rates,
      flags: flags(virDomainModificationImpact)
    },
    ret: {},
    async run(domain, { device, params }, meant) {
      await setInterfaceBandwidth(domain, device, params, meant)
      return {}
    }
  }),

  /** Has the guest's cards, or one of them, tell the network where they are; times in ms, 0 for the default. */
  virDomainAnnounceInterface: method({
    since: '12.5.0',
    on: 'domain',
    acl: 'domain:write',
    job: 'modify',
    needs: 'active',
    args: {
      device: optional(text('name on the host, or MAC address; absent: all')),
      params: typedInput({ initial: 'uint', max: 'uint', rounds: 'uint', step: 'uint' }, { mayBeEmpty: true }),
      flags: flags()
    },
    ret: {},
    async run(domain, { device, params }) {
      const alias = device === undefined ? undefined : findInterface(domain.def, device).alias
      await domain.qmp.execute('announce-self', {
        ...ANNOUNCEMENT,
        ...Object.fromEntries(Object.entries(params).filter(([, value]) => value !== 0)),
        ...(alias !== undefined && { interfaces: [alias] })
      })
      return {}
    }
  })
}
