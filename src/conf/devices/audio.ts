// <audio>: host side of the guest's sound, one backend each.
import type { DomainDef } from '../domain-def.ts'
import {
  absentIf,
  attr,
  child,
  custom,
  type Def,
  type Field,
  type Fields,
  formatFields,
  formatFieldsInto,
  nonZero,
  parseFields,
  readAhead,
  required,
  spread,
  variant
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, int, string, uint, yesNo } from '../scalar.ts'
import { firstChild } from '../xml.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A number that must not be zero when it is given. */
const positive = (name: string) => nonZero(attr(name, uint))
/** A number whose zero means the backend's own choice. */
const count = (name: string) => absentIf(0, attr(name, uint))

const settings = {
  frequency: positive('frequency'),
  channels: positive('channels'),
  format: attr('format', enumOf('u8', 's8', 'u16', 's16', 'u32', 's32', 'f32'))
} satisfies Fields

const common = {
  mixingEngine: attr('mixingEngine', yesNo),
  fixedSettings: attr('fixedSettings', yesNo),
  voices: positive('voices'),
  bufferLength: positive('bufferLength')
} satisfies Fields

/** Settings every backend has in each direction; fixed ones need QEMU's mixing engine. */
export type AudioCommon = Def<typeof common> & { settings?: Def<typeof settings> }

const { mixingEngine, fixedSettings } = common

const commonField = spread<AudioCommon>({
  names: [...Object.values(common).flatMap(field => field.names), ['settings', settings]],
  parse(node, context) {
    const mixed = mixingEngine.parse(node, context)
    if (fixedSettings.parse(node, context) && !mixed) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'fixed audio settings requires mixing engine')
    }
    const parsed = parseFields(node, common, context)
    const found = firstChild(node, 'settings')
    if (found && !parsed.fixedSettings) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'audio settings specified without fixed settings flag')
    }
    if (!parsed.fixedSettings) return parsed
    return { ...parsed, settings: found ? parseFields(found, settings, context) : {} }
  },
  format(value, into, context) {
    formatFieldsInto(into, value, common, context)
    if (value.settings) into.children.push(formatFields('settings', value.settings, settings, context))
  }
})

/** Both directions, each with the backend's own attributes. */
function directions<F extends Fields>(backend: F) {
  const fields = { common: commonField, ...backend }
  return { input: child('input', fields), output: child('output', fields) }
}

const dspPolicy: Field<number | undefined> = custom<number | undefined>({
  ...attr('dspPolicy', int),
  parse(node, context) {
    const value = attr('dspPolicy', int).parse(node, context)
    if (value !== undefined && value < 0) throw fail('VIR_ERR_XML_ERROR', `cannot parse 'dspPolicy' value '${value}'`)
    return value
  }
})

const kinds = {
  none: directions({}),
  alsa: directions({ dev: attr('dev', string) }),
  coreaudio: directions({ bufferCount: count('bufferCount') }),
  jack: directions({
    serverName: attr('serverName', string),
    clientName: attr('clientName', string),
    connectPorts: attr('connectPorts', string),
    exactName: attr('exactName', yesNo)
  }),
  oss: {
    tryMMap: attr('tryMMap', yesNo),
    exclusive: attr('exclusive', yesNo),
    dspPolicy,
    ...directions({
      dev: attr('dev', string),
      bufferCount: count('bufferCount'),
      tryPoll: attr('tryPoll', yesNo)
    })
  },
  pulseaudio: {
    serverName: attr('serverName', string),
    ...directions({
      name: attr('name', string),
      streamName: attr('streamName', string),
      latency: count('latency')
    })
  },
  sdl: {
    driver: attr('driver', enumOf('esd', 'alsa', 'arts', 'pulseaudio')),
    ...directions({ bufferCount: count('bufferCount') })
  },
  spice: directions({}),
  file: { path: attr('path', string), ...directions({}) },
  dbus: directions({}),
  pipewire: {
    /** of the host, where its socket is */
    runtimeDir: attr('runtimeDir', string),
    ...directions({
      name: attr('name', string),
      streamName: attr('streamName', string),
      latency: positive('latency')
    })
  }
} satisfies Record<string, Fields>

const anyDirections = { input: child('input', { commonField }), output: child('output', { commonField }) }
const audioKind = spread(variant('type', kinds))

export const audioFields = {
  id: required(positive('id')),
  kind: audioKind,
  timerPeriod: positive('timerPeriod')
} satisfies Fields
/** Told apart by `type`. */
export type AudioDef = Def<typeof audioFields>
export type AudioType = AudioDef['type']

/** Every backend's name. */
export const AUDIO_TYPES = Object.keys(kinds) as AudioType[]

export const audio = deviceFamily({
  element: 'audio',
  fields: audioFields,
  // the kind, then what all kinds have, then what is the kind's own
  asRead: {
    type: readAhead(required(attr('type', enumOf(...AUDIO_TYPES)))),
    id: audioFields.id,
    timerPeriod: audioFields.timerPeriod,
    input: readAhead(anyDirections.input),
    output: readAhead(anyDirections.output),
    kind: audioKind
  },
  validate(dev, { devices }) {
    if (devices.audios.some(other => other !== dev && other.id === dev.id)) {
      throw fail('VIR_ERR_XML_ERROR', `audio ID ${dev.id} is used multiple times`)
    }
  }
})

/** The backend of that id; without an id the first (virDomainDefFindAudioByID). */
export function findAudio({ devices }: DomainDef, id: number | undefined): AudioDef | undefined {
  return id === undefined ? devices.audios[0] : devices.audios.find(audio => audio.id === id)
}

/** Checks the backend a device names (virDomainEnsureAudioID). @throws VIR_ERR_XML_ERROR if there is no such backend */
export function ensureAudioId(def: DomainDef, id: number | undefined): void {
  if (id !== undefined && !findAudio(def, id)) throw fail('VIR_ERR_XML_ERROR', `no audio device with ID ${id}`)
}
