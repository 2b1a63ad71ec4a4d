// The drivers beside QEMU's, as one client uses them: passed through to libvirt's daemons where those are. A connection
// is opened with the client's first call of a driver and stays, as registrations for events do.
import { statSync } from 'node:fs'
import type { Reply, RpcClient } from '../rpc/client.ts'
import { type Frame, REMOTE_PROGRAM } from '../rpc/frame.ts'
import { driverLinks } from '../rpc/libvirt-sockets.ts'
import type { LinkOptions } from '../rpc/link.ts'
import { SECONDARY_STREAMS, type SecondaryDriver, secondaryDriver, withoutDriver } from '../rpc/secondary-drivers.ts'
import { Upstream } from '../rpc/upstream.ts'
import type { UpstreamPool } from '../rpc/upstream-pool.ts'

export interface SecondaryOptions {
  /** directory of libvirt's sockets; absent: there are no secondary drivers */
  directory: string | undefined
  /** a socket of our own that may lie there */
  own: string | undefined
}

export class SecondaryDrivers {
  readonly #client: RpcClient
  readonly #options: SecondaryOptions
  readonly #daemons: UpstreamPool

  /** @param daemons keeps the connections */
  constructor(client: RpcClient, options: SecondaryOptions, daemons: UpstreamPool) {
    this.#client = client
    this.#options = options
    this.#daemons = daemons
  }

  /**
   * Passes a call on to its driver. Where there is no such driver, there is nothing of the kind.
   * @throws VIR_ERR_NO_SUPPORT for calls that need the driver, VIR_ERR_RPC for a number that means nothing
   */
  async call(frame: Frame, readOnly: boolean): Promise<Reply> {
    const driver = frame.program === REMOTE_PROGRAM ? secondaryDriver(frame.procedure) : undefined
    const upstream = driver && (await this.#daemons.get(driver, () => this.#connect(driver, readOnly)))
    if (!upstream) return withoutDriver(frame)
    await upstream.forward(frame, SECONDARY_STREAMS.has(frame.procedure))
    return { sent: true }
  }

  async #connect(driver: SecondaryDriver, readOnly: boolean): Promise<Upstream | undefined> {
    const { directory } = this.#options
    if (directory === undefined) return undefined
    for (const link of driverLinks(driver, directory, readOnly)) {
      if (!this.#isUsable(link)) continue
      const upstream = new Upstream(this.#client, link)
      try {
        await upstream.opened()
        return upstream
      } catch {
        upstream.close()
      }
    }
    return undefined
  }

  /** There, and not our own. */
  #isUsable({ socket }: LinkOptions): boolean {
    const there = statSync(socket, { throwIfNoEntry: false })
    const own = this.#options.own === undefined ? undefined : statSync(this.#options.own, { throwIfNoEntry: false })
    return there !== undefined && (own === undefined || there.dev !== own.dev || there.ino !== own.ino)
  }
}
