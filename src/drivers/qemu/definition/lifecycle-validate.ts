// What QEMU's driver can do when a guest ends (qemuValidateLifecycleAction).
import type { LifecycleAction } from '../../../conf/domain/events.ts'
import { errorsFrom } from '../../../conf/error.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export interface LifecycleActions {
  onPoweroff: LifecycleAction
  onReboot: LifecycleAction
  onCrash: LifecycleAction
}

/** @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateLifecycle({ onPoweroff, onReboot, onCrash }: LifecycleActions): void {
  const unsupported = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `qemu driver doesn't support ${what}`)
  if ([onPoweroff, onReboot, onCrash].includes('rename-restart')) {
    throw unsupported("the 'rename-restart' action for 'on_reboot'/'on_poweroff'/'on_crash'")
  }
  if (onPoweroff === 'preserve' || onReboot === 'preserve') {
    throw unsupported("the 'preserve' action for 'on_reboot'/'on_poweroff'")
  }
  if (onPoweroff === 'restart' && onReboot === 'destroy') {
    throw unsupported("'onReboot' set to 'destroy and 'onPoweroff' set to 'reboot'")
  }
}
