// <watchdog>: QEMU's checks and arguments.
import type { WatchdogDef } from '../../../conf/devices/watchdog.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Command } from '../command/command.ts'
import { isS390 } from '../machine-type.ts'
import { addressProps } from '../parts/address.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuWatchdog: QemuFamily<WatchdogDef> = {
  validate({ model, address }, def) {
    const refuse = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `${model} model of watchdog ${what}`)
    if (model === 'i6300esb' && address && address.type !== 'pci') throw refuse('can go only on PCI bus')
    if (model === 'ib700' && address) throw refuse('does not support configuring the address')
    if (model !== 'diag288') return
    if (address) throw refuse('is virtual and cannot go on any bus.')
    if (!isS390(def)) throw refuse('is allowed for s390 and s390x only')
  }
}

export function watchdogsArgs(command: Command): void {
  for (const dev of command.def.devices.watchdogs) {
    command.device({ driver: dev.model, id: dev.alias, ...addressProps(command, dev) })
    // QEMU cannot dump: it pauses, and the dump is made when its event comes
    command.add('-watchdog-action', dev.action === 'dump' ? 'pause' : (dev.action ?? 'reset'))
  }
}
