// A guest in the post-copy phase of its migration: its CPUs run at the destination, part of its memory is at the source yet,
// and neither side has it without the other. A connection that breaks stalls it until somebody makes another.
import { virDomainPausedReason, virDomainRunningReason, virDomainState } from '../../../conf/enums.ts'
import type { QemuDomain } from '../domain/domain.ts'

const { VIR_DOMAIN_PAUSED, VIR_DOMAIN_RUNNING } = virDomainState
const { VIR_DOMAIN_PAUSED_POSTCOPY, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED } = virDomainPausedReason
const { VIR_DOMAIN_RUNNING_POSTCOPY, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED } = virDomainRunningReason

/** What is looked at of a guest. */
type Guest = Pick<QemuDomain, 'state' | 'reason' | 'jobs'>

const is = ({ state, reason }: Guest, paused: number, running: number): boolean =>
  (state === VIR_DOMAIN_PAUSED && reason === paused) || (state === VIR_DOMAIN_RUNNING && reason === running)

/** True for one whose other part cannot be reached (virDomainObjIsFailedPostcopy). */
export const hasFailedInPostcopy = (guest: Guest): boolean =>
  guest.jobs.async?.isStalled === true ||
  is(guest, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)

/** True for one of which each side has a part (virDomainObjIsPostcopy). */
export const isInPostcopy = (guest: Guest): boolean =>
  hasFailedInPostcopy(guest) || is(guest, VIR_DOMAIN_PAUSED_POSTCOPY, VIR_DOMAIN_RUNNING_POSTCOPY)
