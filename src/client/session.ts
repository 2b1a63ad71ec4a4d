// One run of the client: what it is connected to, where it prints.
import { parseInteger } from './arguments.ts'
import type { Lookup } from './command.ts'
import { type Report, ShimConnection, socketsOf } from './connection.ts'
import { ClientError } from './failure.ts'

export interface GlobalOptions {
  /** socket, directory or URI */
  connect: string | undefined
  quiet: boolean
  readOnly: boolean
}

export interface Guest {
  shim: ShimConnection
  report: Report
}

export class Session {
  readonly options: GlobalOptions

  constructor(options: GlobalOptions) {
    this.options = options
  }

  print(text: string): void {
    process.stdout.write(text)
  }

  /** What `--quiet` leaves out. */
  printExtra(text: string): void {
    if (!this.options.quiet) this.print(text)
  }

  /** A line of the form `Label:          value`. */
  field(label: string, value: string | number | bigint): void {
    this.print(`${`${label}:`.padEnd(15)} ${value}\n`)
  }

  get shims(): ShimConnection[] {
    const { connect, readOnly } = this.options
    return socketsOf(connect).map(
      socket => new ShimConnection(readOnly ? socket.replace(/api\.sock$/, 'api-ro.sock') : socket)
    )
  }

  /** Every guest of this connection. A socket named by the user must answer; among many, one left by a dead shim may not. */
  async guests(): Promise<Guest[]> {
    const { shims } = this
    const reports = await Promise.allSettled(shims.map(shim => shim.report()))
    const [only] = reports
    if (shims.length === 1 && this.options.connect !== undefined && only?.status === 'rejected') {
      throw new ClientError('failed to connect to the hypervisor', ...(only.reason as ClientError).lines)
    }
    return reports.flatMap((report, i) =>
      report.status === 'fulfilled' ? [{ shim: shims[i]!, report: report.value }] : []
    )
  }

  /** The guest of that id, uuid or name, looked for in this order as virsh does. */
  async lookup(wanted: string, by: Lookup = {}): Promise<Guest> {
    const guests = await this.guests()
    const id = by.id === false || !/^\d+$/.test(wanted) ? undefined : parseInteger(wanted)
    const found =
      (id !== undefined && guests.find(({ report }) => report.id === id)) ||
      guests.find(({ report }) => report.uuid === wanted.toLowerCase()) ||
      (by.name !== false && guests.find(({ report }) => report.name === wanted))
    if (!found) throw new ClientError(`failed to get domain '${wanted}'`)
    return found
  }
}
