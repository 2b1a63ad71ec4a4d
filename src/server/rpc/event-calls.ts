// The calls that register for events, in all forms clients of fifteen years use.
import { createContext, Script } from 'node:vm'
import { virDomainEventID } from '../../conf/enums.ts'
import { argumentErrorsFrom, errorsFrom } from '../../conf/error.ts'
import type { Exceptions } from './exceptions.ts'

const { VIR_DOMAIN_EVENT_ID_LIFECYCLE } = virDomainEventID
const failNone = errorsFrom('VIR_FROM_NONE')
const badFlags = argumentErrorsFrom('VIR_FROM_NONE')

const MONITOR_REGEX = 1
const MONITOR_NOCASE = 2

/** Time a client's regular expression has for the name of one event: far more than one needs that comes to an end. */
const MATCH_LIMIT_MS = 1000
/** Names of which the answer is kept: QEMU has some hundred. */
const NAMES_KEPT = 256

/**
 * A client's regular expression, asked once for each name. One that backtracks without end is stopped, as PCRE stops it,
 * and finds nothing from then on.
 * @throws SyntaxError
 */
function boundedMatch(source: string, flags: string): (name: string) => boolean {
  const context = createContext({ pattern: new RegExp(source, flags) })
  const script = new Script('pattern.test(name)')
  const known = new Map<string, boolean>()
  let isEndless = false
  return name => {
    const before = isEndless ? false : known.get(name)
    if (before !== undefined) return before
    try {
      context.name = name
      const found: boolean = script.runInContext(context, { timeout: MATCH_LIMIT_MS })
      if (known.size < NAMES_KEPT) known.set(name, found)
      return found
    } catch {
      isEndless = true
      return false
    }
  }
}

/** The QEMU events a registration means: one by name, or all that a regular expression finds. */
export function monitorFilter(event: string | undefined, flags: number): (name: string) => boolean {
  const unknown = (flags & ~(MONITOR_REGEX | MONITOR_NOCASE)) >>> 0
  if (unknown !== 0) {
    const checker = 'virDomainQemuMonitorEventStateRegisterID'
    throw badFlags(`unsupported flags (0x${unknown.toString(16)}) in function ${checker}`)
  }
  if (event === undefined) return () => true
  const nocase = (flags & MONITOR_NOCASE) !== 0
  if ((flags & MONITOR_REGEX) === 0) {
    return nocase ? name => name.toLowerCase() === event.toLowerCase() : name => name === event
  }
  try {
    return boundedMatch(event, nocase ? 'i' : '')
  } catch (error) {
    throw failNone('VIR_ERR_INVALID_ARG', `failed to compile regex '${event}': ${(error as Error).message}`, error)
  }
}

export const eventExceptions: Exceptions = {
  CONNECT_DOMAIN_EVENT_REGISTER: {
    async run({ events }) {
      events.register(VIR_DOMAIN_EVENT_ID_LIFECYCLE, undefined, true)
      await events.listening()
      return { cb_registered: 1 }
    }
  },
  CONNECT_DOMAIN_EVENT_DEREGISTER: {
    run({ events }) {
      events.deregisterOld(VIR_DOMAIN_EVENT_ID_LIFECYCLE)
      return { cb_registered: 0 }
    }
  },
  CONNECT_DOMAIN_EVENT_REGISTER_ANY: {
    async run({ events }, { eventID }) {
      events.register(eventID, undefined, true)
      await events.listening()
      return {}
    }
  },
  CONNECT_DOMAIN_EVENT_DEREGISTER_ANY: {
    run({ events }, { eventID }) {
      events.deregisterOld(eventID)
      return {}
    }
  },
  CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: {
    async run({ events }, { eventID, dom }) {
      const callbackID = events.register(eventID, dom?.uuid)
      await events.listening()
      return { callbackID }
    }
  },
  CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: {
    run({ events }, { callbackID }) {
      events.deregister(callbackID)
      return {}
    }
  },
  CONNECT_DOMAIN_MONITOR_EVENT_REGISTER: {
    run(connection, { dom, event, flags }) {
      if (dom) connection.checkGuest(dom)
      return { callbackID: connection.events.registerMonitor(monitorFilter(event, flags), dom?.uuid) }
    }
  },
  CONNECT_DOMAIN_MONITOR_EVENT_DEREGISTER: {
    run({ events }, { callbackID }) {
      events.deregisterMonitor(callbackID)
      return {}
    }
  }
}
