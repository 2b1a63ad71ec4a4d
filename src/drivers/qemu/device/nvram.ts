// <nvram>: QEMU's checks and arguments.
import type { NvramDef } from '../../../conf/devices/nvram.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { isPseries } from '../machine-type.ts'
import { atStart, type Builder } from '../parts/builder.ts'
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
  },
  add: addNvram
}

/** Part of the machine. */
function addNvram(to: Builder, { address }: NvramDef): void {
  if (address?.type !== 'spapr-vio') return
  atStart(to, 'nvram').add('-global', `spapr-nvram.reg=0x${(address.reg ?? 0n).toString(16)}`)
}
