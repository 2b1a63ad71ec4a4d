// Claims of a guest at its host's aggregator: for everything a start will use, and later for what is plugged in.
import type { DomainDef } from '../../../conf/domain-def.ts'
import { type Allocation, usedBy } from '../../../state/allocation.ts'
import { type AutomaticResource, type ClaimedResource, isAutomatic } from '../../../state/claim.ts'
import { isDrawn } from '../device/interface/tap.ts'
import { CID_RANGE } from '../device/vsock.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { HeldPorts } from './ports.ts'
import type { TakenUser } from './user.ts'

const ID_RANGE = { min: 1, max: 2 ** 31 - 1 }

/**
 * Claims what a prepared guest is going to use: all of it or nothing. The ports and ids that were ours to choose are
 * chosen by the aggregator instead and put into the definition; without one ours stay. So does the guest's user.
 * @throws ResourceTaken, VIR_ERR_RESOURCE_BUSY
 */
export async function claimStart(domain: QemuDomain, ports: HeldPorts, user?: TakenUser): Promise<void> {
  const { claims, def } = domain
  if (!claims) return
  const cids = chosenCids(def)
  for (;;) {
    const answer = await claims.claim(def, [...claimedAtStart(def, ports), ...(user ? [user.claim] : [])])
    if (!answer) return
    const [id, ...more] = answer.chosen.map(([value]) => value!)
    domain.id = id!
    for (const cid of cids) cid.address = more.shift()!
    const uid = user && isAutomatic(user.claim) ? more.pop()! : undefined
    const isFree = uid === undefined || (await user!.change(uid))
    if ((await ports.change(more)) && isFree) return
    // a process that is no guest listens there, or is that user
    await claims.release(answer.claim)
  }
}

const chosenCids = ({ devices }: DomainDef) => devices.vsocks.flatMap(({ cid }) => (cid?.auto ? [cid] : []))

/** All that a prepared guest is going to use; the ids and ports that are to be chosen come last, and in this order. */
export function claimedAtStart(def: DomainDef, { chosen }: Pick<HeldPorts, 'chosen'>): ClaimedResource[] {
  const cids = chosenCids(def)
  const automatic: AutomaticResource[] = [
    { kind: 'domain-id', auto: ID_RANGE },
    ...cids.map(({ address }) => ({ kind: 'vsock-cid', auto: { ...CID_RANGE, ...(address && { from: address }) } })),
    ...chosen.map(({ first, last, port }) => ({ kind: 'tcp-port', auto: { min: first, max: last, from: port } }))
  ]
  const own = new Set([
    ...cids.map(({ address }) => `vsock-cid ${address}`),
    ...chosen.map(({ port }) => `tcp-port ${port}`),
    ...def.devices.interfaces.filter(isDrawn).map(({ target }) => `tap ${target?.dev}`)
  ])
  const fixed = usedBy(def).filter(({ kind, key }) => !own.has(`${kind} ${key}`))
  return [...namesOf(def), ...fixed, ...automatic]
}

const namesOf = ({ name, uuid }: DomainDef): Allocation[] => [
  { kind: 'name', key: name, mode: 'exclusive' },
  { kind: 'uuid', key: uuid, mode: 'exclusive' }
]

/** Resources claimed beyond the start. */
export interface Claimed {
  /** values of each automatic resource, in the order asked for; undefined without an aggregator to choose them */
  chosen: number[][] | undefined
  /** gives all back: plugging failed, or the device is gone */
  release(): Promise<void>
}

/**
 * Claims resources for what is about to be plugged into a running guest; `deviceAllocations` lists those of a device. Call
 * `domain.changed()` once it is in the definition, and after releasing it, so that the report tells of it.
 * @throws ResourceTaken, VIR_ERR_RESOURCE_BUSY; the guest then has none of them
 */
export async function claimMore(domain: QemuDomain, resources: ClaimedResource[]): Promise<Claimed> {
  const { claims, def } = domain
  const answer = resources.length > 0 ? await claims?.claim(def, resources) : undefined
  return {
    chosen: answer?.chosen,
    release: async () => {
      if (answer) await claims?.release(answer.claim)
    }
  }
}
