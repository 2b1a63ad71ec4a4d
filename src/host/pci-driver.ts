// The host's PCI devices between host and guests: taken from their drivers, given back, reset (virPCIDeviceDetach,
// virPCIDeviceReattach, virPCIDeviceReset).
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type PciAddress, pciAddressText } from '../conf/devices/device-address.ts'
import { systemError } from '../conf/errno.ts'
import { errorsFrom } from '../conf/error.ts'
import { hasVfio } from './devices.ts'
import { hostFile } from './root.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

const failNode = errorsFrom('VIR_FROM_NODEDEV')
const failPci = errorsFrom('VIR_FROM_NONE')

const failDriver = errorsFrom('VIR_FROM_DOMAIN')

const PCI = '/sys/bus/pci'

/** The driver that hands devices to guests. */
const STUB = 'vfio-pci'

/** The names libvirt has for devices below /sys, and for the host itself. */
const PCI_NAME = /^pci_([\da-f]{4,8})_([\da-f]{2})_([\da-f]{2})_([0-7])$/

const COMPUTER = 'computer'

const HEADER_TYPE = 0x0e

const HEADER_TYPE_MASK = 0x7f

export interface Device extends PciAddress {
  /** 0000:00:1f.2 */
  id: string
  path: string
}

/**
 * The PCI device of that name.
 * @throws VIR_ERR_NO_NODE_DEVICE, VIR_ERR_INVALID_ARG for a name of another kind of device
 */
export function deviceNamed(name: string): Device {
  const [, domain, bus, slot, fn] = PCI_NAME.exec(name) ?? []
  if (name === COMPUTER) throw failDriver('VIR_ERR_INVALID_ARG', `device ${name} is not a PCI device`)
  const address = {
    type: 'pci' as const,
    domain: Number.parseInt(domain ?? '0', 16),
    bus: Number.parseInt(bus ?? '0', 16),
    slot: Number.parseInt(slot ?? '0', 16),
    function: Number(fn ?? 0)
  }
  const id = pciAddressText(address)
  const path = hostFile(`${PCI}/devices/${id}`)
  if (domain === undefined || !existsSync(`${path}/config`)) {
    throw failNode('VIR_ERR_NO_NODE_DEVICE', `no node device with matching name '${name}'`)
  }
  return { ...address, id, path }
}

function driverOf({ path }: Device): string | undefined {
  const link = `${path}/driver`
  return existsSync(link) ? basename(realpathSync(link)) : undefined
}

function write(file: string, value: string, words: string): void {
  try {
    writeFileSync(file, value)
  } catch (error) {
    throw systemError('VIR_FROM_NONE', words, error)
  }
}

/** Has the kernel choose a driver anew: the one named, or with none the device's own (driver_override). */
export function rebind(device: Device, driver: string | undefined): void {
  const { id, path } = device
  write(
    `${path}/driver_override`,
    driver ?? '\n',
    `Failed to add driver '${driver ?? '\n'}' to driver_override  interface of PCI device '${id}'`
  )
  if (driverOf(device) !== undefined) {
    write(`${path}/driver/unbind`, id, `Failed to unbind PCI device '${id}' from ${driverOf(device)}`)
  }
  write(hostFile(`${PCI}/drivers_probe`), id, `Failed to trigger a probe for PCI device '${id}'`)
}

/** Loads the driver for guests' devices if it is not there (virPCIProbeStubDriver). @throws VIR_ERR_INTERNAL_ERROR */
async function loadStub(): Promise<void> {
  const isThere = () => existsSync(hostFile(`${PCI}/drivers/${STUB}`))
  if (isThere()) return
  const { runHostCommand } = await import('./command.ts')
  await runHostCommand('modprobe', ['-b', STUB]).catch(() => undefined)
  if (!isThere()) throw failPci('VIR_ERR_INTERNAL_ERROR', `Failed to load PCI stub module ${STUB}`)
}

/**
 * Takes a device from its driver, for guests.
 * @param checkUnused throws for a device a guest has
 * @throws VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_INVALID_ARG for another driver, VIR_ERR_NO_NODE_DEVICE
 */
export async function detach(checkUnused: (device: Device) => void, name: string, driver = 'vfio'): Promise<void> {
  if (driver === 'kvm') {
    throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', 'KVM device assignment is no longer supported on this system')
  }
  if (driver !== 'vfio') throw fail('VIR_ERR_INVALID_ARG', `unknown driver name '${driver}'`)
  if (!hasVfio()) {
    throw fail('VIR_ERR_ARGUMENT_UNSUPPORTED', 'VFIO device assignment is currently not supported on this system')
  }
  const device = deviceNamed(name)
  checkUnused(device)
  await loadStub()
  if (driverOf(device) !== STUB) rebind(device, STUB)
}

/**
 * Resets a device by the kernel's best way for it. Differs from libvirt: that writes to the device itself, and says
 * that all is well without a reset if the device has one for its functions.
 * @param isHeld a running guest has it
 */
export function reset(isHeld: (device: Device) => boolean, name: string): void {
  const device = deviceNamed(name)
  const { id, path } = device
  const header = readFileSync(`${path}/config`)[HEADER_TYPE] ?? 0
  if ((header & HEADER_TYPE_MASK) !== 0) {
    throw failPci(
      'VIR_ERR_INTERNAL_ERROR',
      `Invalid attempt to reset PCI device ${id}. Only PCI endpoint devices can be reset`
    )
  }
  if (isHeld(device)) {
    throw failPci('VIR_ERR_INTERNAL_ERROR', `Not resetting active device ${id}`)
  }
  // its driver resets it whenever a guest gets or leaves it
  if (driverOf(device) === STUB) return
  if (!existsSync(`${path}/reset`)) {
    throw failPci('VIR_ERR_INTERNAL_ERROR', `Unable to reset PCI device ${id}: no FLR, PM reset or bus reset available`)
  }
  write(`${path}/reset`, '1', `Unable to reset PCI device ${id}`)
}
