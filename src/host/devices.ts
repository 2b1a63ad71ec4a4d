// Devices of the host, looked up in sysfs: USB by vendor and product, SCSI units, PCI.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import type { PciAddress } from '../conf/devices/device-address.ts'
import { pciAddressText } from '../conf/devices/device-address.ts'
import type { ScsiUnit } from '../conf/devices/hostdev-source.ts'
import { systemError } from '../conf/errno.ts'
import { errorsFrom } from '../conf/error.ts'
import { uintAnyBase } from '../conf/scalar.ts'
import { hostFile } from './root.ts'

const fail = errorsFrom('VIR_FROM_NONE')

const SCSI_DEVICES = '/sys/bus/scsi/devices'
const USB_DEVICES = '/sys/bus/usb/devices'
const PCI_DEVICES = '/sys/bus/pci/devices'
const SCSI_HOST = 'scsi_host'

/** The generic device node of a SCSI unit (virSCSIDeviceGetSgName). @throws VIR_ERR_SYSTEM_ERROR without such a unit */
export function scsiGenericPath({ adapter, bus, target, unit }: ScsiUnit): string {
  const host = adapter.startsWith(SCSI_HOST) ? uintAnyBase.parse(adapter.slice(SCSI_HOST.length)) : undefined
  if (host === undefined) throw fail('VIR_ERR_INTERNAL_ERROR', `Cannot parse adapter '${adapter}'`)
  const dir = `${SCSI_DEVICES}/${host}:${bus}:${target}:${unit}/scsi_generic`
  try {
    return `/dev/${readdirSync(hostFile(dir))[0] ?? ''}`
  } catch (error) {
    throw systemError('VIR_FROM_NONE', `cannot open directory '${dir}'`, error)
  }
}

export interface UsbDevice {
  vendor: number
  product: number
  bus: number
  device: number
}

/** USB devices plugged in now, hubs' own entries included. */
export function usbDevicesOfHost(): UsbDevice[] {
  const read = (entry: string, file: string, base: number) =>
    Number.parseInt(readFileSync(hostFile(`${USB_DEVICES}/${entry}/${file}`), 'utf8'), base)
  let entries: string[]
  try {
    entries = readdirSync(hostFile(USB_DEVICES))
  } catch (error) {
    throw systemError('VIR_FROM_NONE', `cannot open directory '${USB_DEVICES}'`, error)
  }
  return entries.flatMap(entry => {
    // interfaces of a device have entries of their own, with a colon
    if (entry.includes(':') || !existsSync(hostFile(`${USB_DEVICES}/${entry}/idVendor`))) return []
    const [vendor, product] = [read(entry, 'idVendor', 16), read(entry, 'idProduct', 16)]
    return [{ vendor, product, bus: read(entry, 'busnum', 10), device: read(entry, 'devnum', 10) }]
  })
}

const STATUS_REGISTER = 0x06
const HAS_CAPABILITIES = 0x10
const CAPABILITIES = 0x34
const EXPRESS = 0x10
const HEADER_BYTES = 64

/** A configuration space of this many bytes is a conventional device's. */
const CONVENTIONAL_BYTES = 256

/** True for a PCI Express device; one that is not there counts as such too, as most devices are. */
export function isPciExpress(place: PciAddress): boolean {
  const file = hostFile(`${PCI_DEVICES}/${pciAddressText(place)}/config`)
  const size = statSync(file, { throwIfNoEntry: false })?.size
  return size !== CONVENTIONAL_BYTES || hasExpressCapability(readFileSync(file))
}

function hasExpressCapability(config: Buffer): boolean {
  if (!((config[STATUS_REGISTER] ?? 0) & HAS_CAPABILITIES)) return false
  let at = config[CAPABILITIES] ?? 0
  // a linked list of two-byte heads: one with more steps than bytes goes in circles
  for (let steps = 0; at >= HEADER_BYTES && at + 1 < config.length && steps < config.length; steps++) {
    if (config[at] === EXPRESS) return true
    at = config[at + 1]!
  }
  return false
}

/** True if the host can pass PCI devices through (qemuHostdevHostSupportsPassthroughVFIO). */
export function hasVfio(): boolean {
  try {
    return readdirSync(hostFile('/sys/kernel/iommu_groups')).length > 0 && existsSync(hostFile('/dev/vfio/vfio'))
  } catch {
    return false
  }
}

/** True where KVM makes guests of Intel's TDX (virQEMUCapsKVMSupportsSecureGuest). */
export function hasTdx(): boolean {
  try {
    return readFileSync(hostFile('/sys/module/kvm_intel/parameters/tdx'), 'utf8').startsWith('Y')
  } catch {
    return false
  }
}
