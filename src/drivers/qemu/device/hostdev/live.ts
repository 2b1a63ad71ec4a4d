// Host devices of a guest that runs (qemuDomainAttachHostDevice, qemuDomainDetachPrepHostdev).
import { pciAddressText } from '../../../../conf/devices/device-address.ts'
import { type HostdevDef, sameHostdevSource } from '../../../../conf/devices/hostdev.ts'
import type { HostdevSource } from '../../../../conf/devices/hostdev-source.ts'
import { hostDevicesOf } from '../../../../conf/devices/interface-hostdev.ts'
import { driveOf } from '../../../../conf/drive-address.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { ensureScsiController } from '../controller/live.ts'
import type { LiveGuest, LiveRules } from '../family.ts'
import { prepareHostdev } from './prepare.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const failHost = errorsFrom('VIR_FROM_NONE')

export const liveHostdev: LiveRules<HostdevDef> = {
  async attach(dev, guest) {
    const { source } = dev
    if (source.mode === 'capabilities') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `hotplug is not supported for hostdev mode '${source.mode}'`)
    }
    if (isPreparedFirst(dev)) settle(dev, guest)
    const place = source.type === 'scsi' ? driveOf(dev) : undefined
    if (place) await ensureScsiController(place.controller, guest)
  },
  prepare(dev, guest) {
    if (!isPreparedFirst(dev)) settle(dev, guest)
    const { def } = guest
    if (hostDevicesOf(def.devices).some(({ source }) => sameHostdevSource(dev.source, source))) {
      const what = nameOf(dev.source)
      throw failHost('VIR_ERR_OPERATION_INVALID', `${what} is in use by driver QEMU, domain ${def.name}`)
    }
  },
  find({ source }, { devices }) {
    if (source.mode === 'capabilities') {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `hot unplug is not supported for hostdev mode '${source.mode}'`)
    }
    return devices.hostdevs.find(one => sameHostdevSource(source, one.source))
  },
  noneToDetach: ({ source }) => fail('VIR_ERR_DEVICE_MISSING', missingName(source)),
  detach() {}
}

/** Those whose host side libvirt looks at before it looks for a place in the guest. */
const isPreparedFirst = ({ source: { type } }: HostdevDef): boolean => type === 'pci' || type === 'scsi'

const settle = (dev: HostdevDef, { def, context, nextNode }: LiveGuest) => prepareHostdev(dev, def, context, nextNode)

const pad = (value: number) => String(value).padStart(3, '0')
const hex = (value: number | undefined) => (value ?? 0).toString(16).padStart(4, '0')

/** A device of the host in the words of libvirt's host device manager. */
function nameOf(source: HostdevSource): string {
  switch (source.type) {
    case 'pci':
      return `PCI device ${pciAddressText(source.place)}`
    case 'usb':
      return `USB device ${pad(source.place?.bus ?? 0)}:${pad(source.place?.device ?? 0)}`
    case 'mdev':
      return `mediated device ${source.uuid}`
    default:
      return 'SCSI device'
  }
}

/** libvirt's words for a device that the guest does not have. */
function missingName(source: HostdevSource): string {
  switch (source.type) {
    case 'pci':
      return `host pci device ${pciAddressText(source.place)} not found`
    case 'usb': {
      const { place, ids } = source
      return place?.bus && place.device
        ? `host usb device ${pad(place.bus)}.${pad(place.device)} not found`
        : `host usb device vendor=0x${hex(ids?.vendor)} product=0x${hex(ids?.product)} not found`
    }
    case 'scsi': {
      const { from } = source
      if (from.protocol === 'iscsi') return `host scsi iSCSI path ${from.name} not found`
      return `host scsi device ${from.adapter}:${from.bus}:${from.target}.${from.unit} not found`
    }
    case 'mdev':
      return `mediated device '${source.uuid}' not found`
    default:
      return 'device not present in domain configuration'
  }
}
