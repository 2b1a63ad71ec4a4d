// <rng>: a source of randomness for the guest.
import { attr, childAlways, custom, type Def, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, uint } from '../scalar.ts'
import { element, firstChild, textOf } from '../xml.ts'
import { type ChardevSource, chardevSource } from './chardev-source.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export type RngBackend =
  | { model: 'random'; path?: string }
  | { model: 'egd'; source: ChardevSource }
  | { model: 'builtin' }

export const rngFields = {
  model: required(attr('model', enumOf('virtio', 'virtio-transitional', 'virtio-non-transitional'))),
  rate: childAlways('rate', { bytes: required(attr('bytes', uint)), period: attr('period', uint) }),
  backend: custom<RngBackend>({
    names: [['backend', null]],
    parse(node, context) {
      const found = firstChild(node, 'backend')
      if (!found) throw fail('VIR_ERR_XML_ERROR', 'missing RNG device backend')
      const { model } = found.attributes
      if (model === 'random') {
        const path = textOf(found).trim()
        return { model, path: path || '/dev/random' }
      }
      if (model === 'egd') return { model, source: chardevSource.parse(found, context) }
      if (model === 'builtin') return { model }
      throw fail('VIR_ERR_XML_ERROR', `Invalid value for attribute 'model' in element 'backend': '${model}'.`)
    },
    format(value, into, context) {
      const node = element('backend', { model: value.model }, [value.model === 'random' ? value.path : undefined])
      if (value.model === 'egd') chardevSource.format(value.source, node, context)
      into.children.push(node)
    }
  }),
  driver: childAlways('driver', virtioDriver),
  ...deviceInfo
} satisfies Fields
export type RngDef = Def<typeof rngFields>

export const rng = deviceFamily({ element: 'rng', fields: rngFields })
