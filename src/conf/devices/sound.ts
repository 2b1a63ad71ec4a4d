// <sound>: sound cards.
import { isDeepStrictEqual } from 'node:util'
import { attr, child, custom, type Def, type Field, type Fields, inChild, nonZero, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, uint, yesNo } from '../scalar.ts'
import { childElements, element } from '../xml.ts'
import { ensureAudioId } from './audio.ts'
import { fitsAddress } from './device-address.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const model = enumOf('sb16', 'es1370', 'pcspk', 'ac97', 'ich6', 'ich9', 'usb', 'ich7', 'virtio')
const codec = enumOf('duplex', 'micro', 'output')
export type SoundCodec = (typeof codec.values)[number]

/** Intel HDA controllers, whose sound comes from codecs behind them (virDomainSoundModelSupportsCodecs). */
export function hasCodecs(soundModel: string | undefined): boolean {
  return soundModel === 'ich6' || soundModel === 'ich9'
}

/** An attribute of one model; others are read without it. */
const onlyOf = <T>(of: string, field: Field<T | undefined>): Field<T | undefined> => ({
  ...field,
  parse: (node, context) => (node.attributes.model === of ? field.parse(node, context) : undefined)
})

const driver = child('driver', virtioDriver)

export const soundFields = {
  model: required(attr('model', model)),
  codecs: custom<SoundCodec[]>({
    names: [['codec', { type: attr('type', codec) }]],
    parse(node) {
      if (!hasCodecs(node.attributes.model)) return []
      return childElements(node, 'codec').map(({ attributes: { type } }) => {
        const known = type === undefined ? undefined : codec.parse(type)
        if (known === undefined) {
          throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown codec type '${type ?? '(null)'}'`)
        }
        return known
      })
    },
    format(value, into) {
      for (const type of value) into.children.push(element('codec', { type }))
    }
  }),
  /** the guest may have more than two channels */
  multichannel: onlyOf('usb', attr('multichannel', yesNo)),
  /** of PCM; absent only until the defaults are filled in */
  streams: onlyOf('virtio', nonZero(attr('streams', uint))),
  audio: inChild('audio', required(nonZero(attr('id', uint)))),
  ...deviceInfo,
  /** of virtio; that of others is read and not kept */
  driver: custom<Def<typeof virtioDriver> | undefined>({
    ...driver,
    parse(node, context) {
      const read = driver.parse(node, context)
      return node.attributes.model === 'virtio' ? read : undefined
    }
  })
} satisfies Fields
export type SoundDef = Def<typeof soundFields>

export const sound = deviceFamily({
  element: 'sound',
  fields: soundFields,
  postParse(dev) {
    if (dev.model === 'virtio') dev.streams ??= 2
  },
  validate(dev, def) {
    ensureAudioId(def, dev.audio)
  },
  same: (wanted, there) =>
    wanted.model === there.model && isDeepStrictEqual(wanted.codecs, there.codecs) && fitsAddress(wanted, there),
  isUsb: ({ model }) => model === 'usb'
})
