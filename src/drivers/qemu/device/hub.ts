// <hub>: QEMU's checks and arguments.
import type { HubDef } from '../../../conf/devices/hub.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps } from '../parts/address.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuHub: QemuFamily<HubDef> = {
  validate(_dev, _def, { qemu }) {
    if (!qemu.has('usb-hub')) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'usb-hub not supported by QEMU binary')
  },
  add: (to, dev) => to.device({ driver: 'usb-hub', id: dev.alias, ...addressProps(to, dev) })
}
