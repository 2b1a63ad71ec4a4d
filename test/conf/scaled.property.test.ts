// Amounts with units: read exactly, rounded up once, never beyond what libvirt holds.
import fc from 'fast-check'
import t from 'tap'
import { unitFactor } from '../../src/conf/scalar.ts'
import { memoryKiB, scaledValue } from '../../src/conf/scaled.ts'
import { errorOf } from '../helper/definition.ts'

fc.configureGlobal({ seed: 20_230_101 })

const UNITS = ['b', 'bytes', 'KB', 'KiB', 'k', 'MB', 'MiB', 'GB', 'G', 'TiB', 'PB', 'E']
const unit = fc.constantFrom(undefined, ...UNITS)
const amount = (value: bigint, unit: string | undefined) => ({ text: String(value), unit, path: './m' })

t.test('the amount is the number times its unit, or an overflow', async t => {
  await fc.assert(
    fc.asyncProperty(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), unit, async (value, unit) => {
      const bytes = value * (unit === undefined ? 1024n : unitFactor(unit)!)
      const error = await errorOf(() => scaledValue(amount(value, unit)))
      if (bytes >= 2n ** 64n) return error.startsWith('VIR_ERR_OVERFLOW')
      return error === 'accepted' && scaledValue(amount(value, unit)) === bytes
    })
  )
  t.pass('for every number and unit')
})

t.test('memory is the least KiB that hold it', async t => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 43n }), fc.constantFrom('b', 'KB', 'KiB', 'MB'), (value, unit) => {
      const bytes = value * unitFactor(unit)!
      const kib = BigInt(memoryKiB(amount(value, unit)))
      return kib * 1024n >= bytes && (kib - 1n) * 1024n < bytes
    })
  )
  t.pass('for every number and unit')
})
