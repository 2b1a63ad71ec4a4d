// <sound>: QEMU's defaults, checks and arguments.
import type { SoundDef } from '../../../conf/devices/sound.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps } from './address.ts'
import type { Command } from './command.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuSound: QemuFamily<SoundDef> = {
  validate(dev) {
    if (dev.model === 'ich7' || dev.model === undefined) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `sound card model '${dev.model}' is not supported by qemu`)
    }
  }
}

const DRIVERS: Record<string, string> = {
  sb16: 'sb16',
  es1370: 'ES1370',
  ac97: 'AC97',
  ich6: 'intel-hda',
  ich9: 'ich9-intel-hda',
  usb: 'usb-audio'
}
const CODECS: Record<string, string> = { duplex: 'hda-duplex', micro: 'hda-micro', output: 'hda-output' }

export function soundsArgs(command: Command): void {
  for (const dev of command.def.devices.sounds) {
    const driver = DRIVERS[dev.model]
    if (!driver) continue
    const audiodev = `audio${dev.audio ?? command.def.devices.audios[0]?.id ?? 1}`
    const isHda = dev.model === 'ich6' || dev.model === 'ich9'
    command.device({
      driver,
      id: dev.alias,
      audiodev: isHda ? undefined : audiodev,
      multi: dev.multichannel,
      ...addressProps(command, dev)
    })
    if (!isHda) continue
    const codecs = dev.codecs.length > 0 ? dev.codecs : [{ type: 'duplex' }]
    codecs.forEach(({ type }, cad) => {
      command.device({ driver: CODECS[type]!, id: `${dev.alias}-codec${cad}`, bus: `${dev.alias}.0`, cad, audiodev })
    })
  }
}
