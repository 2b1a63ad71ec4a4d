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
  checkVdpa(path)
  throw fail('VIR_ERR_SYSTEM_ERROR', `${failureAt(path)}: Permission denied`)
}

/** Looks for a vDPA device. @throws VIR_ERR_SYSTEM_ERROR */
export const checkVdpa = (path: string): void => checkThere(path, failureAt(path), 'VIR_FROM_QEMU')

const failureAt = (path: string) => `Unable to open '${path}' for vdpa device`
