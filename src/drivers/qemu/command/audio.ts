// <audio>: QEMU's defaults, checks and arguments.
import type { AudioDef, AudioDirection } from '../../../conf/devices/audio.ts'
import { formatJson } from '../../../conf/json.ts'
import type { Command, Props } from './command.ts'
import type { QemuFamily } from './family.ts'

export const qemuAudio: QemuFamily<AudioDef> = {}

const DRIVERS: Partial<Record<AudioDef['type'], string>> = { pulseaudio: 'pa', file: 'wav' }

/** One direction's options; each backend knows some of them. */
function directionProps(way: AudioDirection | undefined): Props | undefined {
  if (!way) return undefined
  return {
    'mixing-engine': way.mixingEngine,
    'fixed-settings': way.fixedSettings,
    frequency: way.settings?.frequency,
    channels: way.settings?.channels,
    voices: way.voices,
    format: way.settings?.format,
    'buffer-length': way.bufferLength,
    dev: way.dev,
    'buffer-count': way.bufferCount,
    'try-poll': way.tryPoll,
    'server-name': way.serverName,
    'client-name': way.clientName,
    'connect-ports': way.connectPorts,
    'exact-name': way.exactName,
    name: way.name,
    'stream-name': way.streamName,
    latency: way.latency
  }
}

export function audiosArgs(command: Command): void {
  for (const dev of command.def.devices.audios) {
    const props: Props = {
      id: `audio${dev.id}`,
      driver: DRIVERS[dev.type] ?? dev.type,
      'timer-period': dev.timerPeriod,
      server: dev.serverName,
      path: dev.path,
      'try-mmap': dev.tryMMap,
      exclusive: dev.exclusive,
      'dsp-policy': dev.dspPolicy,
      in: directionProps(dev.input),
      out: directionProps(dev.output)
    }
    command.add('-audiodev', formatJson(props))
  }
}
