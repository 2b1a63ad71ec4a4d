// Memory that is sent without a copy of it in the kernel: its pages stay locked until they are gone, so QEMU must be allowed
// to lock as much as the guest has (qemuDomainSetMaxMemLock).
import { readFileSync } from 'node:fs'
import { runHostCommand } from '../../../host/command.ts'
import type { QemuDomain } from '../domain/domain.ts'
import { PRLIMIT } from '../process/privilege.ts'

/** Limits of memory to lock, soft and hard: bytes or `unlimited`. */
const LIMITS = /^Max locked memory +(\d+|unlimited) +(\d+|unlimited)/m

const bytesOf = (limit: string): number => (limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit))

const setLimits = (pid: number, limits: string) => runHostCommand(PRLIMIT, ['--pid', `${pid}`, `--memlock=${limits}`])

/**
 * Lets QEMU lock the guest's memory, unless it may already: in a container we may not have the right to.
 * @throws VIR_ERR_INTERNAL_ERROR where we have no right to raise the limit
 */
export async function lockMemory(domain: QemuDomain): Promise<void> {
  const { def, process, running } = domain
  if (!process) return
  const { hardLimitKiB } = def.memtune ?? {}
  const wanted = (hardLimitKiB ?? def.memoryKiB ?? 0) * 1024
  const [, soft = '0', hard = '0'] = LIMITS.exec(readFileSync(`/proc/${process.pid}/limits`, 'utf8')) ?? []
  if (bytesOf(soft) >= wanted) return
  running.memoryLock ??= `${soft}:${hard}`
  domain.save()
  await setLimits(process.pid, `${wanted}:${bytesOf(hard) < wanted ? wanted : hard}`)
}

/** Puts the limit back. */
export async function unlockMemory(domain: QemuDomain): Promise<void> {
  const { process, run, log } = domain
  if (!process || run?.memoryLock === undefined) return
  await setLimits(process.pid, run.memoryLock).catch(err => log.warn({ err }, 'memory may be locked yet'))
  run.memoryLock = undefined
}
