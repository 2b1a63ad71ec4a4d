// Claims: the words in which guests that share a host ask for its resources, and are told who has them already.
import { readlinkSync } from 'node:fs'
import { type ErrorCode, type ErrorDomain, type ErrorJson, VirError } from '../conf/error.ts'
import type { Allocation } from './allocation.ts'
import type { ProcessIdentity } from './status.ts'

/** A value the aggregator chooses: ports, context ids, domain ids. */
export interface AutomaticResource {
  kind: string
  /** the range it is taken from, and where in it the search begins */
  auto: { min: number; max: number; from?: number }
  /** the number of values; absent: one */
  count?: number
}

/** The namespaces this process lives in. */
export function ownNamespaces(): Namespaces {
  const at = (type: string) => {
    try {
      return { [type]: readlinkSync(`/proc/self/ns/${type}`) }
    } catch {
      return {}
    }
  }
  return { ...at('net'), ...at('mnt'), ...at('cgroup'), ...at('pid') }
}

export type ClaimedResource = Allocation | AutomaticResource

/** Namespaces tell guests apart that look alike from within their containers; identifiers as in /proc/PID/ns. */
export interface Namespaces {
  net?: string
  mnt?: string
  cgroup?: string
  pid?: string
}

/** A guest as it speaks of itself: pid and socket are its own view, which from outside a container may be another. */
export interface Claimant {
  name: string
  uuid: string
  /** API socket of its shim */
  socket: string
  namespaces?: Namespaces
}

/** The body of `POST /v1/claims`. */
export interface ClaimRequest extends Claimant, ProcessIdentity {
  /** 1 to 64 of 0-9, a-f; asking again with the same one gives the same answer */
  claim?: string
  resources: ClaimedResource[]
}

/** The answer to a claim that is granted. */
export interface ClaimAnswer {
  claim: string
  /** values of each automatic resource, in the order asked for */
  chosen: number[][]
  /** budgets that are overdrawn, where the policy is to warn */
  warnings: string[]
}

/** One resource that somebody else has. */
export interface Conflict {
  kind: string
  key: string
  /** its usual name, where that is not the key */
  path?: string
  /** the mode it was asked for in */
  mode: 'exclusive' | 'shared'
  /** name and uuid of the guest that has it */
  holder: string
  uuid: string
}

type Refusal = (conflict: Conflict) => [ErrorCode, string]

const device =
  (what: string): Refusal =>
  ({ key, holder }) => ['VIR_ERR_OPERATION_INVALID', `${what} ${key} is in use by driver QEMU, domain ${holder}`]

/** libvirt's refusals for resources it keeps account of itself (virHostdevManager, virDomainObjList). */
const REFUSALS: Record<string, Refusal> = {
  pci: device('PCI device'),
  usb: device('USB device'),
  mdev: device('mediated device'),
  scsi: device('SCSI device'),
  name: ({ key, uuid }) => ['VIR_ERR_OPERATION_FAILED', `domain '${key}' already exists with uuid ${uuid}`],
  uuid: ({ key, holder }) => ['VIR_ERR_OPERATION_FAILED', `domain '${holder}' is already defined with uuid ${key}`]
}

/** The refusal of a claim: libvirt's error for the first conflict, and in its JSON all of them. HTTP status 409. */
export class ResourceTaken extends VirError {
  readonly conflicts: Conflict[]

  constructor(conflicts: Conflict[]) {
    const [first] = conflicts
    const { kind } = first!
    const refuse = (Object.hasOwn(REFUSALS, kind) && REFUSALS[kind]) || resourceBusy
    super('VIR_FROM_QEMU', ...refuse(first!))
    this.conflicts = conflicts
  }

  /** The refusals of each conflict alone. */
  each(): ResourceTaken[] {
    return this.conflicts.map(conflict => new ResourceTaken([conflict]))
  }

  override get httpStatus(): number {
    return 409
  }

  override toJSON(): ErrorJson & { conflicts: Conflict[] } {
    return { ...super.toJSON(), conflicts: this.conflicts }
  }
}

const resourceBusy: Refusal = ({ kind, key, path = key, holder }) => [
  'VIR_ERR_RESOURCE_BUSY',
  `${kind} '${path}' is in use by domain '${holder}'`
]

/** An error as its JSON has it. */
export function errorOfJson({ codeName, domainName, message }: ErrorJson): VirError {
  const bare = new VirError(domainName as ErrorDomain, codeName as ErrorCode, '')
  const detail = message.startsWith(bare.message) ? message.slice(bare.message.length) : message
  return new VirError(domainName, codeName, detail)
}

/** True for a resource that the aggregator is to choose. */
export function isAutomatic(resource: ClaimedResource): resource is AutomaticResource {
  return 'auto' in resource
}

/** Claims of one guest at its host's aggregator. */
export interface Claims {
  /** the claims this guest goes by, for its report */
  readonly held: readonly string[]
  /**
   * Claims all of them or none. Gives undefined where there is no aggregator, or none that answers in time: the guest
   * then goes on without, and what overlaps shows in its report.
   * @throws ResourceTaken, VIR_ERR_RESOURCE_BUSY (a budget, or no automatic value is left)
   */
  claim(guest: { name: string; uuid: string }, resources: ClaimedResource[]): Promise<ClaimAnswer | undefined>
  /** Gives one back, or all. */
  release(claim?: string): Promise<void>
}
