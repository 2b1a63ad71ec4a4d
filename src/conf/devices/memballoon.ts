// <memballoon>
import { attr, childAlways, childAttr, type Def, type Fields, required } from '../element.ts'
import { enumOf, onOff, uint } from '../scalar.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

export const memballoonFields = {
  model: required(attr('model', enumOf('virtio', 'xen', 'none', 'virtio-transitional', 'virtio-non-transitional'))),
  autodeflate: attr('autodeflate', onOff),
  freePageReporting: attr('freePageReporting', onOff),
  /** seconds between two reports of the guest */
  statsPeriod: childAttr('stats', 'period', uint),
  driver: childAlways('driver', virtioDriver),
  ...deviceInfo
} satisfies Fields
export type MemballoonDef = Def<typeof memballoonFields>

export const memballoon = deviceFamily({
  element: 'memballoon',
  fields: memballoonFields,
  single: 'only a single memory balloon device is supported'
})
