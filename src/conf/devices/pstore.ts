// <pstore>: storage that keeps a guest kernel's last words over a reset.
import { attr, childText, custom, type Def, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { enumOf, string } from '../scalar.ts'
import { childAmount, memoryKiB, missingAmount } from '../scaled.ts'
import { element } from '../xml.ts'
import { deviceInfo } from './device-info.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** The smallest that can be. */
const SIZE_MIN_KIB = 4

export const pstoreFields = {
  backend: required(attr('backend', enumOf('acpi-erst'))),
  /** file of the host; the driver's choice if not given */
  path: childText('path', string),
  sizeKiB: custom<number>({
    names: [['size', { unit: attr('unit', string) }]],
    parse(node) {
      const amount = childAmount(node, 'size')
      if (amount.text === undefined) throw missingAmount(amount.path)
      return memoryKiB(amount)
    },
    format(value, into) {
      into.children.push(element('size', { unit: 'KiB' }, [String(value)]))
    }
  }),
  ...deviceInfo
} satisfies Fields
export type PstoreDef = Def<typeof pstoreFields>

export const pstore = deviceFamily({
  element: 'pstore',
  fields: pstoreFields,
  limit: { message: 'only a single pstore device is supported' },
  validate({ path, sizeKiB }) {
    if (!path) throw fail('VIR_ERR_XML_ERROR', 'missing path for ACPI ERST pstore device')
    const isPowerOf2 = Number.isInteger(Math.log2(sizeKiB))
    if (sizeKiB < SIZE_MIN_KIB || !isPowerOf2) {
      throw fail('VIR_ERR_XML_ERROR', 'invalid size of ACPI ERST pstore device')
    }
  }
})
