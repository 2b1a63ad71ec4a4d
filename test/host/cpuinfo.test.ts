import t from 'tap'
import { parseCpuinfo } from '../../src/host/cpuinfo.ts'

const entry = (more: Record<string, string>) =>
  Object.entries({
    processor: '0',
    vendor_id: 'GenuineIntel',
    'cpu family': '6',
    model: '167',
    'model name': 'Intel(R) Xeon(R) : a colon',
    stepping: '1',
    microcode: '0x50d',
    ...more
  })
    .map(([key, value]) => `${key}\t: ${value}\n`)
    .join('')

t.test('the first processor', async t => {
  const text = `${entry({ flags: 'fpu vme nonstop_tsc', 'cpu MHz': '2600.125', 'address sizes': '48 bits physical, 57 bits virtual' })}\n${entry({ model: '1', flags: 'x' })}`
  t.same(parseCpuinfo(text), {
    vendor: 'GenuineIntel',
    family: 6,
    model: 167,
    stepping: 1,
    microcode: '0x50d',
    flags: new Set(['fpu', 'vme', 'nonstop_tsc']),
    physicalAddressBits: 48,
    tscHz: 2_600_125_000n
  })
})

t.test('the rate shown is the time stamp counter’s only without actual performance', async t => {
  for (const [flags, tscHz] of [
    ['nonstop_tsc', 2_600_000_000n],
    ['nonstop_tsc aperfmperf', undefined],
    ['constant_tsc', undefined]
  ] as const) {
    t.equal(parseCpuinfo(entry({ flags, 'cpu MHz': '2600.000' })).tscHz, tscHz, flags)
  }
})

t.test('other architectures tell other things', async t => {
  t.same(parseCpuinfo(''), { vendor: '', family: 0, model: 0, stepping: 0, microcode: '', flags: new Set() })
  t.same(parseCpuinfo('processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n').flags, new Set())
})
