// <redirfilter>: rules for the USB devices that may be redirected; the first rule that fits decides.
import { attr, children, type Def, type Field, type Fields, required } from '../element.ts'
import { errorsFrom } from '../error.ts'
import { intAnyBase, type Scalar, yesNo } from '../scalar.ts'
import { deviceFamily } from './family.ts'

const fail = errorsFrom('VIR_FROM_DOMAIN')

/** A number written in upper case hexadecimal; -1 stands for any. */
function code(name: string, digits: number): Field<number | undefined> {
  const type: Scalar<number> = {
    ...intAnyBase,
    format: value => `0x${value.toString(16).toUpperCase().padStart(digits, '0')}`
  }
  const field = attr(name, type)
  return {
    ...field,
    parse(node, context) {
      const value = field.parse(node, context)
      if (name === 'class' && value !== undefined && value !== -1 && (value & ~0xff) !== 0) {
        throw fail('VIR_ERR_INTERNAL_ERROR', `Invalid USB Class code 0x${(value >>> 0).toString(16)}`)
      }
      return value !== undefined && value >= 0 ? value : undefined
    }
  }
}

/** A USB version as binary coded decimal: '1.1' is 0x0110, '2.00' 0x0200 (virDomainRedirFilterUSBVersionHelper). */
const version: Field<number | undefined> = {
  names: ['@version'],
  parse({ attributes: { version: text } }) {
    if (text === undefined || text === '-1') return undefined
    const [, major, minor] = /^\s*\+?(\d{1,9})\.(\s*\+?\d{1,9})$/.exec(text) ?? []
    if (major === undefined || minor === undefined || Number(major) >= 100 || Number(minor) >= 100) {
      throw fail('VIR_ERR_XML_ERROR', `Cannot parse USB device version ${text}`)
    }
    // one digit is tenths: 1.1 is 1.10
    const hundredths = minor.length === 1 ? Number(minor) * 10 : Number(minor)
    return (bcd(Number(major)) << 8) | bcd(hundredths)
  },
  format(value, into) {
    if (value === undefined) return
    const decimal = (byte: number) => (byte >> 4) * 10 + (byte & 0xf)
    into.attributes.version = `${decimal(value >> 8)}.${String(decimal(value & 0xff)).padStart(2, '0')}`
  }
}
const bcd = (value: number) => (Math.floor(value / 10) << 4) | (value % 10)

export const redirfilterFields = {
  /** rules in order; what a rule leaves out fits anything */
  usbdevs: children('usbdev', {
    class: code('class', 2),
    vendor: code('vendor', 4),
    product: code('product', 4),
    version,
    allow: required(attr('allow', yesNo))
  })
} satisfies Fields
export type RedirfilterDef = Def<typeof redirfilterFields>

export const redirfilter = deviceFamily({
  element: 'redirfilter',
  fields: redirfilterFields,
  limit: { code: 'VIR_ERR_INTERNAL_ERROR', message: 'only one set of redirection filter rule is supported' },
  shown: filter => (filter.usbdevs.length > 0 ? filter : undefined)
})
