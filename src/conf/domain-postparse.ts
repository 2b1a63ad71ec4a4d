// The post-parse pass: defaults and implicit devices, in libvirt's order (virDomainDefPostParse). What needs a
// hypervisor comes from its driver.
import { assignControllerIndexes, rejectDuplicateControllers } from './controllers.ts'
import { assignIsaSerialPorts } from './devices/chardev.ts'
import { addConsoleCompat } from './devices/console-compat.ts'
import { expandIoTuneGroups } from './devices/disk.ts'
import { postParseGraphics } from './devices/graphics.ts'
import { type AnyDevice, type DeviceKind, eachDevice, eachDeviceInfo, familyOf } from './devices/index.ts'
import { rejectDuplicatePanics } from './devices/panic.ts'
import { addImplicitVideo, postParseVideo, primaryFirst } from './devices/video.ts'
import { checkTimers } from './domain/clock.ts'
import { checkCpu } from './domain/cpu.ts'
import { checkName } from './domain/identity.ts'
import { postParseMemory } from './domain/memory.ts'
import { postParseHugepages } from './domain/memory-backing.ts'
import { requireInit } from './domain/os.ts'
import { postParseLoader } from './domain/os-firmware.ts'
import { postParseVcpus } from './domain/vcpu.ts'
import type { DomainDef } from './domain-def.ts'
import { errorsFrom } from './error.ts'
import { addImplicitControllers } from './implicit-devices.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A hypervisor driver's part in the passes over a definition (virDomainDefParserConfig). */
export interface DefDriver {
  /** sizes and addresses may still be settled (VIR_DOMAIN_DEF_PARSE_ABI_UPDATE) */
  isNew: boolean
  /** domain-wide defaults (domainPostParseCallback) */
  postParse(def: DomainDef): void
  /** defaults of one device (devicesPostParseCallback); runs before the family's own */
  devicePostParse(kind: DeviceKind, dev: AnyDevice, def: DomainDef): void
  /** addresses not given by the user (assignAddressesCallback) */
  assignAddresses(def: DomainDef): void
  validate(def: DomainDef): void
  deviceValidate(kind: DeviceKind, dev: AnyDevice, def: DomainDef): void
}

/** Completes a parsed definition in place. */
export function postParse(def: DomainDef, driver: DefDriver): void {
  primaryFirst(def.devices.videos)
  assignControllerIndexes(def)
  driver.postParse(def)
  assignIsaSerialPorts(def.devices.serials)
  expandIoTuneGroups(def.devices.disks)
  for (const [kind, dev] of eachDevice(def.devices)) devicePostParse(kind, dev, def, driver)
  for (const step of COMMON_STEPS) step(def, driver)
  driver.assignAddresses(def)
  checkName(def)
}

/** One device's defaults: the driver's, then the generic ones. */
export function devicePostParse(kind: DeviceKind, dev: AnyDevice, def: DomainDef, driver: DefDriver): void {
  driver.devicePostParse(kind, dev, def)
  familyOf(kind).postParse?.(dev as never, def)
}

/** virDomainDefPostParseCommon's steps, in its order. */
const COMMON_STEPS: ((def: DomainDef, driver: DefDriver) => void)[] = [
  requireInit,
  postParseVcpus,
  postParseMemory,
  postParseLoader,
  postParseHugepages,
  rejectDuplicateControllers,
  rejectDuplicatePanics,
  bootOrder,
  checkTimers,
  addConsoleCompat,
  addImplicitControllers,
  addImplicitVideo,
  primaryVideo,
  serialTargets,
  scsiModels,
  postParseGraphics,
  checkCpu
]

/** The first serial port may have been added for a console after the per-device pass. */
function serialTargets(def: DomainDef, driver: DefDriver): void {
  const [first] = def.devices.serials
  if (first) devicePostParse('serials', first as AnyDevice, def, driver)
}

/** Model of a SCSI controller added for what hangs on it. */
function scsiModels(def: DomainDef, driver: DefDriver): void {
  for (const dev of def.devices.controllers) {
    if (dev.type === 'scsi' && dev.model === undefined) devicePostParse('controllers', dev, def, driver)
  }
}

/** The primary display adapter, which may have been added after the per-device pass. */
function primaryVideo(def: DomainDef, driver: DefDriver): void {
  postParseVideo(def)
  const [first] = def.devices.videos
  if (first?.model.primary) devicePostParse('videos', first as AnyDevice, def, driver)
}

/**
 * Checks the order of boot devices: by <boot order=…/> of devices or <boot dev=…/> of the OS, not both, each number once;
 * a full virtual machine without any boots from disk (virDomainDefBootOrderPostParse).
 */
function bootOrder({ os, devices }: DomainDef): void {
  if (os.type !== 'hvm') return
  const orders = new Set<number>()
  for (const [, { boot }] of eachDeviceInfo(devices)) {
    if (!boot) continue
    if (orders.has(boot.order)) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `boot order '${boot.order}' used for more than one device`)
    }
    orders.add(boot.order)
  }
  if (os.bootDevices.length > 0 && orders.size > 0) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'per-device boot elements cannot be used together with os/boot elements')
  }
  if (os.bootDevices.length === 0 && orders.size === 0) os.bootDevices.push({ dev: 'hd' })
}
