// -machine and -accel

import { isI440fx, isQ35 } from '../machine-type.ts'
import type { Command } from './command.ts'
import { keyValue } from './command.ts'

export function machineArgs(command: Command): void {
  const { def } = command
  const { features } = def
  const usesUsbOption = isI440fx(def) || isQ35(def)
  command.add(
    '-machine',
    keyValue(def.os.machine!, {
      usb: usesUsbOption ? false : undefined,
      vmport: features?.vmport,
      smm: features?.smm ? (features.smm.state ?? true) : undefined,
      'dump-guest-core': def.dumpCore ?? false,
      'memory-backend': memoryBackend(command),
      hpet: def.clock.timers.find(({ name }) => name === 'hpet')?.present
    })
  )
}

/** The id of the machine's main memory object. */
export function memoryBackend({ def, qemu }: Command): string | undefined {
  return def.cpu?.numa ? undefined : qemu.machine(def.os.machine!)?.defaultRamId
}

export function accelArgs(command: Command): void {
  command.add('-accel', command.def.type === 'kvm' ? 'kvm' : 'tcg')
}

export function tsegArgs(_command: Command): void {}

export function vmcoreinfoArgs(command: Command): void {
  if (command.def.features?.vmcoreinfo) command.add('-device', 'vmcoreinfo')
}
