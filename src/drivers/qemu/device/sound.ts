// <sound>: QEMU's checks and arguments.
import { hasCodecs, type SoundCodec, type SoundDef } from '../../../conf/devices/sound.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import { atStart, type Builder } from '../parts/builder.ts'
import { audiodevId } from './audio.ts'
import { join, missing, type QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const CODECS = { duplex: 'hda-duplex', micro: 'hda-micro', output: 'hda-output' } as const satisfies Record<
  SoundCodec,
  string
>

export const qemuSound: QemuFamily<SoundDef> = {
  validate(dev, _def, { qemu }) {
    const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
    if (dev.model === 'usb' && !qemu.has('usb-audio')) {
      throw unsupported('usb-audio controller is not supported by this QEMU binary')
    }
    if (dev.model === 'ich9' && !qemu.has('ich9-intel-hda')) {
      throw unsupported('The ich9-intel-hda audio controller is not supported in this QEMU binary')
    }
    if (dev.model === 'virtio' && !qemu.has('virtio-sound')) {
      throw unsupported('virtio-sound controller is not supported in this QEMU binary')
    }
    if (dev.model === 'ich7') {
      throw fail('VIR_ERR_INTERNAL_ERROR', `sound card model '${dev.model}' is not supported by qemu`)
    }
    const missing = dev.codecs.map(codec => CODECS[codec]).find(driver => !qemu.has(driver))
    if (missing) throw unsupported(`${missing} not supported in this QEMU binary`)
  },
  add(to, dev) {
    // the PC speaker is part of the machine (command/machine.ts)
    if (dev.model === 'pcspk') atStart(to, 'pcspk')
    else addSoundCard(to, dev)
  },
  config: { attach: join('sounds'), noneToDetach: missing() }
}

const DRIVERS: Partial<Record<SoundDef['model'], string>> = {
  sb16: 'sb16',
  es1370: 'ES1370',
  ac97: 'AC97',
  ich6: 'intel-hda',
  ich9: 'ich9-intel-hda',
  usb: 'usb-audio'
}

function addSoundCard(to: Builder, dev: SoundDef): void {
  const { def } = to
  const isHda = hasCodecs(dev.model)
  to.device({
    ...(dev.model === 'virtio'
      ? virtioProps('virtio-sound', dev.model, dev.address, dev.driver)
      : { driver: DRIVERS[dev.model]! }),
    id: dev.alias,
    audiodev: isHda ? undefined : audiodevId(def, dev.audio),
    multi: dev.multichannel,
    streams: dev.streams,
    ...addressProps(to, dev)
  })
  if (!isHda) return
  const codecs: SoundCodec[] = dev.codecs.length > 0 ? dev.codecs : ['duplex']
  codecs.forEach((codec, cad) => {
    const id = `${dev.alias}-codec${cad}`
    to.device({ driver: CODECS[codec], id, bus: `${dev.alias}.0`, cad, audiodev: audiodevId(def, dev.audio) })
  })
}
