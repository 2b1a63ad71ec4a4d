// Change of what follows when a guest shuts down, reboots or crashes.
import type { LifecycleAction, LifecycleActions } from '../../../conf/domain/events.ts'
import type { Meant } from '../../method.ts'
import { validateLifecycle } from '../definition/validate.ts'
import type { QemuDomain } from '../domain/domain.ts'
import type { QmpMonitor } from '../monitor/qmp.ts'

/** QEMU's part of it: a reboot that is to end the guest is a shutdown to it. */
export async function tellRebootAction(qmp: QmpMonitor, action: LifecycleAction): Promise<void> {
  const reboot = { destroy: 'shutdown', restart: 'reset' }[action as string]
  if (reboot) await qmp.execute('set-action', { reboot })
}

/**
 * Changes actions in the definitions that are meant, all or none. QEMU is told before it is saved; should this process end
 * in between, the next one tells QEMU what the definition has (qemuDomainSetLifecycleAction).
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for actions that the driver cannot carry out
 */
export async function setLifecycleAction(
  domain: QemuDomain,
  { live, config }: Meant,
  actions: Partial<LifecycleActions>
): Promise<void> {
  for (const def of [live, config]) if (def) validateLifecycle({ ...def, ...actions })
  const former = live?.onReboot
  const { onReboot } = actions
  const isTold = former !== undefined && onReboot !== undefined && onReboot !== former
  if (isTold) await tellRebootAction(domain.qmp, onReboot)
  try {
    domain.change({ live, config }, def => ({ ...def, ...actions }))
  } catch (error) {
    if (isTold) await tellRebootAction(domain.qmp, former)
    throw error
  }
}
