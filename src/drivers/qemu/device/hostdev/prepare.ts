// What a start settles about host devices: where USB devices are, who passes PCI devices through, names of block nodes.
import type { HostdevDef } from '../../../../conf/devices/hostdev.ts'
import type { HostdevSourceOf } from '../../../../conf/devices/hostdev-source.ts'
import { hostDevices } from '../../../../conf/devices/hostdev-validate.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { storageChain } from '../../../../conf/storage/chain.ts'
import { hasVfio, scsiGenericPath, usbDevicesOfHost } from '../../../../host/devices.ts'
import { storageSecrets } from '../../block/nodes.ts'
import type { QemuContext } from '../../context.ts'

const fail = errorsFrom('VIR_FROM_NONE')

/** Prepares every host device; block nodes are numbered on from those of the disks. */
export function prepareHostdevs({ devices }: DomainDef, { pretend, secrets }: QemuContext): void {
  let node = Math.max(0, ...devices.disks.flatMap(({ source }) => storageChain(source).map(({ index = 0 }) => index)))
  for (const dev of hostDevices(devices)) {
    if (dev.source.type === 'scsi') {
      dev.backendIndex = ++node
      if (dev.source.from.protocol === 'iscsi') storageSecrets({ ...dev.source.from, type: 'network' }, secrets)
    }
    if (pretend) continue
    if (dev.source.type === 'usb') findUsbDevice(dev.source)
    if (dev.source.type === 'pci') chooseBackend(dev)
  }
}

/** SCSI units of the host must be there by now (qemuProcessPrepareHostHostdev). @throws VIR_ERR_SYSTEM_ERROR */
export function checkScsiUnits({ devices }: DomainDef): void {
  for (const { source } of hostDevices(devices)) {
    if (source.type === 'scsi' && source.from.protocol !== 'iscsi') scsiGenericPath(source.from)
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

/** qemuHostdevPreparePCIDevicesCheckSupport. @throws VIR_ERR_CONFIG_UNSUPPORTED */
function chooseBackend({ source }: HostdevDef): void {
  const refuse = (what: string) => fail('VIR_ERR_CONFIG_UNSUPPORTED', `host doesn't support ${what}`)
  if (source.backend === 'kvm') throw refuse('legacy PCI passthrough')
  if (hasVfio()) source.backend ??= 'vfio'
  else throw refuse(source.backend === 'vfio' ? 'VFIO PCI passthrough' : 'passthrough of host PCI devices')
}
