// <audio>: host side of the guest's sound, one backend each.
import { attr, childAlways, type Def, type Fields, required } from '../element.ts'
import { enumOf, string, uint, yesNo } from '../scalar.ts'
import { deviceFamily } from './family.ts'

const settings = childAlways('settings', {
  frequency: attr('frequency', uint),
  channels: attr('channels', uint),
  format: attr('format', enumOf('s8', 'u8', 's16', 'u16', 's32', 'u32', 'f32'))
})

/** One direction, with the settings every backend understands some of. */
const direction = {
  mixingEngine: attr('mixingEngine', yesNo),
  fixedSettings: attr('fixedSettings', yesNo),
  voices: attr('voices', uint),
  bufferLength: attr('bufferLength', uint),
  dev: attr('dev', string),
  bufferCount: attr('bufferCount', uint),
  tryPoll: attr('tryPoll', yesNo),
  serverName: attr('serverName', string),
  clientName: attr('clientName', string),
  connectPorts: attr('connectPorts', string),
  exactName: attr('exactName', yesNo),
  name: attr('name', string),
  streamName: attr('streamName', string),
  latency: attr('latency', uint),
  settings
} satisfies Fields
export type AudioDirection = Def<typeof direction>

export const audioFields = {
  id: required(attr('id', uint)),
  type: required(
    attr('type', enumOf('none', 'alsa', 'coreaudio', 'jack', 'oss', 'pulseaudio', 'sdl', 'spice', 'file', 'dbus'))
  ),
  timerPeriod: attr('timerPeriod', uint),
  serverName: attr('serverName', string),
  driver: attr('driver', string),
  path: attr('path', string),
  tryMMap: attr('tryMMap', yesNo),
  exclusive: attr('exclusive', yesNo),
  dspPolicy: attr('dspPolicy', uint),
  input: childAlways('input', direction),
  output: childAlways('output', direction)
} satisfies Fields
export type AudioDef = Def<typeof audioFields>

export const audio = deviceFamily({ element: 'audio', fields: audioFields })
