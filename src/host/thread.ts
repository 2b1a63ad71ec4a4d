// Affinity and scheduling of threads, by util-linux: Node.js has neither system call.
import { errorsFrom } from '../conf/error.ts'
import { CommandFailed, hostCommand } from './command.ts'

const fail = errorsFrom('VIR_FROM_NONE')

export const TASKSET = '/usr/bin/taskset'
const CHRT = '/usr/bin/chrt'

/** What the system call said: util-linux has it behind its own words. */
const reason = (error: unknown) => (error as Error).message.split('\n')[0]!.split(': ').pop()!

/**
 * Lets a thread run on these CPUs of the host alone (virProcessSetAffinity).
 * @param cpus as `0-3,8`
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export async function setAffinity(thread: number, cpus: string): Promise<void> {
  try {
    await hostCommand(TASKSET, ['-pc', cpus, String(thread)])
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error
    throw fail('VIR_ERR_SYSTEM_ERROR', `cannot set CPU affinity on process ${thread}: ${reason(error)}`, error)
  }
}

export type SchedulingPolicy = 'batch' | 'idle' | 'fifo' | 'rr'

/** sched_get_priority_min and sched_get_priority_max of Linux for fifo and rr. */
const PRIORITIES = [1, 99] as const

/**
 * Sets a thread's scheduling policy (virProcessSetScheduler).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for a priority the kernel does not have, VIR_ERR_SYSTEM_ERROR
 */
export async function setScheduling(thread: number, policy: SchedulingPolicy, priority = 0): Promise<void> {
  const [min, max] = PRIORITIES
  const isRealtime = policy === 'fifo' || policy === 'rr'
  if (isRealtime && (priority < min || priority > max)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `Scheduler priority ${priority} out of range [${min}, ${max}]`)
  }
  try {
    await hostCommand(CHRT, [`--${policy}`, '-p', String(isRealtime ? priority : 0), String(thread)])
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error
    throw fail('VIR_ERR_SYSTEM_ERROR', `Cannot set scheduler parameters for pid ${thread}: ${reason(error)}`, error)
  }
}
