// One run of the client: what it is connected to, where it prints.
import type { ApiName, RetOf } from '../drivers/qemu/index.ts'
import { parseInteger } from './arguments.ts'
import type { Lookup } from './command.ts'
import { type Args, aggregatorSocket, Connection, meansAll, type Report, socketsOf } from './connection.ts'
import { ApiError, ClientError } from './failure.ts'

export interface GlobalOptions {
  /** socket, directory or URI */
  connect: string | undefined
  quiet: boolean
  readOnly: boolean
}

export interface Guest {
  shim: Connection
  report: Report
}

export class Session {
  readonly options: GlobalOptions
  #connections: Promise<Connection[]> | undefined

  constructor(options: GlobalOptions) {
    this.options = options
  }

  print(text: string): void {
    process.stdout.write(text)
  }

  /** Says what the user should know of, beside what is printed (vshWarn). */
  warn(line: string): void {
    process.stderr.write(`error: ${line}\n`)
  }

  /** Says how far something is, beside what is printed: in place of what was said before on a terminal, else as a line. */
  showProgress(text: string): void {
    process.stderr.write(process.stderr.isTTY ? `\r${text}` : `${text}\n`)
  }

  /** Prints a text that `--quiet` leaves out. */
  printExtra(text: string): void {
    if (!this.options.quiet) this.print(text)
  }

  /** A line of the form `Label:          value`. */
  field(label: string, value: string | number | bigint): void {
    this.print(`${`${label}:`.padEnd(15)} ${value}\n`)
  }

  /** The sockets this connection means: those named by the user, else the aggregator's if it runs, else all shims'. */
  async connections(): Promise<Connection[]> {
    this.#connections ??= this.#findConnections()
    return this.#connections
  }

  async #findConnections(): Promise<Connection[]> {
    const { connect, readOnly } = this.options
    const at = (socket: string) => new Connection(readOnly ? socket.replace(/api\.sock$/, 'api-ro.sock') : socket)
    const central = meansAll(connect) ? aggregatorSocket() : undefined
    if (central !== undefined && (await at(central).answers())) return [at(central)]
    return socketsOf(connect).map(at)
  }

  /**
   * Every guest of this connection, or those one word may mean. A socket named by the user must answer; among many, one
   * left by a dead shim may not.
   */
  async guests(wanted?: string): Promise<Guest[]> {
    const connections = await this.connections()
    const answers = await Promise.allSettled(connections.map(connection => connection.guests(wanted)))
    const [only] = answers
    if (connections.length === 1 && this.options.connect !== undefined && only?.status === 'rejected') {
      throw new ClientError('failed to connect to the hypervisor', ...(only.reason as ClientError).lines)
    }
    return answers.flatMap((answer, i) =>
      answer.status === 'fulfilled'
        ? answer.value.map(report => ({ shim: connections[i]!.guest(report.uuid), report }))
        : []
    )
  }

  /** Calls an API about the host: of the aggregator, or of whichever shim answers. */
  async ask<N extends ApiName>(api: N, ...args: Args<N>): Promise<RetOf<N>> {
    let refused: unknown = new ClientError('failed to connect to the hypervisor', 'no guest of this connection runs')
    for (const connection of await this.connections()) {
      try {
        return await connection.call(api, ...args)
      } catch (error) {
        if (error instanceof ApiError) throw error
        refused = error
      }
    }
    throw refused
  }

  /** The connection for guests that none knows yet: the only one the user named, or the aggregator's. */
  async central(): Promise<Connection | undefined> {
    const [first, ...others] = await this.connections()
    if (!first || others.length > 0) return undefined
    return this.options.connect !== undefined || first.socket === aggregatorSocket() ? first : undefined
  }

  /** The guest of that id, uuid or name, looked for in this order as virsh does. */
  async lookup(wanted: string, by: Lookup = {}): Promise<Guest> {
    const guests = await this.guests(wanted)
    const id = by.id === false || !/^\d+$/.test(wanted) ? undefined : parseInteger(wanted)
    const found =
      (id !== undefined && guests.find(({ report }) => report.id === id)) ||
      guests.find(({ report }) => report.uuid === wanted.toLowerCase()) ||
      (by.name !== false && guests.find(({ report }) => report.name === wanted))
    if (!found) throw new ClientError(`failed to get domain '${wanted}'`)
    return found
  }
}
