// Calls on a guest that its report answers: lists ask them of every guest, one after the other.
//
// A guest that is shut off has no shim to ask, and one whose shim hangs must not hold a list up: for these the report is
// the answer. So it is for RPC clients (`virsh list` asks for the state of each guest) as long as nobody has changed
// the guest through us since its shim was asked last; all else goes to the shim.
import type { Report } from '../report.ts'
import type { KnownGuest } from './registry.ts'

type Values = Record<string, unknown>

/** That there are none is all a report says of snapshots and checkpoints. */
const ifNone = (some: boolean, none: Values): Values | undefined => (some ? undefined : none)

const ANSWERS: Record<string, (report: Report) => Values | undefined> = {
  virDomainGetState: ({ state, reason }) => ({ state, reason }),
  virDomainIsActive: ({ id }) => ({ active: Number(id !== -1) }),
  virDomainIsPersistent: ({ persistent }) => ({ persistent: Number(persistent) }),
  virDomainGetAutostart: ({ autostart }) => ({ autostart: Number(autostart) }),
  virDomainHasManagedSaveImage: ({ managedSave }) => ({ result: Number(managedSave) }),
  virDomainSnapshotNum: ({ snapshots }) => ifNone(snapshots, { num: 0 }),
  virDomainListAllSnapshots: ({ snapshots }) => ifNone(snapshots, { snapshots: [], ret: 0 }),
  virDomainHasCurrentSnapshot: ({ snapshots }) => ifNone(snapshots, { result: 0 }),
  virDomainListAllCheckpoints: ({ checkpoints }) => ifNone(checkpoints, { checkpoints: [], ret: 0 })
}

const answers = ({ socket, unreachableSince }: KnownGuest) => socket !== undefined && unreachableSince === undefined

/** Reports answer this API. */
export const isInReport = (api: string): boolean => Object.hasOwn(ANSWERS, api)

/** The answer of a call with no flags where its shim cannot be asked, undefined where it can or there is none. */
export function withoutShim(guest: KnownGuest, api: string): Values | undefined {
  return answers(guest) || !isInReport(api) ? undefined : ANSWERS[api]!(guest.report)
}

/**
 * The answer of a call with no flags from what the shim has said last, undefined where the shim is to be asked.
 * @param isBehind the guest may have changed since
 */
export function fromReport(guest: KnownGuest, api: string, isBehind: boolean): Values | undefined {
  if (isBehind && answers(guest)) return undefined
  return isInReport(api) ? ANSWERS[api]!(guest.report) : undefined
}
