// A shim's side of one RPC client: its one guest is here.
import type { QemuDomain } from '../../drivers/qemu/domain/domain.ts'
import { findMethod } from '../../drivers/qemu/index.ts'
import { hostOf } from '../connection.ts'
import { type Call, run } from '../dispatch.ts'
import { ConnectionCalls } from './calls.ts'
import type { Reply, RpcClient } from './client.ts'
import { readFields } from './codec.ts'
import type { EventSource } from './events.ts'
import { type Frame, readerOf } from './frame.ts'
import { guestOf, type Procedure } from './procedures.ts'

export class ShimCalls extends ConnectionCalls {
  readonly #domain: QemuDomain

  constructor(domain: QemuDomain, client: RpcClient, readOnly: boolean) {
    super(hostOf(domain), eventSource(domain), client, readOnly)
    this.#domain = domain
  }

  protected knows(uuid: string): boolean {
    return uuid === this.#domain.uuid
  }

  protected async guestCall(procedure: Procedure, frame: Frame, signal: AbortSignal): Promise<Reply> {
    const given = readFields(procedure.args, readerOf(frame))
    const perform = (call: Call) => {
      this.checkGuest(guestOf(procedure, given))
      return run(this.#domain, { ...call, signal })
    }
    return this.answer(procedure, given, { find: findMethod, perform, guest: this.#domain })
  }
}

function eventSource(domain: QemuDomain): EventSource {
  return {
    listen: listener => domain.events.listen(event => listener(domain, event)),
    listenMonitor: listener => domain.monitorListeners.add(event => listener(domain, event))
  }
}
