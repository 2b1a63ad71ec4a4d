// <iommu>: address translation for the guest's devices.

import type { DomainDef } from '../domain-def.ts'
import { attr, child, custom, type Def, type Fields, required, zeroIsAbsent } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, onOff, uint } from '../scalar.ts'
import { attributeAmount, scaledValue } from '../scaled.ts'
import { element, firstChild } from '../xml.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const granuleMode = attr('mode', enumOf('host'))

/** Smallest piece of memory it maps: that of the host's pages, or a size in KiB. */
const granule = custom<'host' | number | undefined>({
  names: [['granule', {}]],
  parse(node, context) {
    const found = firstChild(node, 'granule')
    if (!found) return undefined
    const mode = granuleMode.parse(found, context)
    const size = scaledValue(attributeAmount(found, 'size'))
    if (mode && size)
      throw fail('VIR_ERR_XML_ERROR', "'mode' and 'size' can't be specified at the same time for 'granule'")
    return mode ?? (size ? Number(size / 1024n) : undefined)
  },
  format(value, into) {
    if (value === undefined) return
    into.children.push(element('granule', value === 'host' ? { mode: value } : { size: value, unit: 'KiB' }))
  }
})

export const iommuFields = {
  model: required(attr('model', enumOf('intel', 'amd', 'smmuv3', 'virtio'))),
  driver: child('driver', {
    intremap: attr('intremap', onOff),
    cachingMode: attr('caching_mode', onOff),
    eim: attr('eim', onOff),
    iotlb: attr('iotlb', onOff),
    /** width of its addresses in bits; 0 and absent: QEMU's own */
    awBits: zeroIsAbsent(attr('aw_bits', uint)),
    dmaTranslation: attr('dma_translation', onOff),
    passthrough: attr('passthrough', onOff),
    xtsup: attr('xtsup', onOff),
    granule
  }),
  ...deviceInfo
} satisfies Fields
export type IommuDef = Def<typeof iommuFields>

type DriverAttribute = keyof NonNullable<IommuDef['driver']>

/** Attributes of `<driver>` that a model may have. */
const ATTRIBUTES: Record<IommuDef['model'], DriverAttribute[]> = {
  intel: ['intremap', 'cachingMode', 'eim', 'iotlb', 'awBits', 'dmaTranslation'],
  amd: ['intremap', 'iotlb', 'passthrough', 'xtsup'],
  virtio: ['awBits', 'granule'],
  smmuv3: []
}

export const iommu = deviceFamily({
  element: 'iommu',
  fields: iommuFields,
  limit: { message: 'only a single IOMMU device is supported' },
  validate({ model, driver, address }) {
    const given = Object.entries(driver ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [name]))
    if (given.some(name => !ATTRIBUTES[model].includes(name as DriverAttribute))) {
      const some = model === 'intel' || model === 'amd' ? 'some ' : ''
      throw fail('VIR_ERR_XML_ERROR', `iommu model '${model}' doesn't support ${some}additional attributes`)
    }
    if (model !== 'virtio' && model !== 'amd' && address)
      throw fail('VIR_ERR_XML_ERROR', `iommu model '${model}' can't have address`)
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
