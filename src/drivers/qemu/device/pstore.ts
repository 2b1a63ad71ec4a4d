// <pstore>: QEMU's defaults, checks and arguments.
import type { PstoreDef } from '../../../conf/devices/pstore.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps } from '../parts/address.ts'
import type { Builder } from '../parts/builder.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const BYTES_PER_KIB = 1024

export const qemuPstore: QemuFamily<PstoreDef> = {
  postParse(dev, { name }, { paths }) {
    dev.path ??= `${paths.nvramDir}/${name}_PSTORE.raw`
  },
  validate({ address }, _def, { qemu }) {
    const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
    if (!qemu.has('acpi-erst')) throw unsupported('acpi-erst backend of pstore device is not supported')
    if (address && address.type !== 'pci') throw unsupported('ACPI ERST device must reside on a PCI bus')
  },
  add: addPstore
}

/** QEMU makes the file, of that size. */
function addPstore(to: Builder, dev: PstoreDef): void {
  const { alias, path, sizeKiB } = dev
  const memdev = `mem${alias}`
  to.object({
    'qom-type': 'memory-backend-file',
    id: memdev,
    'mem-path': path,
    size: sizeKiB * BYTES_PER_KIB,
    share: true
  })
  to.device({ driver: 'acpi-erst', id: alias, memdev, ...addressProps(to, dev) })
}
