// The <driver> attributes common to virtio devices, where the device is none (virDomainCheckVirtioOptionsAreAbsent).
import type { Def } from '../element.ts'
import { errorsFrom } from '../error.ts'
import type { virtioDriver } from './device-info.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** Message of each option where it cannot be, in libvirt's order. */
const REFUSALS = {
  iommu: 'iommu driver option is only supported for virtio devices',
  ats: 'ats driver option is only supported for virtio devices',
  packed: 'packed driver option is only supported for virtio devices',
  pagePerVq: 'page_per_vq option is only supported for virtio devices'
} as const

/** @throws VIR_ERR_CONFIG_UNSUPPORTED for the first option that is given */
export function checkNoVirtioOptions(driver: Def<typeof virtioDriver> | undefined): void {
  for (const option of Object.keys(REFUSALS) as (keyof typeof REFUSALS)[]) {
    if (driver?.[option] !== undefined) throw fail('VIR_ERR_CONFIG_UNSUPPORTED', REFUSALS[option])
  }
}
