// The guest a definition is of: a name and a uuid belong to one guest each.
import { errorsFrom } from '../conf/error.ts'
import type { GuestEntry } from './connection.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export interface Identity {
  name: string
  uuid: string
}

/**
 * The guest that a definition with this name and uuid is of, undefined for a new one (virDomainObjListAddLocked).
 * @throws VIR_ERR_OPERATION_FAILED where only one of the two is a known guest's
 */
export function knownGuest<G extends Identity>(wanted: Identity, guests: readonly G[]): G | undefined {
  const known = guests.find(({ uuid }) => uuid === wanted.uuid)
  if (known) {
    if (known.name === wanted.name) return known
    throw fail('VIR_ERR_OPERATION_FAILED', `domain '${known.name}' is already defined with uuid ${known.uuid}`)
  }
  const namesake = guests.find(({ name }) => name === wanted.name)
  if (!namesake) return undefined
  throw fail('VIR_ERR_OPERATION_FAILED', `domain '${wanted.name}' already exists with uuid ${namesake.uuid}`)
}

/** A guest that runs, or is not kept, cannot be created once more. @throws VIR_ERR_OPERATION_INVALID */
export function checkCreatable({ name, id, persistent }: Pick<GuestEntry, 'name' | 'id' | 'persistent'>): void {
  if (id !== -1) throw fail('VIR_ERR_OPERATION_INVALID', `domain '${name}' is already active`)
  if (!persistent) throw fail('VIR_ERR_OPERATION_INVALID', `domain '${name}' is already being started`)
}
