// <vsock>: sockets between host and guest.
import { attr, child, custom, type Def, type Fields, nonZero, readFirst } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, uint, yesNo } from '../scalar.ts'
import { fitsAddress } from './device-address.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const model = enumOf('default', 'virtio', 'virtio-transitional', 'virtio-non-transitional')
/** The guest's context id; 0 to 2 have meanings of their own. */
const MIN_CID = 3

const cid = { auto: attr('auto', yesNo), address: nonZero(attr('address', uint)) } satisfies Fields

export const vsockFields = {
  model: custom<Exclude<(typeof model.values)[number], 'default'> | undefined>({
    ...attr('model', model),
    parse(node, context) {
      const value = attr('model', model).parse(node, context)
      return value === 'default' ? undefined : value
    }
  }),
  /** auto: a free id is chosen at each start */
  cid: child('cid', cid, readFirst(cid, 'address')),
  ...deviceInfo,
  driver: child('driver', virtioDriver)
} satisfies Fields
export type VsockDef = Def<typeof vsockFields>

export const vsock = deviceFamily({
  element: 'vsock',
  fields: vsockFields,
  limit: { message: 'only a single vsock device is supported' },
  postParse(dev) {
    dev.cid ??= {}
    dev.cid.auto ??= dev.cid.address === undefined
  },
  validate({ cid }) {
    if (cid?.address !== undefined && cid.address < MIN_CID) {
      throw fail('VIR_ERR_CONFIG_UNSUPPORTED', `guest CIDs must be >= ${MIN_CID}`)
    }
  },
  same: (wanted, there) =>
    wanted.model === there.model && wanted.cid?.auto === there.cid?.auto && fitsAddress(wanted, there)
})
