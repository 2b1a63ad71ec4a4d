// <graphics>: QEMU's defaults, checks and arguments.
import { join } from 'node:path'
import type { GraphicsDef } from '../../../conf/devices/graphics.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { type Command, keyValue } from './command.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const VNC_BASE_PORT = 5900

export const qemuGraphics: QemuFamily<GraphicsDef> = {}

export function graphicsArgs(command: Command): void {
  for (const dev of command.def.devices.graphics) {
    if (dev.type === 'vnc') command.add('-vnc', vncArg(command, dev))
    else if (dev.type === 'sdl')
      command.add('-display', keyValue('sdl', { gl: dev.gl?.enable, 'full-screen': dev.fullscreen }))
    else if (dev.type === 'egl-headless')
      command.add('-display', keyValue('egl-headless', { rendernode: dev.gl?.rendernode }))
    else throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `graphics type '${dev.type}' is not supported`)
  }
}

function vncArg({ def, context }: Command, dev: GraphicsDef): string {
  const [listen] = dev.listens
  const target =
    listen?.type === 'socket'
      ? `vnc=unix:${listen.socket ?? join(context.paths.libDir, 'vnc.sock')}`
      : `${bracketed(listen?.address ?? context.config.vncListen)}:${(dev.port ?? VNC_BASE_PORT) - VNC_BASE_PORT}`
  return keyValue(target, {
    websocket: dev.websocket,
    password: dev.passwd === undefined ? undefined : true,
    share: dev.sharePolicy,
    'power-control': dev.powerControl,
    audiodev: def.devices.audios[0] && `audio${dev.audio ?? def.devices.audios[0].id}`
  })
}

const bracketed = (address: string) => (address.includes(':') ? `[${address}]` : address)
