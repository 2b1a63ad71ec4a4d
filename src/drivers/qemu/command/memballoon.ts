// <memballoon>: QEMU's defaults, checks and arguments.
import type { MemballoonDef } from '../../../conf/devices/memballoon.ts'
import { addressProps, virtioProps } from './address.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuMemballoon: QemuFamily<MemballoonDef> = {}

export function memballoonsArgs(command: Command): void {
  for (const dev of command.def.devices.memballoons) {
    if (dev.model === 'none') continue
    command.device({
      ...virtioProps('virtio-balloon', dev.model, dev.address, dev.driver),
      id: dev.alias,
      'deflate-on-oom': dev.autodeflate,
      'free-page-reporting': dev.freePageReporting,
      ...addressProps(command, dev)
    })
  }
}
