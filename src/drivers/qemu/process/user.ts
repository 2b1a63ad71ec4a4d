// The user that a guest's QEMU runs as, where each has one of its own: from a range, or the one its label names.
import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { parseOwnerLabel } from '../../../host/ids.ts'
import { checkMaker } from '../../../host/made-files.ts'
import type { OwnerIds, UidRange } from '../../../host/owner.ts'
import { uidAllocation } from '../../../state/allocation.ts'
import type { ClaimedResource } from '../../../state/claim.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { Run } from '../domain/run.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const KVM = '/dev/kvm'
const READ_WRITE = 6

/** The user of a guest that is about to start; until it is released no other shim finds it free. */
export interface TakenUser {
  /** what is claimed for it at the aggregator; a range is to be chosen from, last of all that is */
  readonly claim: ClaimedResource
  /** Takes the one that was chosen there. @returns false where it is not free, and another is to be claimed */
  change(uid: number): Promise<boolean>
  release(): void
}

/**
 * Chooses the user of a guest, if it is to have one of its own, and has the run go by it.
 * @throws VIR_ERR_INVALID_ARG for a label that names none, VIR_ERR_RESOURCE_BUSY where no user is free
 */
export async function takeUser(domain: QemuDomain): Promise<TakenUser | undefined> {
  const { uidRange, running, def, uuid } = domain
  if (!uidRange) return undefined
  checkMaker("a user of the guest's own")
  const named = namedUser(def)
  if (!named) return FreeUser.take(uidRange, running, uuid, kvmGroups(def))
  become(running, named, false, kvmGroups(def))
  return { claim: uidAllocation({ ...named, alone: false }), change: async () => true, release: () => undefined }
}

/** The user that a static label names. */
function namedUser({ seclabels }: DomainDef): OwnerIds | undefined {
  const label = seclabels.find(({ model, type }) => model === 'dac' && type === 'static')?.label
  return label === undefined ? undefined : parseOwnerLabel(label)
}

/** The group that may use KVM, where not all may. */
function kvmGroups({ type }: DomainDef): number[] {
  const found = type === 'kvm' ? statSync(KVM, { throwIfNoEntry: false }) : undefined
  return found && (found.mode & READ_WRITE) !== READ_WRITE ? [found.gid] : []
}

function become(run: Run, { uid, gid }: OwnerIds, alone: boolean, groups: number[]): void {
  run.owner = { user: `+${uid}`, group: `+${gid}`, groups }
  run.ownership = { uid, gid, alone, given: [], turn: Promise.resolve() }
}

/** A user of a range that no process is. As with ports, a name in the abstract namespace keeps other shims from it. */
class FreeUser implements TakenUser {
  readonly #range: UidRange
  readonly #run: Run
  readonly #groups: number[]
  #uid = 0
  #lock: Server | undefined

  private constructor(range: UidRange, run: Run, groups: number[]) {
    this.#range = range
    this.#run = run
    this.#groups = groups
  }

  /** A guest mostly has the user it had before: what a crash of the host leaves is then its own. */
  static async take(range: UidRange, run: Run, uuid: string, groups: number[]): Promise<FreeUser> {
    const user = new FreeUser(range, run, groups)
    const number = createHash('sha256').update(uuid).digest().readUInt32BE()
    await user.#acquire(range.first + (number % (range.last - range.first + 1)))
    return user
  }

  get claim(): ClaimedResource {
    const { first: min, last: max } = this.#range
    return { kind: 'uid', auto: { min, max, from: this.#uid } }
  }

  async change(uid: number): Promise<boolean> {
    if (uid === this.#uid) return true
    this.release()
    return (await this.#acquire(uid)) === uid
  }

  release(): void {
    this.#lock?.close()
    this.#lock = undefined
  }

  /** The first that is free from there on. */
  async #acquire(from: number): Promise<number> {
    const { first, last } = this.#range
    const used = usersOfProcesses()
    for (let tried = 0, uid = from; first + tried <= last; tried++, uid = uid < last ? uid + 1 : first) {
      if (used.has(uid) || !(await this.#hold(uid))) continue
      this.#uid = uid
      become(this.#run, { uid, gid: uid }, true, this.#groups)
      return uid
    }
    throw fail('VIR_ERR_RESOURCE_BUSY', `no uid is free from ${first} to ${last}`)
  }

  async #hold(uid: number): Promise<boolean> {
    const server = createServer(socket => socket.destroy())
    const isOurs = await new Promise<boolean>(done => {
      server.once('error', () => done(false))
      server.listen({ path: `\0virshim/uid/${uid}` }, () => done(true))
    })
    if (isOurs) this.#lock = server
    return isOurs
  }
}

/** The users of all processes. */
function usersOfProcesses(): Set<number> {
  const uids = new Set<number>()
  for (const entry of readdirSync('/proc')) {
    const found = /^\d+$/.test(entry) ? statSync(`/proc/${entry}`, { throwIfNoEntry: false }) : undefined
    if (found) uids.add(found.uid)
  }
  return uids
}
