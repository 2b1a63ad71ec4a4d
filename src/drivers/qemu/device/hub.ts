// <hub>: QEMU's checks and arguments.
import type { HubDef } from '../../../conf/devices/hub.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Command } from '../command/command.ts'
import { addressProps } from '../parts/address.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuHub: QemuFamily<HubDef> = {
  validate(_dev, _def, { qemu }) {
    if (!qemu.has('usb-hub')) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'usb-hub not supported by QEMU binary')
  }
}

export function hubsArgs(command: Command): void {
  for (const dev of command.def.devices.hubs) {
    command.device({ driver: 'usb-hub', id: dev.alias, ...addressProps(command, dev) })
  }
}
