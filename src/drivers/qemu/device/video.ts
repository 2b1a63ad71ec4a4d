// <video>: QEMU's defaults, checks and arguments.
import type { VideoDef, VideoModel, VirtioVideoDevice } from '../../../conf/devices/video.ts'
import { roundUpPowerOfTwo } from '../../../conf/devices/video.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { errorsFrom } from '../../../conf/error.ts'
import type { Qemu } from '../capabilities/qemu.ts'
import type { Capability } from '../capabilities/signs.ts'
import { addressProps, virtioProps } from '../parts/address.ts'
import type { Builder, DeviceProps } from '../parts/builder.ts'
import type { Props } from '../parts/props.ts'
import type { QemuFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const KIB_PER_MIB = 1024
const UINT_MAX = 2 ** 32 - 1
const QXL_VGAMEM_KIB = 16384

interface Model {
  /** the capability of a QEMU that has the model */
  capability: Capability
  /** QEMU's device for the primary adapter and for the others, which few models can be */
  primary: string
  secondary?: string
  /** takes `<resolution>` */
  resolution?: true
}

const MODELS: Partial<Record<VideoModel, Model>> = {
  vga: { capability: 'VGA', primary: 'VGA', resolution: true },
  cirrus: { capability: 'cirrus-vga', primary: 'cirrus-vga' },
  vmvga: { capability: 'vmware-svga', primary: 'vmware-svga' },
  qxl: { capability: 'qxl', primary: 'qxl-vga', secondary: 'qxl', resolution: true },
  virtio: { capability: 'virtio-gpu', primary: 'virtio-vga', secondary: 'virtio-gpu', resolution: true },
  bochs: { capability: 'bochs-display', primary: 'bochs-display', resolution: true },
  ramfb: { capability: 'ramfb', primary: 'ramfb' }
}

/** Model of a machine's video adapter if nobody names one (qemuDomainDefaultVideoDevice). */
function defaultModel({ os }: DomainDef, qemu: Qemu): VideoModel | undefined {
  if (/^ppc64/.test(os.arch ?? '')) return 'vga'
  const isVirt = /^virt(-|$)/.test(os.machine ?? '') && /^(aarch64|armv[67]l|riscv(32|64))$/.test(os.arch ?? '')
  if (isVirt || /^s390/.test(os.arch ?? '')) return 'virtio'
  if (qemu.has('cirrus-vga')) return 'cirrus'
  return qemu.has('VGA') ? 'vga' : undefined
}

export const qemuVideo: QemuFamily<VideoDef> = {
  postParse({ model }, def, { qemu }) {
    model.type ??= defaultModel(def, qemu)
    if (model.type === 'qxl') model.vgamem ??= QXL_VGAMEM_KIB
  },
  validate({ model, driver, address }, def, { qemu }) {
    const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
    const { type, acceleration } = model
    if (type === 'none') return
    const known = type && MODELS[type]
    if (!known || !qemu.has(known.capability)) {
      throw unsupported(`domain configuration does not support video model '${type ?? 'default'}'`)
    }
    if (!known.secondary) {
      if (!model.primary) throw unsupported(`video type '${type}' is only valid as primary video device`)
      if (model.heads !== 1) throw unsupported(`video type '${type}' doesn't support multiple 'heads'`)
    }
    if (acceleration?.accel2d) throw unsupported('qemu does not support the accel2d setting')
    if (type === 'qxl') validateQxl(model)
    if (model.resolution && !known.resolution) throw fail('VIR_ERR_XML_ERROR', 'model resolution is not supported')
    if ((type === 'vga' || type === 'vmvga') && model.vram && model.vram < KIB_PER_MIB) {
      throw unsupported("value for 'vram' must be at least 1 MiB (1024 KiB)")
    }
    if (model.device) validateDevice(model.device, model.primary === true, driver?.name === 'vhostuser', qemu)
    if (driver?.name === 'vhostuser') {
      if (type === 'virtio' && !qemu.has('vhost-user-gpu')) {
        throw unsupported("this QEMU does not support 'vhost-user' video device")
      }
    } else if (acceleration?.accel3d) {
      if (type !== 'virtio') throw unsupported("3d acceleration is supported only with 'virtio' video device")
      const any: Capability[] = ['virtio-gpu.virgl', 'virtio-gpu-gl-pci', 'virtio-vga-gl']
      if (!any.some(capability => qemu.has(capability))) {
        throw unsupported('3d acceleration is not supported by this QEMU binary')
      }
    }
    if (type === 'virtio' && model.blob !== undefined) {
      if (!qemu.has('virtio-gpu.blob')) throw unsupported("this QEMU does not support 'blob' for virtio-gpu devices")
      if (model.blob && def.memoryBacking?.source !== 'memfd') {
        throw unsupported("'blob' support for virtio-gpu devices requires a memfd memory backend")
      }
    }
    if (type === 'ramfb' && address) throw unsupported("'address' is not supported for 'ramfb' video devices")
  },
  // Differs from libvirt: no vhost-user-gpu is ever started, so that a guest that asks for one is refused as on a host
  // without the program (qemuVhostUserFillDomainGPU)
  prepare({ driver }) {
    if (driver?.name !== 'vhostuser') return
    throw fail('VIR_ERR_OPERATION_FAILED', 'Unable to find a satisfying vhost-user-gpu')
  },
  add(to, dev) {
    if (dev.model.type !== 'none') to.device(videoProps(to, dev))
  }
}

/** QEMU's capability for each of virtio's devices. */
const DEVICE_NEEDS: Record<VirtioVideoDevice, Capability> = {
  'virtio-vga': 'virtio-vga',
  'virtio-vga-gl': 'virtio-vga-gl',
  'virtio-gpu': 'virtio-gpu',
  'virtio-gpu-gl': 'virtio-gpu-gl-pci',
  'vhost-user-vga': 'vhost-user-vga',
  'vhost-user-gpu': 'vhost-user-gpu'
}

function validateDevice(device: VirtioVideoDevice, isPrimary: boolean, isVhostUser: boolean, qemu: Qemu): void {
  const unsupported = (message: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', message)
  if (/-vga/.test(device) && !isPrimary) {
    throw unsupported(`the '${device}' virtio video device frontend can be only used as primary video device`)
  }
  if (device.startsWith('vhost-user') !== isVhostUser) {
    throw unsupported(`the '${device}' virtio video device doesn't match the selected vhostuser backend`)
  }
  if (!qemu.has(DEVICE_NEEDS[device])) {
    throw unsupported(`this QEMU doesn't support the '${device}' virtio video device frontend`)
  }
}

function validateQxl({ vram = 0, ram = 0, vgamem }: VideoDef['model']): void {
  const limit = Math.floor(UINT_MAX / 1024)
  for (const [name, value] of Object.entries({ vram, ram })) {
    if (value > limit) throw fail('VIR_ERR_OVERFLOW', `value for '${name}' must be less than '${limit}'`)
  }
  if (!vgamem) return
  if (vgamem < KIB_PER_MIB) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "value for 'vgamem' must be at least 1 MiB (1024 KiB)")
  }
  if (vgamem !== roundUpPowerOfTwo(vgamem)) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "value for 'vgamem' must be power of two")
  }
}

