// When a program that says nothing of it has begun to listen: it sleeps, and nothing wakes it.
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const STEP_MS = 50

/** Waits until a process has slept for so long without being woken; gives up quietly when that does not come, or it ends. */
export async function untilIdle(pid: number | undefined, idleMs = 1000, limitMs = 30_000): Promise<void> {
  let before = ''
  let since = Date.now()
  for (const deadline = since + limitMs; Date.now() < deadline && existsSync(`/proc/${pid}`); await sleep(STEP_MS)) {
    const now = wakes(pid)
    if (now !== before || !now.startsWith('S')) since = Date.now()
    else if (Date.now() - since >= idleMs) return
    before = now
  }
}

/** Its state, and how often it has gone to sleep. */
function wakes(pid: number | undefined): string {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return `${/^State:\s+(\S)/m.exec(status)?.[1]} ${/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]}`
}
