// `event`: waits for events of guests and prints them.
import { type Commands, option } from '../command.ts'
import type { Connection } from '../connection.ts'
import { EVENT_NAMES, EVENT_TEXTS } from '../event-text.ts'
import { ClientError } from '../failure.ts'
import type { Session } from '../session.ts'

/** In ms an int holds it: virsh's limit and that of timers. */
const TIMEOUT_MAX_S = Math.floor((2 ** 31 - 1) / 1000)

export const event: Commands = {
  event: {
    help: 'Domain Events',
    options: {
      domain: option.text('filter by domain name, id, or uuid', { emptyOk: true }),
      event: option.text('which event type to wait for', { values: Object.keys(EVENT_TEXTS) }),
      all: option.bool('wait for all events instead of just one type'),
      loop: option.bool('loop until timeout or interrupt, rather than one-shot'),
      timeout: option.int('timeout seconds'),
      list: option.bool('list valid event types'),
      timestamp: option.bool('show timestamp for each printed event')
    },
    async run(session, given) {
      given.exclusive(['all', 'event'], ['list', 'all'], ['list', 'event'])
      if (given.has('list')) return session.print(Object.keys(EVENT_TEXTS).join('\n').concat('\n'))
      const wanted = given.text('event')
      if (wanted === undefined && !given.has('all')) {
        throw new ClientError('one of --list, --all, or --event <type> is required')
      }
      if (wanted !== undefined && !Object.hasOwn(EVENT_TEXTS, wanted))
        throw new ClientError(`unknown event type ${wanted}`)
      const seconds = given.int('timeout', { min: 1, max: TIMEOUT_MAX_S })
      const name = given.text('domain')
      if (name === '') throw new ClientError("Failed to get option 'domain': Option argument is empty")
      const uuid = name === undefined ? undefined : (await session.lookup(name)).report.uuid
      const show = { wanted, uuid, loop: given.has('loop'), timestamp: given.has('timestamp') }
      const count = await watch(session, show, seconds)
      session.print(`events received: ${count}\n`)
      if (count === 0) throw new ClientError()
    }
  }
}

interface Show {
  wanted: string | undefined
  /** of the one guest whose events are wanted */
  uuid: string | undefined
  loop: boolean
  timestamp: boolean
}

/** Prints events until one came (or without end), the time is up, or the user interrupts. Gives how many. */
async function watch(session: Session, show: Show, seconds: number | undefined): Promise<number> {
  const over = new AbortController()
  const interrupted = () => {
    session.print('event loop interrupted\n')
    over.abort()
  }
  const timer = setTimeout(
    () => {
      session.print('event loop timed out\n')
      over.abort()
    },
    seconds === undefined ? 2 ** 31 - 1 : seconds * 1000
  )
  process.once('SIGINT', interrupted)
  let count = 0
  const follow = async (connection: Connection) => {
    for await (const { event: id, data } of await connection.events(over.signal)) {
      const dom = data.dom as { name: string; uuid: string }
      if (show.uuid !== undefined && show.uuid !== dom.uuid) continue
      const name = EVENT_NAMES.get(id)
      if (name === undefined || (show.wanted !== undefined && name !== show.wanted)) continue
      const at = show.timestamp ? `${new Date().toISOString().replace('T', ' ').replace('Z', '+0000')}: ` : ''
      session.print(`${at}event '${name}' for domain '${dom.name}'${EVENT_TEXTS[name]!(data)}\n`)
      count++
      if (!show.loop) return over.abort()
    }
  }
  const following = (await session.connections()).map(connection =>
    follow(connection).catch(error => {
      if (!over.signal.aborted) throw error
    })
  )
  try {
    await Promise.all(following)
  } finally {
    over.abort()
    clearTimeout(timer)
    process.removeListener('SIGINT', interrupted)
  }
  return count
}