/** -device of one display adapter (qemuBuildDeviceVideoCmd). */
function videoProps(to: Builder, dev: VideoDef): DeviceProps {
  const { model, driver = {} } = dev
  const heads = model.type === 'qxl' || model.type === 'virtio' ? model.heads || undefined : undefined
  const { base, isVga, isVirtio } = deviceName(to.qemu, dev)
  const virtio = isVirtio ? virtioProps(base, undefined, dev.address, driver) : { driver: base }
  const accel3d =
    driver.name !== 'vhostuser' && model.type === 'virtio' && to.qemu.has('virtio-gpu.virgl')
      ? model.acceleration?.accel3d
      : undefined
  return {
    ...virtio,
    ...(isVga && { driver: base }),
    id: dev.alias,
    virgl: accel3d,
    max_outputs: heads,
    ...memoryProps(to.qemu, dev),
    edid: model.edid,
    blob: model.type === 'virtio' ? model.blob : undefined,
    xres: model.resolution?.x,
    yres: model.resolution?.y,
    ...addressProps(to, dev)
  }
}

/** QEMU's device; for the primary adapter the one compatible with VGA, if there is one (qemuDeviceVideoGetModel). */
function deviceName(qemu: Qemu, { model, driver }: VideoDef): { base: string; isVga: boolean; isVirtio: boolean } {
  if (model.device) {
    const isVga = /-vga/.test(model.device)
    return { base: model.device, isVga, isVirtio: !isVga }
  }
  const isVhostUser = driver?.name === 'vhostuser'
  const vgaMissing = model.type === 'virtio' && !qemu.has(isVhostUser ? 'vhost-user-vga' : 'virtio-vga')
  const isVga = model.primary === true && !vgaMissing
  if (isVhostUser) return { base: isVga ? 'vhost-user-vga' : 'vhost-user-gpu', isVga, isVirtio: !isVga }
  const base = model.type && MODELS[model.type]?.[isVga ? 'primary' : 'secondary']
  if (!base) throw fail('VIR_ERR_INTERNAL_ERROR', `invalid model for video type '${model.type ?? 'default'}'`)
  const isVirtio = model.type === 'virtio'
  const hasGl = isVirtio && model.acceleration?.accel3d && qemu.has(isVga ? 'virtio-vga-gl' : 'virtio-gpu-gl-pci')
  return { base: hasGl ? `${base}-gl` : base, isVga, isVirtio }
}

const mib = (kib = 0) => Math.floor(kib / KIB_PER_MIB)
/** As QEMU's property takes it: zero is left out, and what exceeds C's unsigned int is cut off. */
const bytes = (kib = 0) => (kib * 1024) % (UINT_MAX + 1) || undefined

function memoryProps(qemu: Qemu, { model, driver, alias }: VideoDef): Props {
  const { ram, vram, vram64, vgamem } = model
  if (model.type === 'qxl') {
    return {
      ram_size: bytes(ram),
      vram_size: bytes(vram),
      vram64_size_mb: qemu.has('qxl.vram64_size_mb') ? mib(vram64) : undefined,
      vgamem_mb: qemu.has('qxl.vgamem_mb') ? mib(vgamem) : undefined
    }
  }
  if (driver?.name === 'vhostuser') return { chardev: `chr-vu-${alias}` }
  if (model.type === 'vga' && qemu.has('VGA.vgamem_mb')) return { vgamem_mb: mib(vram) || undefined }
  if (model.type === 'vmvga' && qemu.has('vmware-svga.vgamem_mb')) return { vgamem_mb: mib(vram) || undefined }
  if (model.type === 'bochs') return { vgamem: bytes(vram) }
  return {}
}
