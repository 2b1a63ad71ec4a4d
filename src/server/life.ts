// Life of a shim: to the end of its guest's run, or, with --linger, on as long as it is asked for things.
import { setTimeout as sleep } from 'node:timers/promises'
import { watchConsoles } from '../drivers/qemu/console/channels.ts'
import type { QemuDomain } from '../drivers/qemu/domain/domain.ts'
import type { Ended } from '../drivers/qemu/domain/run.ts'
import type { Activity } from './activity.ts'
import type { ApiSockets } from './sockets.ts'

/** Interval at which a shim of a shut-off guest looks whether anybody still wants it. */
const IDLE_LOOK_MS = 500

/** A request to end that can be made at any time, once. */
export class Leave {
  #ask: () => void = () => {}
  asked = false
  readonly promise = new Promise<void>(resolve => {
    this.#ask = resolve
  })

  ask(): void {
    this.asked = true
    this.#ask()
  }
}

export interface LifeOptions {
  /** a guest that is kept is served on when it is shut off */
  linger: boolean
  idleTimeoutMs: number
  leave: Leave
  sockets: ApiSockets
  activity: Activity
}

/** Serves until there is no more reason to. @returns how the guest's last run ended, 'left' if it still goes on */
export async function serve(domain: QemuDomain, options: LifeOptions): Promise<Ended | undefined | 'left'> {
  const { leave, linger } = options
  let ended: Ended | undefined
  for (;;) {
    await Promise.race([domain.startDone, leave.promise])
    if (domain.isActive && !leave.asked) {
      watchConsoles(domain)
      await Promise.race([domain.run?.ended, leave.promise])
    }
    if (leave.asked) return domain.isActive ? 'left' : ended
    if (domain.lastEnd !== ended) {
      ended = domain.lastEnd
      options.activity.touch()
    }
    if (domain.isActive) continue
    // what ended the guest may be about to start it again: it goes back to a snapshot
    if (domain.jobs.async) {
      await Promise.race([domain.jobs.async.ended.catch(() => undefined), leave.promise])
      continue
    }
    if (!linger || !domain.isPersistent) return ended
    await Promise.race([domain.waitForChange(domain.generation, IDLE_LOOK_MS), leave.promise])
    if (!leave.asked && (await isUnwanted(domain, options))) return ended
  }
}

/** True when nobody has asked for anything for so long, and the sockets were given up without anybody missing them. */
async function isUnwanted(domain: QemuDomain, { idleTimeoutMs, sockets, activity }: LifeOptions): Promise<boolean> {
  const idle = (ms: number) => !domain.isActive && activity.idleMs >= ms
  if (!idle(idleTimeoutMs)) return false
  const since = performance.now()
  sockets.hide()
  // callers that found the sockets before are accepted by now, and that is activity
  await sleep(50)
  if (idle(performance.now() - since)) return true
  sockets.show()
  return false
}
