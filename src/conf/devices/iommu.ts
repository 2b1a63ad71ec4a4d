// <iommu>: address translation for the guest's devices.

import type { DomainDef } from '../domain-def.ts'
import { attr, child, type Def, type Fields, required, zeroIsAbsent } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, uint } from '../scalar.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export const iommuFields = {
  model: required(attr('model', enumOf('intel', 'smmuv3', 'virtio'))),
  driver: child('driver', {
    intremap: attr('intremap', onOff),
    cachingMode: attr('caching_mode', onOff),
    eim: attr('eim', onOff),
    iotlb: attr('iotlb', onOff),
    /** width of its addresses in bits; 0 and absent: QEMU's own */
    awBits: zeroIsAbsent(attr('aw_bits', uint)),
    dmaTranslation: attr('dma_translation', onOff)
  }),
  ...deviceInfo
} satisfies Fields
export type IommuDef = Def<typeof iommuFields>

export const iommu = deviceFamily({
  element: 'iommu',
  fields: iommuFields,
  limit: { message: 'only a single IOMMU device is supported' },
  validate({ model, driver, address }) {
    if (model !== 'intel' && driver && Object.keys(driver).length > 0) {
      throw fail('VIR_ERR_XML_ERROR', `iommu model '${model}' doesn't support additional attributes`)
    }
    if (model !== 'virtio' && address) throw fail('VIR_ERR_XML_ERROR', `iommu model '${model}' can't have address`)
  }
})

/** Checks the IOMMU against the rest of the domain (virDomainDefIOMMUValidate). @throws VIR_ERR_CONFIG_UNSUPPORTED */
export function validateIommu({ devices, features }: DomainDef): void {
  const { driver } = devices.iommus[0] ?? {}
  if (driver?.intremap && features?.ioapic !== 'qemu') {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', "IOMMU interrupt remapping requires split I/O APIC (ioapic driver='qemu')")
  }
  if (driver?.eim && !driver.intremap) {
    throw fail('VIR_ERR_CONFIG_UNSUPPORTED', 'IOMMU eim requires interrupt remapping to be enabled')
  }
}
