// XML that older libvirts understand: without our additions that they would make themselves
// (qemuDomainDefFormatBufInternal with VIR_DOMAIN_XML_MIGRATABLE).
import type { ControllerDef } from '../../../conf/devices/controller.ts'
import { isUserAlias } from '../../../conf/devices/device-info.ts'
import { parseCpu } from '../../../conf/domain/cpu.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import { formatDomain } from '../../../conf/domain-xml.ts'
import { storageImages } from '../../../conf/storage/chain.ts'
import { parseXml } from '../../../conf/xml.ts'
import type { QemuContext } from '../context.ts'
import { addDefaultAudio } from '../device/audio.ts'
import { isMadeUpPath } from '../device/chardev/chardev.ts'
import { isI440fx, isQ35 } from '../machine-type.ts'

/** The one controller of its type, if it has index 0 and the user gave it no name. */
function only({ devices }: DomainDef, type: ControllerDef['type']): ControllerDef | undefined {
  const [one, ...more] = devices.controllers.filter(controller => controller.type === type)
  return one && more.length === 0 && one.index === 0 && !isUserAlias(one.alias) ? one : undefined
}

/** Controllers every guest of old had without saying so. */
function dropControllers(def: DomainDef): void {
  const usb = isI440fx(def) ? only(def, 'usb') : undefined
  const pci = only(def, 'pci')
  const dropped = [
    usb && (usb.model === undefined || usb.model === 'piix3-uhci') ? usb : undefined,
    pci?.model === 'pci-root' && pci.pcihole64KiB === undefined ? pci : undefined
  ]
  def.devices.controllers = def.devices.controllers.filter(one => !dropped.includes(one))
}

/** The first panic device that comes with the machine. */
function dropPanic({ devices }: DomainDef): void {
  const at = devices.panics.findIndex(({ model }) => model === 's390' || model === 'pseries')
  if (at >= 0) devices.panics.splice(at, 1)
}

/** The watchdog every q35 machine has, which libvirt tells of since 9.1. */
function dropWatchdog({ devices }: DomainDef): void {
  const at = devices.watchdogs.findIndex(({ model }) => model === 'itco')
  if (at >= 0 && devices.watchdogs[at]!.action === 'reset') devices.watchdogs.splice(at, 1)
}

/** Socket paths of channels that we would choose again. */
function dropChannelPaths({ devices }: DomainDef, { paths }: QemuContext): void {
  for (const { source, target } of devices.channels) {
    if (target.type !== 'virtio' || source.type !== 'unix' || source.path === undefined) continue
    if (isMadeUpPath(source.path, target.name, paths)) source.path = undefined
  }
}

/** Serial ports that were once called ISA where there is no ISA bus. */
function dropSerialTargets({ devices }: DomainDef): void {
  for (const { target } of devices.serials) {
    if (target.type !== 'spapr-vio-serial' && target.type !== 'system-serial') continue
    target.type = 'none'
    target.model = 'none'
  }
}

/** Icelake-Server once had a feature that no host has. */
function disablePconfig({ cpu }: DomainDef): void {
  if (cpu?.mode !== 'custom' || cpu.model?.name !== 'Icelake-Server') return
  const feature = cpu.features.find(({ name }) => name === 'pconfig')
  if (feature) feature.policy = 'disable'
  else cpu.features.push({ policy: 'disable', name: 'pconfig' })
}

/** The audio backend we add to guests that have none. */
function dropAudio(def: DomainDef): void {
  const { devices } = def
  if (devices.audios.length !== 1) return
  const bare = { ...def, devices: { ...devices, audios: [] } }
  addDefaultAudio(bare)
  if (JSON.stringify(bare.devices.audios) === JSON.stringify(devices.audios)) devices.audios = []
}

/** Takes away numbers of images, which only a running guest has, and gives those without a format raw. */
function resetImages({ devices }: DomainDef): void {
  for (const { source } of devices.disks) {
    if (source.type !== 'volume') source.format ??= 'raw'
    for (const image of storageImages(source)) image.index = undefined
  }
}

/**
 * A definition's migratable XML: with secrets, and not of a running guest.
 * @param originalCpu <cpu> it was started with, where that is another
 */
export function formatMigratable(def: DomainDef, context: QemuContext, originalCpu?: string): string {
  const copy = structuredClone(def)
  if (originalCpu !== undefined) {
    // NUMA cells are the definition's own
    const { numa } = copy.cpu ?? {}
    copy.cpu = { ...parseCpu(parseXml(originalCpu)), ...(numa && { numa }) }
  }
  dropControllers(copy)
  dropPanic(copy)
  dropChannelPaths(copy, context)
  dropSerialTargets(copy)
  disablePconfig(copy)
  dropAudio(copy)
  if (isQ35(copy)) dropWatchdog(copy)
  resetImages(copy)
  return formatDomain(copy, { inactive: true, secure: true, migratable: true })
}
