// <video>: display adapters. Memory sizes are KiB.
import type { DomainDef } from '../domain-def.ts'
import {
  absentIf,
  attr,
  attrUnless,
  child,
  childAlways,
  custom,
  type Def,
  type Fields,
  parseFields,
  readFirst,
  required
} from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, path, uint, yesNo } from '../scalar.ts'
import { element, firstChild } from '../xml.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'
import { checkNoVirtioOptions } from './virtio-options.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const videoModel = enumOf(
  'vga',
  'cirrus',
  'vmvga',
  'xen',
  'vbox',
  'qxl',
  'parallels',
  'virtio',
  'gop',
  'none',
  'bochs',
  'ramfb'
)
export type VideoModel = (typeof videoModel.values)[number]

const size = (name: string) => absentIf(0, attr(name, uint))

const acceleration = {
  accel3d: attr('accel3d', yesNo),
  accel2d: attr('accel2d', yesNo),
  rendernode: attr('rendernode', path)
} satisfies Fields

const resolution = { x: required(attr('x', uint)), y: required(attr('y', uint)) } satisfies Fields

const virtioDevice = attr(
  'device',
  enumOf('virtio-vga', 'virtio-vga-gl', 'virtio-gpu', 'virtio-gpu-gl', 'vhost-user-vga', 'vhost-user-gpu')
)
export type VirtioVideoDevice = NonNullable<ReturnType<typeof virtioDevice.parse>>

const model = {
  type: attrUnless('type', 'default', videoModel),
  ram: size('ram'),
  vram: size('vram'),
  vram64: size('vram64'),
  vgamem: size('vgamem'),
  heads: custom<number | undefined>({
    ...attr('heads', uint),
    parse: (node, context) => attr('heads', uint).parse(node, context) ?? 1,
    format(value, into) {
      if (value) into.attributes.heads = String(value)
    }
  }),
  /** frames stay in the guest's memory, which must be a memfd; virtio only */
  blob: attr('blob', onOff),
  primary: custom<true | undefined>({
    names: ['@primary'],
    parse: ({ attributes: { primary } }) => (primary === 'yes' ? true : undefined),
    format(value, into) {
      if (value) into.attributes.primary = 'yes'
    }
  }),
  edid: attr('edid', onOff),
  /** QEMU's device, of virtio only; absent: chosen by what else there is */
  device: {
    ...virtioDevice,
    parse: (node, context) => (node.attributes.type === 'virtio' ? virtioDevice.parse(node, context) : undefined)
  } satisfies typeof virtioDevice,
  acceleration: custom<Def<typeof acceleration> | undefined>({
    ...child('acceleration', acceleration),
    parse(node, context) {
      const found = firstChild(node, 'acceleration')
      const parsed = found && parseFields(found, acceleration, context)
      if (parsed && Object.keys(parsed).length === 0) {
        throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'missing values for acceleration')
      }
      return parsed
    }
  }),
  resolution: custom<Def<typeof resolution> | undefined>({
    ...childAlways('resolution', resolution),
    format(value, into) {
      if (value) into.children.push(element('resolution', value.x && value.y ? { x: value.x, y: value.y } : {}))
    }
  })
} satisfies Fields

const modelAsRead = readFirst(model, 'acceleration', 'resolution')

/** Read without complaint: libvirt lets unknown values pass, and io says the same as none. */
const vgaconf = custom<'on' | 'off' | undefined>({
  names: ['@vgaconf'],
  parse: ({ attributes: { vgaconf: value } }) => (value === 'on' || value === 'off' ? value : undefined),
  format(value, into) {
    if (value) into.attributes.vgaconf = value
  }
})

const driver = { ...virtioDriver, vgaconf, name: attr('name', enumOf('qemu', 'vhostuser')) } satisfies Fields

export const videoFields = {
  driver: child('driver', driver, readFirst(driver, 'name')),
  model: custom<Def<typeof model>>({
    names: [['model', model]],
    parse: (node, context) => parseFields(firstChild(node, 'model') ?? element('model'), modelAsRead, context),
    format: (value, into, context) => childAlways('model', model).format(value, into, context)
  }),
  ...deviceInfo
} satisfies Fields
export type VideoDef = Def<typeof videoFields>

