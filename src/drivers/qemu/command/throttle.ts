// -object of groups of limits for disks.
import { hasIoTuneLimits } from '../../../conf/devices/disk-iotune.ts'
import { throttleGroupId, throttleGroupLimits } from '../block/throttle.ts'
import type { Command } from './command.ts'

/** An object for each group that limits anything (qemuBuildThrottleGroupCommandLine). */
export function throttleGroupArgs(command: Command): void {
  for (const group of command.def.throttlegroups ?? []) {
    if (!hasIoTuneLimits(group)) continue
    command.object({
      'qom-type': 'throttle-group',
      id: throttleGroupId(group.group_name),
      limits: throttleGroupLimits(group)
    })
  }
}
