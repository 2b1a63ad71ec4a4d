// <audio>: QEMU's defaults, checks and arguments.
import { AUDIO_TYPES, type AudioCommon, type AudioDef, type AudioType, findAudio } from '../../../conf/devices/audio.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { formatJson } from '../../../conf/json.ts'
import { atStart, type Builder } from '../parts/builder.ts'
import type { Props } from '../parts/props.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

export const qemuAudio: QemuFamily<AudioDef> = {
  validate(dev, def, { qemu }) {
    if (dev.type === 'spice' && !def.devices.graphics.some(({ type }) => type === 'spice')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Spice audio is not supported without spice graphics')
    }
    if (dev.type === 'dbus' && !qemu.has('display-dbus')) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'D-Bus audio is not supported with this QEMU')
    }
  },
  add: addAudio
}

/** QEMU's names of the backends, where they differ. */
const DRIVERS: Partial<Record<AudioType, string>> = { pulseaudio: 'pa', file: 'wav' }
const driverName = (type: AudioType) => DRIVERS[type] ?? type

/**
 * A guest without `<audio>` gets the backend its graphics suggest (qemuDomainDefAddDefaultAudioBackend): Spice carries
 * sound itself; for a window on this host QEMU_AUDIO_DRV decides; else sound goes nowhere.
 */
export function addDefaultAudio({ devices }: DomainDef): void {
  if (devices.audios.length > 0) return
  const asked = devices.graphics.map(({ type }) => type).findLast(type => /^(vnc|spice|sdl)$/.test(type))
  if (asked === undefined && devices.graphics.length > 0) return
  if (asked !== 'sdl') {
    const spice = devices.graphics.some(({ type }) => type === 'spice') && asked === 'spice'
    devices.audios.push({ id: 1, type: spice ? 'spice' : 'none' })
    return
  }
  const wanted = process.env.QEMU_AUDIO_DRV
  if (wanted === undefined) return
  const type = AUDIO_TYPES.find(known => driverName(known) === wanted)
  if (!type) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `unknown QEMU_AUDIO_DRV setting ${wanted}`)
  devices.audios.push({ id: 1, type })
}

/** The id QEMU knows a backend by; without an id that of the first. @throws VIR_ERR_INTERNAL_ERROR without backends */
export function audiodevId(def: DomainDef, id: number | undefined): string {
  const audio = findAudio(def, id)
  if (!audio) throw fail('VIR_ERR_INTERNAL_ERROR', 'unable to find audio backend for sound device')
  return `audio${audio.id}`
}

function commonProps(way: AudioCommon): Props {
  return {
    'mixing-engine': way.mixingEngine,
    'fixed-settings': way.fixedSettings,
    voices: way.voices,
    'buffer-length': way.bufferLength,
    ...way.settings
  }
}

/** Properties of the backend itself, for the whole and for one direction. */
function backendProps(dev: AudioDef): { own?: Props; input?: Props; output?: Props } {
  const both = <T>(ways: { input?: T; output?: T }, props: (way: T) => Props) => ({
    input: ways.input && props(ways.input),
    output: ways.output && props(ways.output)
  })
  switch (dev.type) {
    case 'alsa':
      return both(dev, ({ dev }) => ({ dev }))
    case 'coreaudio':
      return both(dev, way => ({ 'buffer-count': way.bufferCount }))
    case 'sdl':
      return both(dev, way => ({ 'buffer-count': way.bufferCount }))
    case 'jack':
      return both(dev, way => ({
        'server-name': way.serverName,
        'client-name': way.clientName,
        'connect-ports': way.connectPorts,
        'exact-name': way.exactName
      }))
    case 'oss':
      return {
        own: { 'try-mmap': dev.tryMMap, exclusive: dev.exclusive, 'dsp-policy': dev.dspPolicy },
        ...both(dev, way => ({ dev: way.dev, 'buffer-count': way.bufferCount, 'try-poll': way.tryPoll }))
      }
    case 'pulseaudio':
      return {
        own: { server: dev.serverName },
        ...both(dev, way => ({ name: way.name, 'stream-name': way.streamName, latency: way.latency }))
      }
    case 'pipewire':
      return both(dev, way => ({ name: way.name, 'stream-name': way.streamName, latency: way.latency }))
    case 'file':
      return { own: { path: dev.path } }
    default:
      return {}
  }
}

function directionProps(way: AudioCommon | undefined, backend: Props | undefined): Props | undefined {
  if (!way) return undefined
  const props = { ...commonProps(way), ...backend }
  return Object.values(props).some(value => value !== undefined) ? props : undefined
}

/** Where PipeWire's socket can be, in the order its library looks (qemuBuildAudioPipewireAudioEnv). */
function pipewireEnvironment(runtimeDir: string | undefined): Record<string, string> {
  const passed = (...names: string[]) =>
    names.flatMap(name => (process.env[name] === undefined ? [] : [[name, process.env[name]] as [string, string]]))
  const directory = passed('PIPEWIRE_RUNTIME_DIR', 'XDG_RUNTIME_DIR', 'USERPROFILE').slice(0, 1)
  return Object.fromEntries([
    ...passed('PIPEWIRE_CORE', 'PIPEWIRE_REMOTE'),
    ...(runtimeDir === undefined ? directory : [['PIPEWIRE_RUNTIME_DIR', runtimeDir] as const])
  ])
}

/** Adds `-audiodev`; QEMU has no command for it. */
function addAudio(to: Builder, dev: AudioDef): void {
  const { own, input, output } = backendProps(dev)
  const options = atStart(to, 'audio')
  if (dev.type === 'pipewire') Object.assign(options.env, pipewireEnvironment(dev.runtimeDir))
  if (dev.type === 'sdl' && dev.driver) options.env.SDL_AUDIODRIVER = dev.driver
  const props: Props = {
    id: `audio${dev.id}`,
    driver: driverName(dev.type),
    'timer-period': dev.timerPeriod,
    ...own,
    in: directionProps(dev.input, input),
    out: directionProps(dev.output, output)
  }
  options.add('-audiodev', formatJson(props))
}
