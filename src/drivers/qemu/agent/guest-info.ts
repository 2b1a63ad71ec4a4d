// Facts of the guest's own as its agent tells them, each kind of them by one command (qemuDomainGetGuestInfo).
import type { DomainDef } from '../../../conf/domain-def.ts'
import { virDomainGuestInfoTypes, virIPAddrType } from '../../../conf/enums.ts'
import { type TypedParams, typed } from '../../../conf/wire.ts'
import { doubleIn, entriesOf, intIn, malformed, objectOf, textIn } from './answer.ts'
import type { Agent } from './channel.ts'
import { diskAt, disksIn, filesystemsIn } from './filesystems.ts'
import { interfacesIn } from './interfaces.ts'

const T = virDomainGuestInfoTypes

interface Kind {
  /** of virDomainGuestInfoTypes */
  type: number
  command: string
  /** what of the answer is told, under libvirt's names; undefined values are left out */
  params(answer: unknown, def: DomainDef): Params
}

type Params = Record<string, TypedParams[string] | undefined>

const text = (value: string | undefined) => (value === undefined ? undefined : typed.string(value))
const bytes = (value: bigint | undefined) => (value === undefined ? undefined : typed.ullong(value))

/** A list as libvirt tells it: how many, then the members of each, `user.0.name`. */
function listed<T>(name: string, list: readonly T[], members: (entry: T) => Params): Params {
  const all = list.flatMap((entry, i) =>
    Object.entries(members(entry)).map(([member, value]) => [`${name}.${i}.${member}`, value] as const)
  )
  return { [`${name}.count`]: typed.uint(list.length), ...Object.fromEntries(all) }
}

/** The same of a list that is not worth mentioning where it is empty. */
const listedIfAny: typeof listed = (name, list, members) => (list.length > 0 ? listed(name, list, members) : {})

const OS_FACTS = [
  ...['id', 'name', 'pretty-name', 'version', 'version-id'],
  ...['machine', 'variant', 'variant-id', 'kernel-release', 'kernel-version']
]
const LOADS = ['1m', '5m', '15m']
const FAMILIES: Readonly<Record<number, string>> = {
  [virIPAddrType.VIR_IP_ADDR_TYPE_IPV4]: 'ipv4',
  [virIPAddrType.VIR_IP_ADDR_TYPE_IPV6]: 'ipv6'
}

