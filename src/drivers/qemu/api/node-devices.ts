// The host's PCI devices between host and guests: taken from their drivers, given back, reset (virPCIDeviceDetach,
// virPCIDeviceReattach, virPCIDeviceReset).
import { errorsFrom } from '../../../conf/error.ts'
import { flags, optional, text } from '../../../conf/wire.ts'
import { type Device, detach, deviceNamed, rebind, reset } from '../../../host/pci-driver.ts'
import type { Connect } from '../../connection.ts'
import { methodFor } from '../../method.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const method = methodFor<Connect>()

const place = { on: 'connect', acl: 'node_device:detach' } as const

/** @throws VIR_ERR_OPERATION_INVALID for a device a running guest has */
const checkUnused =
  (connect: Connect) =>
  (device: Device): void => {
    const holder = connect.holderOf(device)
    if (holder === undefined) return
    throw fail('VIR_ERR_OPERATION_INVALID', `PCI device ${device.id} is in use by driver QEMU, domain ${holder}`)
  }

export const nodeDevices = {
  virNodeDeviceDettach: method({
    ...place,
    since: '0.6.1',
    args: { name: text('pci_DDDD_BB_SS_F') },
    ret: {},
    async run(connect, { name }) {
      await detach(checkUnused(connect), name)
      return {}
    }
  }),

  /** Takes a device from its driver, for a guest. */
  virNodeDeviceDetachFlags: method({
    ...place,
    since: '1.0.5',
    args: { name: text('pci_DDDD_BB_SS_F'), driverName: optional(text('vfio')), flags: flags() },
    ret: {},
    async run(connect, { name, driverName }) {
      await detach(checkUnused(connect), name, driverName)
      return {}
    }
  }),

  /** Gives a device back to its own driver. */
  virNodeDeviceReAttach: method({
    ...place,
    since: '0.6.1',
    args: { name: text('pci_DDDD_BB_SS_F') },
    ret: {},
    run(connect, { name }) {
      const device = deviceNamed(name)
      checkUnused(connect)(device)
      rebind(device, undefined)
      return {}
    }
  }),

  virNodeDeviceReset: method({
    ...place,
    since: '0.6.1',
    args: { name: text('pci_DDDD_BB_SS_F') },
    ret: {},
    run(connect, { name }) {
      reset(device => connect.holderOf(device) !== undefined, name)
      return {}
    }
  })
}
