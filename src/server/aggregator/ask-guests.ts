// The same question to the shims of many guests.
import { parseJson } from '../../conf/json.ts'
import { ask } from '../raw-http.ts'
import type { Registry } from './registry.ts'

/** A guest that does not answer in this time is left out. */
const LIMIT_MS = 5000
/** Shims asked at a time. */
const AT_ONCE = 64

/** Answers of those shims that give one, in the order of their guests. @param path of one that a shim is polled for */
export async function askGuests<G extends { uuid: string }>(
  registry: Registry,
  guests: readonly G[],
  path: string
): Promise<{ guest: G; body: unknown }[]> {
  const answers = new Array<{ guest: G; body: unknown } | undefined>(guests.length)
  let next = 0
  const work = async () => {
    for (let i = next++; i < guests.length; i = next++) {
      const guest = guests[i]!
      const body = await bodyOf(registry, guest.uuid, path)
      if (body !== undefined) answers[i] = { guest, body }
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, guests.length) }, work))
  return answers.filter(answer => answer !== undefined)
}

async function bodyOf(registry: Registry, uuid: string, path: string): Promise<unknown> {
  const guest = registry.byUuid(uuid)
  if (guest?.socket === undefined || guest.unreachableSince !== undefined) return undefined
  try {
    const { status, body } = await ask(guest.socket, { method: 'GET', path, timeoutMs: LIMIT_MS })
    return status === 200 ? parseJson(body) : undefined
  } catch {
    return undefined
  }
}
