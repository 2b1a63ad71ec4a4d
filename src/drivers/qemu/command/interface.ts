// <interface>: QEMU's defaults, checks and arguments.
import type { InterfaceDef } from '../../../conf/devices/interface.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps, virtioProps } from './address.ts'
import { bootIndexes } from './boot.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuInterface: QemuFamily<InterfaceDef> = {
  postParse(dev, _def, { qemu }) {
    dev.model ??= qemu.has('rtl8139') ? 'rtl8139' : qemu.has('e1000') ? 'e1000' : 'virtio'
  }
}

export function interfacesArgs(command: Command): void {
  const boot = bootIndexes(command)
  for (const dev of command.def.devices.interfaces) {
    const id = `host${dev.alias}`
    if (dev.type === 'user') command.netdev({ type: 'user', id })
    else if (dev.type === 'network') throw fail('VIR_ERR_NO_SUPPORT', 'interface type network needs a network driver')
    else if (command.context.pretend) command.netdev({ type: 'tap', id })
    else throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `interface type '${dev.type}' cannot be started`)
    const base = dev.model?.startsWith('virtio')
      ? virtioProps('virtio-net', dev.model, dev.address)
      : { driver: dev.model ?? 'rtl8139' }
    command.device({
      ...base,
      netdev: id,
      id: dev.alias,
      mac: dev.mac,
      bootindex: boot.get(dev),
      ...addressProps(command, dev)
    })
  }
}
