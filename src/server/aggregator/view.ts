// View of all guests, as GET /v1/guests tells it.
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
  const { socket, unreachableSince } = guest
  // the ids of its claims are between the guest and us
  const { claims: _, ...report } = guest.report
  return {
    ...report,
    ...(socket !== undefined && { socket }),
    ...(unreachableSince !== undefined && { unreachableSince }),
    flags: registry.flags(guest)
  }
}

/** Every guest at every place, oldest first; with a word only those whose name, uuid or id it is. */
export function guestsJson(registry: Registry, word?: string): { guests: GuestView[] } {
  const guests = Array.from(registry.all()).filter(guest => word === undefined || isMeant(guest, word))
  return { guests: guests.map(guest => viewOf(registry, guest)) }
}

const isMeant = ({ report: { name, uuid, id } }: KnownGuest, word: string) =>
  name === word || uuid === word.toLowerCase() || (id !== -1 && String(id) === word)
