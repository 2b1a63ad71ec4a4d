// Checks across host devices: none is given twice, one of them at most shows an early picture.
import type { DomainDef } from '../domain-def.ts'
import { errorsFrom } from '../error.ts'
import type { HostdevDef } from './hostdev.ts'
import type { HostdevSource } from './hostdev-source.ts'
import type { Devices } from './index.ts'
import { networkHostdev } from './interface-hostdev.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/**
 * Names that a host device is compared by, as lists of its parts. A USB device with a place has two: its own comparison
 * goes by the first, the place; it is found by those before it under either (virDomainHostdevMatch).
 */
function namesOf(source: HostdevSource): unknown[][] {
  switch (source.type) {
    case 'usb': {
      const { bus = 0, device = 0 } = source.place ?? {}
      const { vendor = 0, product = 0 } = source.ids ?? {}
      const byIds = ['ids', vendor, product]
      return bus > 0 && device > 0 ? [['place', bus, device], byIds] : [byIds]
    }
    case 'pci': {
      const { domain, bus, slot, function: fn } = source.place
      return [[domain, bus, slot, fn]]
    }
    case 'scsi': {
      const { from } = source
      return from.protocol === 'iscsi'
        ? [[from.protocol, from.hosts[0]?.name, from.hosts[0]?.port ?? 0, from.name]]
        : [[from.protocol, from.adapter, from.bus, from.target, String(from.unit)]]
    }
    case 'scsi_host':
      return [[source.from.wwpn]]
    case 'mdev':
      return [[source.uuid]]
    case 'storage':
      return [[source.block]]
    case 'misc':
      return [[source.char]]
    case 'net':
      return [[source.interface]]
  }
}

/** Every device of the host: network cards first, which are told as interfaces. */
export function hostDevices({ interfaces, hostdevs }: Devices): HostdevDef[] {
  return [...interfaces.flatMap(card => networkHostdev(card) ?? []), ...hostdevs]
}

/** virDomainDefHostdevValidate. @throws VIR_ERR_XML_ERROR, VIR_ERR_CONFIG_UNSUPPORTED */
export function validateHostdevs({ devices }: DomainDef): void {
  const later = new Set<string>()
  for (const { source } of hostDevices(devices).toReversed()) {
    const names = namesOf(source).map(name => JSON.stringify([source.type, ...name]))
    if (later.has(names[0]!)) {
      throw fail('VIR_ERR_XML_ERROR', 'Hostdev already exists in the domain configuration')
    }
    for (const name of names) later.add(name)
  }
  const early = devices.hostdevs.filter(
    ({ source }) => (source.type === 'mdev' || source.type === 'pci') && source.ramfb
  )
  if (early.length > 1) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "Only one vgpu device can have 'ramfb' enabled")
}
