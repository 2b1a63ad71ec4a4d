// <crypto>: a device that takes cryptography off the guest's CPUs.
import { attr, child, custom, type Def, type Fields, parseFields, readLast, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, uint } from '../scalar.ts'
import { childElements, element } from '../xml.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const backend = {
  /** who computes: QEMU, or the host's kernel */
  model: required(attr('model', enumOf('builtin', 'lkcf'))),
  queues: attr('queues', uint)
} satisfies Fields

export const cryptoFields = {
  model: required(attr('model', enumOf('virtio'))),
  type: required(attr('type', enumOf('qemu'))),
  backend: custom<Def<typeof backend>>({
    names: [['backend', backend]],
    parse(node, context) {
      const [found, ...more] = childElements(node, 'backend')
      if (!found || more.length > 0) throw fail('VIR_ERR_XML_ERROR', 'only one crypto backend is supported')
      return parseFields(found, backend, context)
    },
    format({ model, queues }, into) {
      into.children.push(element('backend', { model, ...(queues && { queues }) }))
    }
  }),
  driver: child('driver', virtioDriver),
  ...deviceInfo
} satisfies Fields
export type CryptoDef = Def<typeof cryptoFields>

export const crypto = deviceFamily({
  element: 'crypto',
  fields: cryptoFields,
  asRead: readLast(cryptoFields, 'driver')
})
