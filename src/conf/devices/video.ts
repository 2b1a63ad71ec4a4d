// <video>: display adapters. Memory sizes are KiB.
import { attr, childAlways, type Def, type Fields } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string, uint, yesNo } from '../scalar.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const model = {
  type: attr(
    'type',
    enumOf('vga', 'cirrus', 'vmvga', 'xen', 'vbox', 'qxl', 'parallels', 'virtio', 'gop', 'none', 'bochs', 'ramfb')
  ),
  ram: attr('ram', uint),
  vram: attr('vram', uint),
  vram64: attr('vram64', uint),
  vgamem: attr('vgamem', uint),
  heads: attr('heads', uint),
  primary: attr('primary', yesNo),
  blob: attr('blob', enumOf('on', 'off')),
  acceleration: childAlways('acceleration', {
    accel3d: attr('accel3d', yesNo),
    accel2d: attr('accel2d', yesNo),
    rendernode: attr('rendernode', string)
  }),
  resolution: childAlways('resolution', { x: attr('x', uint), y: attr('y', uint) })
} satisfies Fields

export const videoFields = {
  driver: childAlways('driver', {
    name: attr('name', enumOf('qemu', 'vhostuser')),
    vgaconf: attr('vgaconf', enumOf('io', 'on', 'off')),
    ...virtioDriver
  }),
  model: childAlways('model', model),
  ...deviceInfo
} satisfies Fields
export type VideoDef = Def<typeof videoFields>

export const video = deviceFamily({
  element: 'video',
  fields: videoFields,
  postParse(dev) {
    dev.model ??= {}
  },
  validate(dev) {
    if (dev.model?.type === undefined)
      throw fail('VIR_ERR_XML_ERROR', 'missing video model and cannot determine default')
  }
})

/** One video device is the primary one: the first that says so, else the first (virDomainDefPostParseVideo). */
export function choosePrimary(videos: VideoDef[]): void {
  const [first] = videos
  if (!first) return
  const chosen = videos.find(({ model }) => model?.primary) ?? first
  videos.splice(videos.indexOf(chosen), 1)
  videos.unshift(chosen)
  if (chosen.model) chosen.model.primary = true
}
