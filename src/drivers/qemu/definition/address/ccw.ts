// Device numbers on s390's channel bus (qemuDomainAssignS390Addresses).
import type { AddressOf } from '../../../../conf/devices/device-address.ts'
import { ccwText } from '../../../../conf/devices/device-address.ts'
import { eachDeviceInfo } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { isS390Ccw } from '../../machine-type.ts'
import { setVirtioAddressType } from './virtio-devices.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** virtio devices are on this channel subsystem. */
const VIRTIO_CSSID = 0xfe
const MAX_SSID = 3
const MAX_DEVNO = 0xffff

/**
 * Gives devices on the channel bus their numbers.
 * @throws VIR_ERR_XML_ERROR for a number given twice, VIR_ERR_INTERNAL_ERROR when there are no more
 */
export function assignCcwAddresses(def: DomainDef): void {
  if (!isS390Ccw(def)) return
  for (const dev of def.devices.hostdevs) {
    if (dev.source.type !== 'mdev') continue
    if (dev.source.model === 'vfio-ccw') dev.address ??= { type: 'ccw' }
    // crypto adapters sit on no bus
    if (dev.source.model === 'vfio-ap') delete dev.address
  }
  setVirtioAddressType(def, 'ccw')
  const used = new Set<string>()
  for (const [, { address }] of eachDeviceInfo(def.devices)) {
    if (address?.type !== 'ccw' || address.devno === undefined) continue
    const text = ccwText(address)
    if (used.has(text)) throw fail('VIR_ERR_XML_ERROR', `The CCW devno '${text}' is in use already`)
    used.add(text)
  }
  const next: AddressOf<'ccw'> & { ssid: number; devno: number } = {
    type: 'ccw',
    cssid: VIRTIO_CSSID,
    ssid: 0,
    devno: 0
  }
  for (const [, dev] of eachDeviceInfo(def.devices)) {
    if (dev.address?.type !== 'ccw' || dev.address.devno !== undefined) continue
    while (used.has(ccwText(next))) {
      if (next.devno++ < MAX_DEVNO) continue
      next.devno = 0
      if (next.ssid++ === MAX_SSID) throw fail('VIR_ERR_INTERNAL_ERROR', 'There are no more free CCW devnos.')
    }
    used.add(ccwText(next))
    dev.address = { ...next }
  }
}