/** Memory of a model that does not say how much, in KiB (virDomainVideoDefaultRAM). */
const DEFAULT_VRAM: Partial<Record<VideoModel, number>> = {
  vga: 16384,
  cirrus: 16384,
  vmvga: 16384,
  bochs: 16384,
  xen: 4096,
  qxl: 65536
}

/** The next power of two, absent where C's unsigned int has none. */
export function roundUpPowerOfTwo(kib: number): number | undefined {
  const rounded = 2 ** (32 - Math.clz32(kib - 1))
  return kib > 0 && rounded < 2 ** 32 ? rounded : undefined
}

/** Models that can show the guest a monitor's description of itself. */
const WITH_EDID: VideoModel[] = ['vga', 'virtio', 'bochs', 'none']

export const video = deviceFamily({
  element: 'video',
  fields: videoFields,
  asRead: readFirst(videoFields, 'model'),
  postParse({ model }) {
    const vram = model.vram ?? DEFAULT_VRAM[model.type ?? 'none']
    if (vram) model.vram = roundUpPowerOfTwo(vram)
    const ram = model.ram ?? (model.type === 'qxl' ? DEFAULT_VRAM.qxl : undefined)
    if (ram) model.ram = roundUpPowerOfTwo(ram)
  },
  validate(dev, { devices }) {
    const { model, driver } = dev
    const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
    if (model.type === undefined) {
      throw fail('VIR_ERR_INTERNAL_ERROR', 'missing video model and cannot determine default')
    }
    if (devices.videos.length > 1 && devices.videos.some(other => other.model.type === 'none')) {
      throw unsupported("a 'none' video type must be the only video device defined for the domain")
    }
    if (driver?.name === 'vhostuser') {
      if (model.type !== 'virtio') throw unsupported("'vhostuser' driver is only supported with 'virtio' device")
    } else if (model.acceleration?.rendernode !== undefined) {
      throw unsupported("unsupported rendernode accel attribute without 'vhostuser'")
    }
    if (model.type !== 'virtio' && model.blob !== undefined) {
      throw unsupported(`video type '${model.type}' does not support blob resources`)
    }
    if (model.edid !== undefined && !WITH_EDID.includes(model.type)) {
      throw unsupported(`video type '${model.type}' does not support edid`)
    }
    if (model.resolution && (model.resolution.x === 0 || model.resolution.y === 0)) {
      throw unsupported('video resolution values must be greater than 0')
    }
    if (model.type !== 'qxl') {
      for (const name of ['ram', 'vram64', 'vgamem'] as const) {
        if (model[name]) throw unsupported(`${name} attribute only supported for video type qxl`)
      }
    }
    if (model.type === 'ramfb' && dev.address) throw unsupported('address not supported for video type ramfb')
    if (model.type !== 'virtio') checkNoVirtioOptions(driver)
  }
})

/** A guest with graphics has a display adapter (virDomainDefAddImplicitVideo). */
export function addImplicitVideo({ devices }: DomainDef): void {
  if (devices.graphics.length > 0 && devices.videos.length === 0) devices.videos.push({ model: { heads: 1 } })
}

/** Adapters said to be primary come first, the last of them before the others. */
export function primaryFirst(videos: VideoDef[]): void {
  const primary = videos.filter(({ model }) => model.primary).reverse()
  if (primary.length === 0) return
  videos.splice(0, videos.length, ...primary, ...videos.filter(({ model }) => !model.primary))
}

/** The first adapter is the primary one; model 'none' keeps nothing but its alias (virDomainDefPostParseVideo). */
export function postParseVideo({ devices: { videos } }: DomainDef): void {
  const [first] = videos
  if (!first) return
  if (first.model.type === 'none') videos[0] = { model: { type: 'none' }, ...(first.alias && { alias: first.alias }) }
  else first.model.primary = true
}

/** Refuses a second primary adapter (virDomainDefVideoValidate). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validatePrimaryVideo({ devices: { videos } }: DomainDef): void {
  if (videos.filter(({ model }) => model.primary).length > 1) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Only one primary video device is supported')
  }
}
