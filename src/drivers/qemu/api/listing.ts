// Listing and looking up guests; the same rows serve one guest and all guests of a host.
import { virConnectListAllDomainsFlags, virDomainState } from '../../../conf/enums.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { uuid as uuidScalar } from '../../../conf/scalar.ts'
import { array, defaulted, flags, int, text, type WireFields } from '../../../conf/wire.ts'
import {
  type Connect,
  domainHandle,
  type GuestEntry,
  type GuestHandle,
  handleOf,
  statsRecord
} from '../../connection.ts'
import { methodFor } from '../../method.ts'
import { checkGroups, statsFlags, statsGroups } from '../stats/record.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<Connect>()

/** libvirt's REMOTE_DOMAIN_LIST_MAX. */
export const DOMAIN_LIST_MAX = 16384

const LIST = virConnectListAllDomainsFlags
const { VIR_DOMAIN_RUNNING, VIR_DOMAIN_PAUSED, VIR_DOMAIN_SHUTOFF } = virDomainState

/** Groups of filters: bits of one group are alternatives, groups restrict each other (virDomainObjMatchFilter). */
const FILTERS: [bit: number, matches: (guest: GuestEntry) => boolean][][] = [
  [
    [LIST.VIR_CONNECT_LIST_DOMAINS_ACTIVE, ({ id }) => id !== -1],
    [LIST.VIR_CONNECT_LIST_DOMAINS_INACTIVE, ({ id }) => id === -1]
  ],
  [
    [LIST.VIR_CONNECT_LIST_DOMAINS_PERSISTENT, ({ persistent }) => persistent],
    [LIST.VIR_CONNECT_LIST_DOMAINS_TRANSIENT, ({ persistent }) => !persistent]
  ],
  [
    [LIST.VIR_CONNECT_LIST_DOMAINS_RUNNING, ({ state }) => state === VIR_DOMAIN_RUNNING],
    [LIST.VIR_CONNECT_LIST_DOMAINS_PAUSED, ({ state }) => state === VIR_DOMAIN_PAUSED],
    [LIST.VIR_CONNECT_LIST_DOMAINS_SHUTOFF, ({ state }) => state === VIR_DOMAIN_SHUTOFF],
    [
      LIST.VIR_CONNECT_LIST_DOMAINS_OTHER,
      ({ state }) => ![VIR_DOMAIN_RUNNING, VIR_DOMAIN_PAUSED, VIR_DOMAIN_SHUTOFF].includes(state as never)
    ]
  ],
  [
    [LIST.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE, ({ managedSave }) => managedSave],
    [LIST.VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE, ({ managedSave }) => !managedSave]
  ],
  [
    [LIST.VIR_CONNECT_LIST_DOMAINS_AUTOSTART, ({ autostart }) => autostart],
    [LIST.VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART, ({ autostart }) => !autostart]
  ],
  [
    [LIST.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT, ({ snapshots }) => snapshots],
    [LIST.VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT, ({ snapshots }) => !snapshots]
  ],
  [
    [LIST.VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT, ({ checkpoints }) => checkpoints],
    [LIST.VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT, ({ checkpoints }) => !checkpoints]
  ]
]

/** The filters that bulk statistics share, with the same bits. */
const STATE_FILTERS = 0xff

/** The guests that all groups of the filter let pass. */
export function filterGuests(guests: GuestEntry[], filter: number): GuestEntry[] {
  return guests.filter(guest =>
    FILTERS.every(group => {
      const asked = group.filter(([bit]) => (filter & bit) !== 0)
      return asked.length === 0 || asked.some(([, matches]) => matches(guest))
    })
  )
}

const active = (connect: Connect) => connect.guests().filter(({ id }) => id !== -1)
const inactive = (connect: Connect) => connect.guests().filter(({ id }) => id === -1)

function found(guest: GuestEntry | undefined, what: string): { dom: GuestHandle } {
  if (!guest) throw fail('VIR_ERR_NO_DOMAIN', `no domain with matching ${what}`)
  return { dom: handleOf(guest) }
}

