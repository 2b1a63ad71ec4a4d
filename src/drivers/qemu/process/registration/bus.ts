// Calls to services on the host's D-Bus, each with a limit. The library is loaded by the first of them.
import type { EventEmitter } from 'node:events'
import { errorsFrom } from '../../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_DBUS')

const SYSTEM_BUS = 'unix:path=/run/dbus/system_bus_socket'
const CALL_TIMEOUT_MS = 10_000

export interface Call {
  service: string
  path: string
  interface: string
  member: string
  /** D-Bus types of `args` */
  signature: string
  args: unknown[]
}

/** An error the service answered with. */
export class ServiceError extends Error {
  readonly type: string

  constructor(type: string, text: string) {
    super(text)
    this.type = type
  }
}

/** Thrown where the host has no system bus. */
export class NoBus extends Error {}

const busAddress = () => process.env.DBUS_SYSTEM_BUS_ADDRESS || SYSTEM_BUS

/** A connection to the system bus for a few calls. */
export class HostBus {
  readonly #library: typeof import('@jellybrick/dbus-next')
  readonly #bus: import('@jellybrick/dbus-next').MessageBus
  readonly #lost: Promise<never>

  private constructor(library: typeof import('@jellybrick/dbus-next')) {
    this.#library = library
    this.#bus = library.sessionBus({ busAddress: busAddress() })
    // its types leave out this event
    const events = this.#bus as unknown as EventEmitter
    this.#lost = new Promise((_, reject) => events.on('error', reject))
    this.#lost.catch(() => undefined)
  }

  /**
   * Does something with a connection that is closed afterwards.
   * @throws NoBus
   */
  static async use<T>(work: (bus: HostBus) => Promise<T>): Promise<T> {
    const bus = new HostBus(await import('@jellybrick/dbus-next'))
    try {
      await bus.#connected()
      return await work(bus)
    } finally {
      bus.#bus.disconnect()
    }
  }

  async #connected(): Promise<void> {
    const connected = new Promise<void>(done => this.#bus.once('connect', () => done()))
    try {
      await this.#inTime('the system bus', connected)
    } catch (error) {
      throw new NoBus(`Unable to get system bus connection: ${(error as Error).message}`, { cause: error })
    }
  }

  async #inTime<T>(what: string, answer: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const error = () => fail('VIR_ERR_OPERATION_TIMEOUT', `no answer from ${what} in ${CALL_TIMEOUT_MS} ms`)
      timer = setTimeout(() => reject(error()), CALL_TIMEOUT_MS)
    })
    try {
      return await Promise.race([answer, this.#lost, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Makes a call. @throws ServiceError, VIR_ERR_OPERATION_TIMEOUT */
  async call({ service, path, interface: of, member, signature, args }: Call): Promise<unknown[]> {
    const { Message, DBusError } = this.#library
    const message = new Message({ destination: service, path, interface: of, member, signature, body: args })
    try {
      return (await this.#inTime(`${of}.${member}`, this.#bus.call(message)))?.body ?? []
    } catch (error) {
      throw error instanceof DBusError ? new ServiceError(error.type, error.text) : error
    }
  }

  /** True if a service of that name runs, or is started by a call to it. */
  async has(service: string): Promise<boolean> {
    const bus = { service: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus' }
    for (const member of ['ListNames', 'ListActivatableNames']) {
      const [names] = await this.call({ ...bus, member, signature: '', args: [] })
      if (Array.isArray(names) && names.includes(service)) return true
    }
    return false
  }

  /** A value of any type, with that type. */
  variant(signature: string, value: unknown): unknown {
    return new this.#library.Variant(signature, value)
  }

  /**
   * Waits for a signal.
   * @param rule D-Bus match rule
   * @param wanted picks the one waited for by its arguments
   * @returns a function that waits for it, to be called after the call that brings the signal about
   */
  async expect(rule: string, wanted: (args: unknown[]) => boolean): Promise<() => Promise<unknown[]>> {
    const seen = new Promise<unknown[]>(done =>
      this.#bus.on('message', message => {
        if (message.type === this.#library.MessageType.SIGNAL && wanted(message.body)) done(message.body)
      })
    )
    const bus = { service: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus' }
    await this.call({ ...bus, member: 'AddMatch', signature: 's', args: [rule] })
    return () => this.#inTime(rule, seen)
  }
}

/** A service's refusal as libvirt reports it. */
export function asVirError(error: unknown): unknown {
  if (!(error instanceof ServiceError)) return error
  return fail('VIR_ERR_DBUS_SERVICE', `${error.type}: ${error.message}`, error)
}
