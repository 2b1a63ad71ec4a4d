// Threads of a running QEMU that come and go with vCPUs and IOThreads: their ends on the host. What sees to them is loaded
// for them alone.
import type { QemuDomain } from '../domain/domain.ts'
import type { GuestThread } from './tuning/threads.ts'

/**
 * Sets up a thread that has come: called once for each, before anybody is told of it.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED without a controller it needs, VIR_ERR_SYSTEM_ERROR
 * Source: qemuProcessSetupVcpu, qemuProcessSetupIOThread.
 */
export async function setUpThread(domain: QemuDomain, thread: GuestThread): Promise<void> {
  const { tuneNewThread } = await import('./tuning/tune.ts')
  await tuneNewThread(domain, thread)
}

/** Takes away what was made for a thread that is gone, if anything. */
export async function forgetThread(domain: QemuDomain, { kind, id }: Omit<GuestThread, 'tid'>): Promise<void> {
  const { removeThreadGroup } = await import('./tuning/threads.ts')
  await removeThreadGroup(domain, kind, id)
}
