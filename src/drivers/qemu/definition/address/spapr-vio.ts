// Registers of devices on pSeries' virtual I/O bus (qemuDomainAssignSpaprVIOAddresses).
import type { AddressOf } from '../../../../conf/devices/device-address.ts'
import { type AnyDevice, type DeviceKind, type Devices, eachDeviceInfo } from '../../../../conf/devices/index.ts'
import type { DomainDef } from '../../../../conf/domain-def.ts'
import { errorsFrom } from '../../../../conf/error.ts'
import { isPseries } from '../../machine-type.ts'

const fail = errorsFrom('VIR_FROM_QEMU')

/** The register a device begins to look at; QEMU's own numbers. */
interface Row<K extends DeviceKind> {
  kind: K
  first: bigint
  /** devices that belong there, whatever their address says */
  isOn(dev: Devices[K][number], def: DomainDef): boolean
}
const row = <K extends DeviceKind>(kind: K, first: bigint, isOn: Row<K>['isOn']): Row<DeviceKind> =>
  ({ kind, first, isOn }) as Row<DeviceKind>

const ROWS: readonly Row<DeviceKind>[] = [
  row('interfaces', 0x1000n, ({ model }) => model === 'spapr-vlan'),
  row('controllers', 0x2000n, ({ type, model }) => type === 'scsi' && model === 'ibmvscsi'),
  row('serials', 0x30000000n, ({ target }) => target.type === 'spapr-vio-serial'),
  row('nvrams', 0x3000n, (_dev, def) => isPseries(def)),
  row('tpms', 0x4000n, (dev, def) => isPseries(def) && dev.model !== 'spapr-tpm-proxy')
]

const STEP = 0x1000n

type VioAddress = AddressOf<'spapr-vio'>
const vioOf = ({ address }: AnyDevice): VioAddress | undefined => (address?.type === 'spapr-vio' ? address : undefined)

/** Gives devices on the virtual I/O bus their registers. @throws VIR_ERR_XML_ERROR for a register given twice */
export function assignSpaprVioAddresses(def: DomainDef): void {
  for (const { kind, first, isOn } of ROWS) {
    for (const dev of def.devices[kind] as AnyDevice[]) {
      if (isOn(dev as never, def) && !vioOf(dev)) dev.address = { type: 'spapr-vio' }
      const address = vioOf(dev)
      if (!address) continue
      const isTaken = (reg: bigint) => {
        for (const [, other] of eachDeviceInfo(def.devices)) if (other !== dev && vioOf(other)?.reg === reg) return true
        return false
      }
      if (address.reg !== undefined) {
        if (!isTaken(address.reg)) continue
        throw fail('VIR_ERR_XML_ERROR', `spapr-vio address 0x${address.reg.toString(16)} already in use`)
      }
      let reg = first
      while (isTaken(reg)) reg += STEP
      address.reg = reg
    }
  }
}
