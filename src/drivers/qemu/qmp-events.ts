// What QEMU tells unasked: one handler per QMP event (qemu-qmp-ref "Events"), as in libvirt's qemu_process.c.
//
// Events of jobs (migration, dump, block jobs) have no handler here: they are for the call that started the job, which
// listens to the monitor itself.
import type { QemuDomain } from './domain.ts'
import { deviceEvents } from './events/devices.ts'
import { failureEvents } from './events/failures.ts'
import { graphicsEvents } from './events/graphics.ts'
import type { Handler } from './events/handler.ts'
import { lifecycleEvents } from './events/lifecycle.ts'
import type { QmpEvent } from './qmp.ts'

/** Looked up when an event comes: handlers end guests and monitor.ts hands events over, so they import each other. */
function findHandler(event: string): Handler | undefined {
  const table = [lifecycleEvents, failureEvents, deviceEvents, graphicsEvents].find(one => Object.hasOwn(one, event))
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
