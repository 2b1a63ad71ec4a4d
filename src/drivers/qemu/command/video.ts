// <video>: QEMU's defaults, checks and arguments.
import type { VideoDef } from '../../../conf/devices/video.ts'
import { errorsFrom } from '../../../conf/error.ts'
import { addressProps } from './address.ts'
import type { Command, Props } from './command.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const KIB_PER_MIB = 1024

/** Next power of two, as libvirt rounds video memory. */
const roundUp = (kib: number) => 2 ** Math.ceil(Math.log2(kib))

export const qemuVideo: QemuFamily<VideoDef> = {
  postParse(dev, def) {
    dev.model ??= {}
    const { model } = dev
    const spice = def.devices.graphics.some(({ type }) => type === 'spice')
    model.type ??= spice ? 'qxl' : 'cirrus'
    if (model.type === 'none') return
    model.heads ??= 1
    if (model.type === 'qxl') {
      model.ram = roundUp(model.ram ?? 65536)
      model.vram = roundUp(model.vram ?? 65536)
      model.vgamem = roundUp(model.vgamem ?? 16384)
    } else if (model.type === 'vga' || model.type === 'cirrus' || model.type === 'vmvga' || model.type === 'bochs') {
      model.vram = model.vram === undefined ? 16384 : roundUp(model.vram)
    }
  },
  validate(dev) {
    const type = dev.model?.type ?? ''
    if (['xen', 'vbox', 'parallels', 'gop'].includes(type)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `video type '${type}' is not supported with QEMU`)
    }
  }
}

const PRIMARY: Record<string, string> = {
  vga: 'VGA',
  cirrus: 'cirrus-vga',
  vmvga: 'vmware-svga',
  qxl: 'qxl-vga',
  virtio: 'virtio-vga',
  bochs: 'bochs-display',
  ramfb: 'ramfb'
}
const SECONDARY: Record<string, string> = { vga: 'VGA', qxl: 'qxl', virtio: 'virtio-gpu-pci', bochs: 'bochs-display' }

export function videosArgs(command: Command): void {
  command.def.devices.videos.forEach((dev, i) => {
    if (dev.model?.type !== 'none') command.device(videoProps(command, dev, i === 0))
  })
}

/** -device of one display adapter. */
export function videoProps(command: Command, dev: VideoDef, primary: boolean): Props & { driver: string } {
  const { type = '', vram, ram, vram64, vgamem, heads, resolution } = dev.model ?? {}
  const driver = (primary ? PRIMARY : SECONDARY)[type]
  if (driver === undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `invalid model for video type '${type}'`)
  const mib = (kib: number | undefined) => (kib === undefined ? undefined : Math.floor(kib / KIB_PER_MIB))
  const sizes: Props =
    type === 'qxl'
      ? {
          max_outputs: heads,
          ram_size: (ram ?? 0) * 1024,
          vram_size: (vram ?? 0) * 1024,
          vram64_size_mb: mib(vram64) ?? 0,
          vgamem_mb: mib(vgamem)
        }
      : type === 'vga' || type === 'vmvga'
        ? { vgamem_mb: mib(vram) }
        : type === 'bochs'
          ? { vgamem: (vram ?? 0) * 1024 }
          : type === 'virtio'
            ? { max_outputs: heads }
            : {}
  return { driver, id: dev.alias, ...sizes, xres: resolution?.x, yres: resolution?.y, ...addressProps(command, dev) }
}
