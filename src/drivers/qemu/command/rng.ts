// <rng>: QEMU's defaults, checks and arguments.
import type { RngDef } from '../../../conf/devices/rng.ts'
import { addressProps, virtioProps } from './address.ts'
import { chardevArg } from './chardev.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuRng: QemuFamily<RngDef> = {}

export function rngsArgs(command: Command): void {
  for (const dev of command.def.devices.rngs) {
    const id = `obj${dev.alias}`
    const { backend, rate } = dev
    if (backend.model === 'egd') {
      command.add('-chardev', chardevArg(backend.source, `char${dev.alias}`))
      command.object({ 'qom-type': 'rng-egd', id, chardev: `char${dev.alias}` })
    } else if (backend.model === 'builtin') command.object({ 'qom-type': 'rng-builtin', id })
    else command.object({ 'qom-type': 'rng-random', id, filename: backend.path })
    command.device({
      ...virtioProps('virtio-rng', dev.model, dev.address, dev.driver),
      rng: id,
      id: dev.alias,
      'max-bytes': rate?.bytes,
      period: rate && (rate.period ?? 1000),
      ...addressProps(command, dev)
    })
  }
}
