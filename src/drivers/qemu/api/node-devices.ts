// The host's PCI devices between host and guests: taken from their drivers, given back, reset (virPCIDeviceDetach,
// virPCIDeviceReattach, virPCIDeviceReset).
import { errorsFrom } from '../../../conf/error.ts'
import { flags, optional, text } from '../../../conf/wire.ts'
import { type Device, detach, deviceNamed, rebind, reset } from '../../../host/pci-driver.ts'
import type { Host } from '../../connection.ts'
import { methodFor } from '../../method.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<Host>()

const place = { on: 'connect', acl: 'node_device:detach' } as const

/** @throws VIR_ERR_OPERATION_INVALID for a device a running guest has */
const checkUnused =
  (host: Host) =>
  (device: Device): void => {
    const holder = host.holderOf(device)
    if (holder === undefined) return
    throw fail('VIR_ERR_OPERATION_INVALID', `PCI device ${device.id} is in use by driver QEMU, domain ${holder}`)
  }

export const nodeDevices = {
  virNodeDeviceDettach: method({
    ...place,
    since: '0.6.1',
    args: { name: text('pci_DDDD_BB_SS_F') },
    ret: {},
    async run(host, { name }) {
      await detach(checkUnused(host), name)
      return {}
    }
  }),

  /** Takes a device from its driver, for a guest. */
  virNodeDeviceDetachFlags: method({
    ...place,
    since: '1.0.5',
    args: { name: text('pci_DDDD_BB_SS_F'), driverName: optional(text('vfio')), flags: flags() },
    ret: {},
    async run(host, { name, driverName }) {
      await detach(checkUnused(host), name, driverName)
      return {}
    }
  }),

  /** Gives a device back to its own driver. */
  virNodeDeviceReAttach: method({
    ...place,
    since: '0.6.1',
    args: { name: text('pci_DDDD_BB_SS_F') },
    ret: {},
    run(host, { name }) {
      const device = deviceNamed(name)
      checkUnused(host)(device)
      rebind(device, undefined)
      return {}
    }
  }),

  virNodeDeviceReset: method({
    ...place,
    since: '0.6.1',
    args: { name: text('pci_DDDD_BB_SS_F') },
    ret: {},
    run(host, { name }) {
      reset(device => host.holderOf(device) !== undefined, name)
      return {}
    }
  })
}
