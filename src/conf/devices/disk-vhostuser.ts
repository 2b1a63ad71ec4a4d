// Settings that a disk served by another process (vhost-user) cannot have, as QEMU does not see its data
// (virDomainDiskVhostUserValidate).
import { errorsFrom } from '../error.ts'
import type { DiskDef } from './disk.ts'
import { hasIoTuneLimits } from './disk-iotune.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Refused settings under libvirt's names, in its order of checking. */
const REFUSED: [what: string, has: (disk: DiskDef) => boolean][] = [
  ['cache', ({ driver }) => driver.cache !== undefined],
  ['error_policy', ({ driver }) => driver.errorPolicy !== undefined || driver.rerrorPolicy !== undefined],
  ['io', ({ driver }) => driver.io !== undefined],
  ['ioeventfd', ({ driver }) => driver.ioeventfd !== undefined],
  ['copy_on_read', ({ driver }) => driver.copyOnRead !== undefined],
  ['discard', ({ driver }) => driver.discard !== undefined],
  ['iothread', ({ driver }) => driver.iothread !== undefined],
  ['detect_zeroes', ({ driver }) => driver.detectZeroes !== undefined],
  ['metadata_cache', ({ source }) => source.metadataCacheMaxSize !== undefined],
  ['iotune', ({ iotune }) => iotune?.group_name !== undefined || hasIoTuneLimits(iotune)],
  ['backingStore', ({ source }) => source.backingStore !== undefined],
  ['encryption', ({ source }) => source.encryption !== undefined],
  ['readonly', ({ readonly }) => readonly === true],
  ['shareable', ({ shareable }) => shareable === true],
  ['transient', ({ transient }) => transient !== undefined],
  ['serial', ({ serial }) => serial !== undefined],
  ['wwn', ({ wwn }) => wwn !== undefined],
  ['vendor', ({ vendor }) => vendor !== undefined],
  ['product', ({ product }) => product !== undefined],
  ['auth', ({ source }) => source.auth !== undefined],
  ['geometry', ({ geometry }) => geometry !== undefined && Object.keys(geometry).length > 0],
  ['blockio', ({ blockio }) => blockio !== undefined && Object.keys(blockio).length > 0]
]

/** Checks a disk of type vhostuser. @throws VIR_ERR_CONFIG_UNSUPPORTED for the first refused setting */
export function validateVhostUserDisk(disk: DiskDef): void {
  if (disk.target?.bus !== 'virtio') throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'vhostuser disk supports only virtio bus')
  if (disk.snapshot !== 'no')
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'only snapshot=no is supported with vhostuser disk')
  const refused = REFUSED.find(([, has]) => has(disk))
  if (refused) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `${refused[0]} is not supported with vhostuser disk`)
}
