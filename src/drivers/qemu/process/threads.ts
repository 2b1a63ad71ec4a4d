// Threads of a running QEMU that come and go with vCPUs and IOThreads: their ends on the host.
import type { QemuDomain } from '../domain/domain.ts'

/** A thread, by what of the guest it is. */
export interface GuestThread {
  kind: 'vcpu' | 'iothread'
  /** number of the vCPU or IOThread */
  id: number
}

/**
 * Sets up a thread that has come: called once for each, before anybody is told of it.
 * Source: qemuProcessSetupVcpu, qemuProcessSetupIOThread.
 */
export async function setUpThread({ log }: QemuDomain, thread: GuestThread & { tid: number }): Promise<void> {
  log.debug(thread, 'a thread has come')
}

/** Takes away what was made for a thread that is gone, if anything. */
export async function forgetThread({ log }: QemuDomain, thread: GuestThread): Promise<void> {
  log.debug(thread, 'a thread is gone')
}
