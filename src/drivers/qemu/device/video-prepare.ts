// Display adapters of a guest about to start: the program behind a vhost-user one (qemuVhostUserFillDomainGPU).
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { QemuContext } from '../context.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/**
 * Differs from libvirt: no vhost-user-gpu process is ever started, so a guest that asks for one is refused as on a host
 * without the program.
 * @throws VIR_ERR_OPERATION_FAILED
 */
export function prepareVideo({ devices }: DomainDef, _context: QemuContext): void {
  if (devices.videos.some(({ driver }) => driver?.name === 'vhostuser')) {
    throw fail('VIR_ERR_OPERATION_FAILED', 'Unable to find a satisfying vhost-user-gpu')
  }
}
