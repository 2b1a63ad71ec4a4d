// Isolation groups (qemuDomainSetupIsolationGroups): on pSeries, host devices that must fail alone get host bridges of
// their own, by the groups the host's IOMMU has them in.
import { readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { pciAddressText } from '../../../../conf/devices/device-address.ts'
import type { HostdevDef } from '../../../../conf/devices/hostdev.ts'
import type { AnyDevice, DeviceKind } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { isPseries } from '../../machine-type.ts'

/** Emulated devices; also what a host device is in whose group cannot be told. */
export const NO_GROUP = 0

/** Only there do guests care. */
export const needsIsolation: (def: DomainDef) => boolean = isPseries

/** The group of a device, one more than the host's number for it. */
export function isolationGroup(kind: DeviceKind, dev: AnyDevice, def: DomainDef): number {
  if (kind !== 'hostdevs' || !needsIsolation(def)) return NO_GROUP
  const { source } = dev as HostdevDef
  if (source.type !== 'pci') return NO_GROUP
  try {
    const link = readlinkSync(`/sys/bus/pci/devices/${pciAddressText(source.place)}/iommu_group`)
    return Number(basename(link)) + 1
  } catch {
    return NO_GROUP
  }
}
