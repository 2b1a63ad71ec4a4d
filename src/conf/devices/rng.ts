// <rng>: a source of randomness for the guest.
import { isDeepStrictEqual } from 'node:util'
import { attr, child, custom, type Def, type Fields, readLast, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, uint } from '../scalar.ts'
import { childElements, element, firstChild, textOf } from '../xml.ts'
import { type ChardevSource, chardevSourceField, sameChardevSource } from './chardev-source.ts'
import { validateChardevSource } from './chardev-source-validate.ts'
import { fitsAddress } from './device-address.ts'
import { deviceInfo, virtioDriver } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

export type RngBackend =
  /** a file or device of the host */
  | { model: 'random'; path?: string }
  /** an entropy gathering daemon */
  | { model: 'egd'; source: ChardevSource }
  | { model: 'builtin' }

const model = enumOf('virtio', 'virtio-transitional', 'virtio-non-transitional')
export type RngModel = (typeof model.values)[number]

const egdSource = chardevSourceField({
  missing: ['VIR_ERR_XML_ERROR', 'missing EGD backend type'],
  unknown: type => `unknown backend type '${type}' for egd`
})

const backendModel = required(attr('model', enumOf('random', 'egd', 'builtin')))

export const rngFields = {
  model: required(attr('model', model)),
  /** at most so many bytes in so many milliseconds; no bytes: no limit */
  rate: custom<{ bytes: number; period?: number } | undefined>({
    names: [['rate', { bytes: attr('bytes', uint), period: attr('period', uint) }]],
    parse(node) {
      const given = firstChild(node, 'rate')?.attributes
      const number = (name: 'bytes' | 'period') => {
        const text = given?.[name]
        if (!text) return 0
        const value = uint.parse(text)
        if (value === undefined) throw fail('VIR_ERR_XML_ERROR', `invalid RNG rate ${name} value`)
        return value
      }
      const bytes = number('bytes')
      if (bytes === 0) return undefined
      const period = number('period')
      return { bytes, ...(period > 0 && { period }) }
    },
    format(value, into) {
      if (value) into.children.push(element('rate', { ...value }))
    }
  }),
  backend: custom<RngBackend>({
    names: [['backend', { model: backendModel, source: egdSource }]],
    parse(node, context) {
      const [found, ...more] = childElements(node, 'backend')
      if (!found || more.length > 0) throw fail('VIR_ERR_XML_ERROR', 'only one RNG backend is supported')
      const kind = backendModel.parse(found, context)
      switch (kind) {
        case 'random': {
          const path = textOf(found)
          return { model: kind, ...(path && { path }) }
        }
        case 'egd':
          return { model: kind, source: egdSource.parse(found, context) }
        case 'builtin':
          return { model: kind }
      }
    },
    format(value, into, context) {
      const node = element('backend', { model: value.model }, [value.model === 'random' ? value.path : undefined])
      if (value.model === 'egd') egdSource.format(value.source, node, context)
      into.children.push(node)
    }
  }),
  driver: child('driver', virtioDriver),
  ...deviceInfo
} satisfies Fields
export type RngDef = Def<typeof rngFields>

export const rng = deviceFamily({
  element: 'rng',
  fields: rngFields,
  asRead: readLast(rngFields, 'driver'),
  postParse({ backend }) {
    if (backend.model === 'random') backend.path ??= '/dev/random'
  },
  validate({ backend }, def) {
    if (backend.model === 'egd') validateChardevSource(backend.source, def)
  },
  same: (wanted, there) =>
    wanted.model === there.model &&
    isDeepStrictEqual(wanted.rate, there.rate) &&
    sameBackend(wanted.backend, there.backend) &&
    fitsAddress(wanted, there)
})

function sameBackend(a: RngBackend, b: RngBackend): boolean {
  if (a.model === 'egd' && b.model === 'egd') return sameChardevSource(a.source, b.source)
  return isDeepStrictEqual(a, b)
}
