// One run of a guest: from the moment its QEMU is there until nothing of it is left.
import { errorsFrom } from '../../../conf/error.ts'
import { boundLog } from '../../../host/log-file.ts'

import type { Ended, QemuDomain } from './domain.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const LOG_CHECK_MS = 60_000

interface Run {
  /** settles with QEMU's exit code or signal; absent for a QEMU that is not our child */
  exited?: Promise<string>
  ended: (ended: Ended) => void
  promise: Promise<Ended>
  timer: NodeJS.Timeout
}

const running = new WeakMap<QemuDomain, Run>()

/** Settles when the guest's present run is over; at once when it is. */
export async function whenEnded(domain: QemuDomain): Promise<Ended> {
  const ended = running.get(domain)?.promise ?? domain.lastEnd
  if (!ended) throw fail('VIR_ERR_OPERATION_INVALID', 'domain is not running')
  return ended
}

/** Settles when the QEMU we started ends; undefined for one taken over. */
export const whenExited = (domain: QemuDomain): Promise<string> | undefined => running.get(domain)?.exited

export function beginRun(domain: QemuDomain, exited?: Promise<string>): void {
  let ended: (ended: Ended) => void = () => {}
  const promise = new Promise<Ended>(resolve => {
    ended = resolve
  })
  const timer = setInterval(() => {
    for (const log of [domain.root.log, domain.root.shimLog]) boundLog(log)
  }, LOG_CHECK_MS)
  timer.unref()
  running.set(domain, { exited, ended, promise, timer })
}

/** Forgets the run. @returns tells those who wait for its end */
export function endRun(domain: QemuDomain): (ended: Ended) => void {
  const run = running.get(domain)
  clearInterval(run?.timer)
  running.delete(domain)
  return ended => run?.ended(ended)
}
