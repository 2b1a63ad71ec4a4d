// <sound>: sound cards.
import { attr, childAttr, children, type Def, type Fields, required } from '../element.ts'
import { enumOf, uint, yesNo } from '../scalar.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const soundFields = {
  model: required(attr('model', enumOf('sb16', 'es1370', 'pcspk', 'ac97', 'ich6', 'ich9', 'usb', 'ich7'))),
  multichannel: attr('multichannel', yesNo),
  codecs: children('codec', { type: required(attr('type', enumOf('duplex', 'micro', 'output'))) }),
  audio: childAttr('audio', 'id', uint),
  ...deviceInfo
} satisfies Fields
export type SoundDef = Def<typeof soundFields>

export const sound = deviceFamily({ element: 'sound', fields: soundFields })
