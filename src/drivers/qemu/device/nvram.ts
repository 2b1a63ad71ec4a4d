// <nvram>: QEMU's checks and arguments.
import type { NvramDef } from '../../../conf/devices/nvram.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Command } from '../command/command.ts'
import { isPseries } from '../machine-type.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuNvram: QemuFamily<NvramDef> = {
  validate({ address }, def, { qemu }) {
    if (!isPseries(def)) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'nvram device is only supported for PPC64')
    if (!qemu.has('nvram')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'nvram device is not supported by this QEMU binary')
    }
    if (address?.type !== 'spapr-vio' || address.reg === undefined) {
      throw fail('VIR_ERR_XML_ERROR', 'nvram address type must be spaprvio')
    }
  }
}

export function nvramsArgs(command: Command): void {
  for (const { address } of command.def.devices.nvrams) {
    if (address?.type === 'spapr-vio') {
      command.add('-global', `spapr-nvram.reg=0x${(address.reg ?? 0n).toString(16)}`)
    }
  }
}
