import t from 'tap'
import { attributeAmount, childAmount, memoryKiB, scaledValue } from '../../src/conf/scaled.ts'
import { element } from '../../src/conf/xml.ts'
import { errorOf } from '../helper/definition.ts'

const amount = (text: string, unit?: string) => ({ text, unit, path: './size' })

t.test('amounts are rounded up to KiB', async t => {
  for (const [text, unit, kib] of [
    ['1', undefined, 1],
    ['1', 'b', 1],
    ['1025', 'bytes', 2],
    ['1', 'KB', 1],
    ['3', 'KB', 3],
    ['1', 'MiB', 1024],
    ['1', 'M', 1024],
    ['+2', 'g', 2 * 1024 * 1024],
    ['0', 'T', 0]
  ] as const) {
    t.equal(memoryKiB(amount(text, unit)), kib, `${text} ${unit}`)
  }
})

t.test('what is no amount is refused', async t => {
  for (const [text, unit, error] of [
    ['x', undefined, "VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './size'"],
    ['1 ', undefined, "VIR_ERR_XML_ERROR: XML error: Invalid value '1 ' for element or attribute './size'"],
    ['-1', undefined, "VIR_ERR_XML_ERROR: XML error: Invalid value '-1' for element or attribute './size'"],
    ['1', 'foo', "VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'foo'"],
    ['9', 'E', 'VIR_ERR_OVERFLOW: numerical overflow: value too large: 9E'],
    ['9223372036854775807', 'b', 'VIR_ERR_OVERFLOW: numerical overflow: size value too large']
  ] as const) {
    t.equal(await errorOf(() => memoryKiB(amount(text, unit))), error)
  }
})

t.test('amounts of elements and attributes', async t => {
  const node = element('a', { size: '2', unit: 'MiB' }, [element('b', { unit: 'b' }, ['7'])])
  t.equal(memoryKiB(attributeAmount(node, 'size')), 2048)
  t.equal(scaledValue(childAmount(node, 'b')), 7n)
  t.equal(scaledValue(childAmount(node, 'c')), undefined)
})
