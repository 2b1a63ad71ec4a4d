// What is known of all guests, as GET /v1/guests tells it.
import type { Report } from '../report.ts'
import type { Flag, KnownGuest, Registry } from './registry.ts'

/** One guest at one place; schemas/guests.json says the same. */
export interface GuestView extends Report {
  /** API socket by which its shim is reached from here; absent when it is shut off and has none */
  socket?: string
  /** ms since the epoch; there while the shim does not answer, the rest is then what was known last */
  unreachableSince?: number
  flags: Flag[]
}

function viewOf(registry: Registry, guest: KnownGuest): GuestView {
  const { report, socket, unreachableSince } = guest
  return {
    ...report,
    ...(socket !== undefined && { socket }),
    ...(unreachableSince !== undefined && { unreachableSince }),
    flags: registry.flags(guest)
  }
}

/** Every guest at every place, oldest first. */
export function guestsJson(registry: Registry): { guests: GuestView[] } {
  return { guests: Array.from(registry.all(), guest => viewOf(registry, guest)) }
}
