// s390: the zpci device that goes with each PCI device and bears its ids (qemuBuildZPCIDevProps).
import { eachDeviceInfo } from '../../../conf/devices/index.ts'
import type { DomainDef } from '../../../conf/domain-def.ts'
import type { Props } from './props.ts'

/** Properties of the zpci device of the PCI device called that; undefined for what has no such ids. */
export function zpciProps(def: DomainDef, alias: unknown): (Props & { driver: string }) | undefined {
  for (const [, dev] of eachDeviceInfo(def.devices)) {
    if (dev.alias === undefined || dev.alias !== alias || dev.address?.type !== 'pci' || !dev.address.zpci) continue
    const { uid = 0, fid = 0 } = dev.address.zpci
    return { driver: 'zpci', uid, fid, target: dev.alias, id: `zpci${uid}` }
  }
  return undefined
}
