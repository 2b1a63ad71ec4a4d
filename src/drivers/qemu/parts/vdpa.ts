// Devices of the host's vDPA bus, which QEMU gets open.
import { errorsFrom } from '../../../conf/error.ts'
import { checkThere } from '../../../host/there.ts'
import type { Builder } from './builder.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/**
 * Opens a vDPA device for QEMU (qemuVDPAConnect).
 * @param name tells it from the guest's other files
 * @returns the path QEMU finds it at
 * @throws VIR_ERR_SYSTEM_ERROR
 */
export function vdpaFile(to: Builder, name: string, path: string): string {
  const place = to.fd({ name, path, set: true })
  if (place !== undefined) return place
  const failed = `Unable to open '${path}' for vdpa device`
  checkThere(path, failed, 'VIR_FROM_QEMU')
  throw fail('VIR_ERR_SYSTEM_ERROR', `${failed}: Permission denied`)
}
