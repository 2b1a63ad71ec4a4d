// Messages to our starter: that we serve, why we do not, how it ended. Over Node's channel where there is one,
// and with --json as lines on standard output.
import type { ErrorJson } from '../conf/error.ts'
import type { GuestHandle } from '../drivers/connection.ts'

export type News =
  /** the guest runs, or is served while it is shut off */
  | ({ state: 'running' | 'inactive' } & GuestHandle)
  /** we could not serve; `status` is our exit status */
  | { error: ErrorJson; status: number }
  /** we are done; `reason` is the virDomainShutoffReason of the last run, if there was one */
  | { ended: { reason: number; failed: boolean } | null; status: number }

/** Aborts when our starter closes Node's channel, or is gone. */
export function starterGone(): AbortSignal {
  const gone = new AbortController()
  if (process.connected) process.once('disconnect', () => gone.abort())
  else gone.abort()
  // to listen to it is no reason to go on
  process.channel?.unref()
  return gone.signal
}

let onStandardOutput = false

/** Lines of JSON on standard output from now on. */
export function tellOnStandardOutput(): void {
  onStandardOutput = true
  // a reader who has gone is no reason to end
  process.stdout.on('error', () => undefined)
}

/** Tells it; settles when it is on its way. A starter who is gone does not matter. */
export function tell(news: News): Promise<void> {
  if (onStandardOutput) process.stdout.write(`${JSON.stringify(news)}\n`)
  return new Promise(done => {
    if (process.send && process.connected) process.send(news, undefined, undefined, () => done())
    else done()
  })
}
