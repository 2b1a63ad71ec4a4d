// Host devices at a start: places of USB devices, the driver that passes PCI devices through, names of block nodes.
import { existsSync } from 'node:fs'
import type { HostdevDef } from '../../../../conf/devices/hostdev.ts'
import type { HostdevSourceOf } from '../../../../conf/devices/hostdev-source.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { hasVfio, scsiGenericPath, usbDevicesOfHost } from '../../../../host/devices.ts'
import { hostFile } from '../../../../host/root.ts'
import { storageSecrets } from '../../block/nodes.ts'
import type { QemuContext } from '../../context.ts'

const fail = errorsFrom('VIR_FROM_NONE')
const failQemu = errorsFrom('VIR_FROM_QEMU')

/**
 * Fills in the host's part of a device; a pretended start looks at fewer devices.
 * @param nextNode gives the number of one more block node of the guest's
 */
export function prepareHostdev(
  dev: HostdevDef,
  _def: DomainDef,
  { pretend, secrets }: QemuContext,
  nextNode: () => number
): void {
  const { source } = dev
  if (source.type === 'scsi') {
    // asked for its error: another device may be there when it is opened
    if (source.from.protocol !== 'iscsi') scsiGenericPath(source.from)
    dev.backendIndex = nextNode()
    if (source.from.protocol === 'iscsi') storageSecrets({ ...source.from, type: 'network' }, secrets)
  }
  // libvirt 11.3 shows a command line for a backend that is given, whatever the host can do
  if (source.type === 'pci' && !(pretend && source.backend)) chooseBackend(dev)
  if (pretend) return
  if (source.type === 'usb') findUsbDevice(source)
  if (source.type === 'mdev') checkMediated(source)
}

/** qemuHostdevPrepareMediatedDevices, virMediatedDeviceNew */
function checkMediated({ uuid }: HostdevSourceOf<'mdev'>): void {
  if (!existsSync(hostFile('/dev/vfio/vfio'))) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'Mediated host device assignment requires VFIO support')
  }
  if (!existsSync(hostFile(`/sys/bus/mdev/devices/${uuid}`))) {
    throw fail('VIR_ERR_DEVICE_MISSING', `mediated device '${uuid}' not found`)
  }
}

/** A device that must be there at every start, and one that need not (virDomainStartupPolicy). */
const isMandatory = ({ startupPolicy = 'mandatory' }: HostdevSourceOf<'usb'>) => startupPolicy !== 'optional'

/** The place of a device known by vendor and product, or the check of a place given (virHostdevFindUSBDevice). */
function findUsbDevice(source: HostdevSourceOf<'usb'>): void {
  const { ids, place } = source
  if (!ids && !place) return
  const plugged = usbDevicesOfHost()
  const found = plugged.filter(
    one =>
      (!ids || (one.vendor === ids.vendor && one.product === ids.product)) &&
      (!place || (one.bus === place.bus && one.device === place.device))
  )
  const hex = (value: number) => value.toString(16)
  const [first] = found
  if (!first) {
    if (!isMandatory(source)) {
      source.missing = true
      return
    }
    const what = [ids && `${hex(ids.vendor)}:${hex(ids.product)}`, place && `bus:${place.bus} device:${place.device}`]
    throw fail('VIR_ERR_INTERNAL_ERROR', `Did not find USB device ${what.filter(Boolean).join(' ')}`)
  }
  if (found.length > 1) {
    throw fail(
      'VIR_ERR_OPERATION_FAILED',
      `Multiple USB devices for ${hex(first.vendor)}:${hex(first.product)}, use <address> to specify one`
    )
  }
  source.missing = undefined
  if (place) return
  source.place = { bus: first.bus, device: first.device }
  source.autoAddress = true
}

/** qemuDomainPrepareHostdevPCI. @throws VIR_ERR_CONFIG_UNSUPPORTED */
function chooseBackend({ source }: HostdevDef): void {
  const refuse = (what: string) => failQemu('VIR_ERR_CONFIG_UNSUPPORTED', `host doesn't support ${what}`)
  if (source.backend === 'kvm') throw refuse('legacy PCI passthrough')
  if (hasVfio()) source.backend ??= 'vfio'
  else throw refuse(source.backend === 'vfio' ? 'VFIO PCI passthrough' : 'passthrough of host PCI devices')
}