/** In libvirt's order. */
const KINDS: readonly Kind[] = [
  {
    type: T.VIR_DOMAIN_GUEST_INFO_USERS,
    command: 'guest-get-users',
    params: answer =>
      listed('user', entriesOf(answer, 'guest-get-users reply was missing return data'), entry => {
        const name = textIn(entry, 'user')
        if (name === undefined) throw malformed("'user' missing in reply of guest-get-users")
        const seconds = doubleIn(entry, 'login-time')
        if (seconds === undefined) throw malformed("'login-time' missing in reply of guest-get-users")
        return {
          name: typed.string(name),
          domain: text(textIn(entry, 'domain')),
          'login-time': typed.ullong(BigInt.asUintN(64, BigInt(Math.trunc(seconds * 1000))))
        }
      })
  },
  {
    type: T.VIR_DOMAIN_GUEST_INFO_OS,
    command: 'guest-get-osinfo',
    params(answer) {
      const said = objectOf(answer, 'guest-get-osinfo reply was missing return data')
      return Object.fromEntries(OS_FACTS.map(name => [`os.${name}`, text(textIn(said, name))]))
    }
  },
  {
    type: T.VIR_DOMAIN_GUEST_INFO_TIMEZONE,
    command: 'guest-get-timezone',
    params(answer) {
      const said = objectOf(answer, 'guest-get-timezone reply was missing return data')
      const offset = intIn(said, 'offset')
      if (offset === undefined) throw malformed("'offset' missing in reply of guest-get-timezone")
      return { 'timezone.name': text(textIn(said, 'zone')), 'timezone.offset': typed.int(offset) }
    }
  },
  {
    type: T.VIR_DOMAIN_GUEST_INFO_HOSTNAME,
    command: 'guest-get-host-name',
    params: answer => ({ hostname: typed.string(hostnameIn(answer)) })
  },
  {
    type: T.VIR_DOMAIN_GUEST_INFO_FILESYSTEM,
    command: 'guest-get-fsinfo',
    params: (answer, def) =>
      listedIfAny('fs', filesystemsIn(answer), ({ name, mountpoint, type, total, used, disks }) => ({
        name: typed.string(name),
        mountpoint: typed.string(mountpoint),
        fstype: typed.string(type),
        'total-bytes': bytes(total),
        'used-bytes': bytes(used),
        ...listed('disk', disks, address => ({
          alias: text(diskAt(def, address)?.target?.dev),
          serial: text(address.serial),
          device: text(address.dev)
        }))
      }))
  },
  {
    type: T.VIR_DOMAIN_GUEST_INFO_DISKS,
    command: 'guest-get-disks',
    params: (answer, def) =>
      listedIfAny('disk', disksIn(answer), ({ name, partition, dependencies, alias, address }) => ({
        name: typed.string(name),
        partition: typed.boolean(partition),
        ...listedIfAny('dependency', dependencies, dependency => ({ name: typed.string(dependency) })),
        serial: text(address?.serial),
        alias: text(address && diskAt(def, address)?.target?.dev),
        guest_bus: text(address?.busType),
        guest_alias: text(alias)
      }))
  },
  {
    type: T.VIR_DOMAIN_GUEST_INFO_INTERFACES,
    command: 'guest-network-get-interfaces',
    params: answer =>
      listedIfAny('if', interfacesIn(answer), ({ name, hwaddr, addrs }) => ({
        name: typed.string(name),
        hwaddr: text(hwaddr),
        ...listed('addr', addrs, ({ type, addr, prefix }) => ({
          type: text(FAMILIES[type]),
          addr: typed.string(addr),
          prefix: typed.uint(prefix)
        }))
      }))
  },
  {
    type: T.VIR_DOMAIN_GUEST_INFO_LOAD,
    command: 'guest-get-load',
    params(answer) {
      const said = objectOf(answer, "qemu agent didn't return an array of loads")
      const loads = LOADS.map(span => {
        const value = doubleIn(said, `load${span}`)
        if (value === undefined) throw malformed(`parameter 'load${span}' is missing in reply of guest-get-load`)
        return [`load.${span}`, { type: 'double', value } as const]
      })
      return Object.fromEntries(loads)
    }
  }
]

/** The name a guest gives itself. @throws VIR_ERR_INTERNAL_ERROR (qemuAgentGetHostname) */
export function hostnameIn(answer: unknown): string {
  const name = textIn(Object(answer), 'host-name')
  if (name === undefined) throw malformed("'host-name' missing in guest-get-host-name reply")
  return name
}

/** Kinds of facts that can be asked for, bits of virDomainGuestInfoTypes. */
export const GUEST_INFO_TYPES = KINDS.reduce((all, { type }) => all | type, 0)

/**
 * The facts of these kinds, as typed parameters in libvirt's order.
 * @param types bits of virDomainGuestInfoTypes; 0 is for all that the agent knows of
 * @throws VIR_ERR_INTERNAL_ERROR for an answer of another form, and what Agent.execute throws
 */
export async function guestInfo(agent: Agent, types: number, def: () => DomainDef): Promise<TypedParams> {
  const answers: [kind: Kind, answer: unknown][] = []
  for (const kind of KINDS) {
    if (types === 0) answers.push([kind, await agent.executeIfKnown(kind.command)])
    else if ((types & kind.type) !== 0) answers.push([kind, await agent.execute(kind.command)])
  }
  const found: Params = {}
  for (const [{ params }, answer] of answers) if (answer !== undefined) Object.assign(found, params(answer, def()))
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as TypedParams
}
