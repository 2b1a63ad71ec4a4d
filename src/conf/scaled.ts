// Amounts with a unit: <size unit='MiB'>16</size>, memory='1' unit='GiB'. Read as bytes, kept and written as KiB.
import { errorsFrom } from './error.ts'
import { unitFactor } from './scalar.ts'
import { firstChild, textOf, type XmlElement, xpathAttribute } from './xml.ts'

const fail = errorsFrom('VIR_FROM_XML')
const failMemory = errorsFrom('VIR_FROM_DOMAIN')

const ULLONG_MAX = 2n ** 64n - 1n
const LLONG_MAX = 2n ** 63n - 1n

/** An amount as written, its unit, and the XPath libvirt's messages name it by. */
export interface Amount {
  text: string | undefined
  unit: string | undefined
  path: string
}

/**
 * The amount in units of one, undefined if it is not there (virParseScaledValue).
 * @param scale factor of an amount without unit
 * @throws VIR_ERR_XML_ERROR (no number), VIR_ERR_INVALID_ARG (unknown unit), VIR_ERR_OVERFLOW (more than max)
 */
export function scaledValue({ text, unit, path }: Amount, scale = 1024n, max = ULLONG_MAX): bigint | undefined {
  if (!text) return undefined
  const digits = /^\s*\+?(\d+)$/.exec(text)?.[1]
  const value = digits === undefined || digits.length > 30 ? ULLONG_MAX + 1n : BigInt(digits)
  if (value > ULLONG_MAX) {
    throw fail('VIR_ERR_XML_ERROR', `Invalid value '${text}' for element or attribute '${path}'`)
  }
  const factor = unit ? unitFactor(unit) : scale
  if (factor === undefined) throw fail('VIR_ERR_INVALID_ARG', `unknown suffix '${unit}'`)
  if (value > max / factor) throw fail('VIR_ERR_OVERFLOW', `value too large: ${value}${unit ?? ''}`)
  return value * factor
}

/** The amount rounded up to KiB, 0 if it is not there (virDomainParseMemory). @throws as scaledValue */
export function memoryKiB(amount: Amount): number {
  const bytes = scaledValue(amount, 1024n, LLONG_MAX) ?? 0n
  const kib = (bytes + 1023n) / 1024n
  if (kib >= (LLONG_MAX + 1023n) / 1024n) throw failMemory('VIR_ERR_OVERFLOW', 'size value too large')
  return Number(kib)
}

/** libvirt's error for an amount that must be there. */
export function missingAmount(path: string): Error {
  return fail('VIR_ERR_XML_ERROR', `missing element or attribute '${path}'`)
}

/**
 * Text and unit of a child element. Of several the first has the text, and the first with a unit that, as XPath says.
 * @param path defaults to `./name`; where it ends in [1] only the first counts
 */
export function childAmount(node: XmlElement, name: string, path = `./${name}`): Amount {
  const found = firstChild(node, name)
  const unit = path.endsWith('[1]') ? found?.attributes.unit : xpathAttribute(node, name, 'unit')
  return { text: found && textOf(found), unit, path }
}

/** An amount kept in an attribute, its unit in `unit`. */
export function attributeAmount(node: XmlElement, name: string): Amount {
  return { text: node.attributes[name], unit: node.attributes.unit, path: `./@${name}` }
}
