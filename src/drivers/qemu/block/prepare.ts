// An image before QEMU is told of it, whether the user has named it or it was found below another
// (qemuDomainPrepareStorageSourceBlockdev, qemuDomainPrepareStorageSourceTLS).
import { errorsFrom } from '../../../conf/error.ts'
import { isStorageEmpty, type StorageSource } from '../../../conf/storage/source.ts'
import type { QemuContext } from '../context.ts'
import { storageSecrets } from './nodes.ts'
import { validateStorage } from './validate.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** Whose TLS libvirt's configuration decides if the image does not say. */
const TLS_CONFIG = { nbd: 'nbdTls', vxhs: 'vxhsTls' } as const

/** TLS towards the server of an image. */
function prepareTls(source: StorageSource, { config }: QemuContext): void {
  if (source.type !== 'network') return
  const { protocol } = source
  if (protocol === 'none') throw fail('VIR_ERR_INTERNAL_ERROR', 'Unexpected enum value 0 for virStorageNetProtocol')
  if (protocol === 'nbd' || protocol === 'vxhs') {
    if (source.tls !== undefined) return
    source.tls = config[TLS_CONFIG[protocol]]
    source.tlsFromConfig = true
  } else if (source.tls)
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `TLS transport is not supported for disk protocol '${protocol}'`)
}

/**
 * Checks an image and settles what is left open.
 * @throws VIR_ERR_CONFIG_UNSUPPORTED for what QEMU cannot use, VIR_ERR_NO_SECRET
 */
export function prepareImage(image: StorageSource, readOnly: boolean, context: QemuContext): void {
  validateStorage(image, readOnly, context.qemu)
  if (!isStorageEmpty(image)) storageSecrets(image, context.secrets)
  prepareTls(image, context)
}
