// Attributes of <driver> that only virtio devices have (virDomainCheckVirtioOptionsAreAbsent).
import type { Def } from '../element.ts'
import { errorsFrom } from '../error.ts'
import type { virtioDriver } from './device-info.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** libvirt's message for each option, in its order of checking. */
const REFUSALS = {
  iommu: 'iommu driver option is only supported for virtio devices',
  ats: 'ats driver option is only supported for virtio devices',
  packed: 'packed driver option is only supported for virtio devices',
  pagePerVq: 'page_per_vq option is only supported for virtio devices'
} as const

/** Checks a device that is no virtio device. @throws VIR_ERR_CONFIG_UNSUPPORTED for the first option that is given */
export function checkNoVirtioOptions(driver: Def<typeof virtioDriver> | undefined): void {
  for (const option of Object.keys(REFUSALS) as (keyof typeof REFUSALS)[]) {
    if (driver?.[option] !== undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', REFUSALS[option])
  }
}