function lookup<const A extends WireFields>(
  since: string,
  args: A,
  find: (connect: Connect, value: never) => { dom: GuestHandle }
) {
  return method({
    since,
    on: 'connect',
    acl: 'domain:getattr',
    args,
    ret: { dom: domainHandle },
    run: (connect, given) => find(connect, Object.values(given)[0] as never)
  })
}

function byUuid(connect: Connect, text: string): { dom: GuestHandle } {
  const uuid = uuidScalar.parse(text)
  if (uuid === undefined)
    throw fail('VIR_ERR_INVALID_ARG', `uuidstr in virDomainLookupByUUIDString must be a valid UUID`)
  return found(
    connect.guests().find(guest => guest.uuid === uuid),
    `uuid '${uuid}'`
  )
}

export const listing = {
  virConnectNumOfDomains: method({
    since: '0.0.1',
    on: 'connect',
    acl: 'connect:search_domains',
    args: {},
    ret: { num: int() },
    run: connect => ({ num: active(connect).length })
  }),

  virConnectListDomains: method({
    since: '0.0.1',
    on: 'connect',
    acl: 'connect:search_domains',
    args: {},
    ret: { ids: array(int(), DOMAIN_LIST_MAX) },
    run: connect => ({ ids: active(connect).map(({ id }) => id) })
  }),

  virConnectNumOfDefinedDomains: method({
    since: '0.1.5',
    on: 'connect',
    acl: 'connect:search_domains',
    args: {},
    ret: { num: int() },
    run: connect => ({ num: inactive(connect).length })
  }),

  virConnectListDefinedDomains: method({
    since: '0.1.1',
    on: 'connect',
    acl: 'connect:search_domains',
    args: {},
    ret: { names: array(text(), DOMAIN_LIST_MAX) },
    run: connect => ({ names: inactive(connect).map(({ name }) => name) })
  }),

  /** Guests by the groups of VIR_CONNECT_LIST_DOMAINS_*; 0 lists all. */
  virConnectListAllDomains: method({
    since: '0.9.13',
    on: 'connect',
    acl: 'connect:search_domains',
    args: { flags: flags(virConnectListAllDomainsFlags) },
    ret: { domains: array(domainHandle, DOMAIN_LIST_MAX) },
    run: (connect, { flags: filter }) => ({ domains: filterGuests(connect.guests(), filter).map(handleOf) })
  }),

  /** Bulk statistics; `doms` empty means all guests that the flags let pass. Guests that are gone are left out. */
  virConnectGetAllDomainStats: method({
    since: '1.2.8',
    on: 'connect',
    acl: 'connect:search_domains',
    args: { doms: defaulted(array(domainHandle, DOMAIN_LIST_MAX), []), stats: statsGroups, flags: statsFlags },
    ret: { retStats: array(statsRecord, DOMAIN_LIST_MAX) },
    async run(connect, { doms, stats, flags: bits }) {
      checkGroups(stats, bits)
      const guests = connect.guests()
      const known = doms.length > 0 ? new Map(guests.map(guest => [guest.uuid, guest])) : undefined
      const wanted = known ? doms.map(({ uuid }) => known.get(uuid)).filter(guest => guest !== undefined) : guests
      return { retStats: await connect.stats(filterGuests(wanted, bits & STATE_FILTERS), stats, bits) }
    }
  }),

  virDomainLookupByID: lookup('0.0.1', { id: int() }, (connect, id: number) =>
    found(
      active(connect).find(guest => guest.id === id),
      `id ${id}`
    )
  ),
  virDomainLookupByName: lookup('0.0.1', { name: text() }, (connect, name: string) =>
    found(
      connect.guests().find(guest => guest.name === name),
      `name '${name}'`
    )
  ),
  virDomainLookupByUUID: lookup('0.0.1', { uuid: text() }, byUuid),
  virDomainLookupByUUIDString: lookup('0.1.1', { uuidstr: text() }, byUuid)
}
