// Refusals: what speaks against something. The first one ends the work; a dry run hears of it, and goes on to the next.
import { VirError } from './error.ts'

/**
 * Told of what speaks against something. A check that is not ended by it goes on.
 * @param device the one of several that it is about
 */
export type Refuse = (error: VirError, device?: string) => void

/** Ends the work with the first one. */
export const orThrow: Refuse = error => {
  throw error
}

/** Makes checks one after the other: what one of them throws is a refusal, and keeps none of the others from being made. */
export function checkAll(refuse: Refuse, checks: Iterable<() => void>): void {
  for (const check of checks) attempt(refuse, check)
}

/** Does what may be refused. @returns what it gives, undefined where it was refused */
export function attempt<T>(refuse: Refuse, work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof VirError)) throw error
    refuse(error)
    return undefined
  }
}
