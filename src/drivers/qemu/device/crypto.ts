// <crypto>: QEMU's checks and arguments.
import type { CryptoDef } from '../../../conf/devices/crypto.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import type { Builder } from '../parts/builder.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuCrypto: QemuFamily<CryptoDef> = {
  validate({ model, backend }, _def, { qemu }) {
    const unsupported = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `crypto ${what} is not supported`)
    if (!qemu.has('virtio-crypto')) throw unsupported(`model ${model}`)
    if (backend.model === 'lkcf' && !qemu.has('cryptodev-backend-lkcf')) throw unsupported(`backend ${backend.model}`)
  },
  add: addCrypto
}

function addCrypto(to: Builder, dev: CryptoDef): void {
  const { alias, backend, model, address, driver } = dev
  const id = `obj${alias}`
  to.object({ 'qom-type': `cryptodev-backend-${backend.model}`, id, queues: backend.queues || undefined })
  to.device({
    ...virtioProps('virtio-crypto', model, address, driver),
    cryptodev: id,
    id: alias,
    ...addressProps(to, dev)
  })
}
