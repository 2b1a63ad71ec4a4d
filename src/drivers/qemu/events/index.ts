// QEMU's events: one handler per QMP event (qemu-qmp-ref "Events"), as in libvirt's qemu_process.c.
import type { QemuDomain } from '../domain/domain.ts'
import type { QmpEvent } from '../monitor/qmp.ts'
import { deviceEvents } from './devices.ts'
import { failureEvents } from './failures.ts'
import { graphicsEvents } from './graphics.ts'
import type { Handler } from './handler.ts'
import { jobEvents } from './jobs.ts'
import { lifecycleEvents } from './lifecycle.ts'

/** Looked up when an event comes: handlers end guests and monitor.ts hands events over, so they import each other. */
function findHandler(event: string): Handler | undefined {
  const table = [lifecycleEvents, failureEvents, deviceEvents, graphicsEvents, jobEvents].find(one =>
    Object.hasOwn(one, event)
  )
  return table?.[event]
}

/** Acts on one QMP event. A handler that fails is logged; the next event is handled all the same. */
export function handleQmpEvent(domain: QemuDomain, { event, data, timestampUs }: QmpEvent): void {
  domain.log.debug({ event, data }, 'QMP event')
  const failed = (error: unknown) => domain.log.error({ event, err: error }, 'QMP event handler failed')
  try {
    const done = findHandler(event)?.(domain, data, timestampUs)
    if (done) done.catch(failed)
  } catch (error) {
    failed(error)
  }
}
