// <panic>: the device by which a guest tells that its kernel has crashed.
import { custom, type Def, type Fields, readLast } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf } from '../scalar.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'
import { named } from './named.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

const model = enumOf('default', 'isa', 'pseries', 'hyperv', 's390', 'pvpanic')
export type PanicModel = Exclude<(typeof model.values)[number], 'default'>

export const panicFields = {
  /** absent until QEMU's driver chooses by machine */
  model: custom<PanicModel | undefined>({
    ...named('model', model, 'unknown panic model'),
    parse(node, context) {
      const value = named('model', model, 'unknown panic model').parse(node, context)
      return value === 'default' ? undefined : value
    }
  }),
  ...deviceInfo
} satisfies Fields
export type PanicDef = Def<typeof panicFields>

/** Each model may be there once (virDomainDefRejectDuplicatePanics). */
export function rejectDuplicatePanics({ devices: { panics } }: { devices: { panics: PanicDef[] } }): void {
  const twice = panics.find((one, at) => panics.some((other, before) => before < at && other.model === one.model))
  if (twice) throw fail('VIR_ERR_XML_ERROR', `Multiple panic devices with model '${twice.model ?? 'default'}'`)
}

export const panic = deviceFamily({ element: 'panic', fields: panicFields, asRead: readLast(panicFields, 'model') })
