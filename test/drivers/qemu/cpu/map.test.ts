// Registers and the features their bits are, against the numbers in Intel's and AMD's manuals.
import t from 'tap'
import {
  CPU_FEATURES,
  CPUID_REGISTERS,
  featuresInMsr,
  featuresInRegister,
  inMapOrder,
  MSR_FEATURES,
  MSRS
} from '../../../../src/drivers/qemu/cpu/map.ts'

const bit = (number: number) => (1 << number) >>> 0

t.test('CPUID registers', t => {
  const cases: [leaf: number, subleaf: number | undefined, register: string, value: number, names: string[]][] = [
    [1, undefined, 'edx', bit(25) | bit(26), ['sse', 'sse2']],
    [1, undefined, 'ecx', bit(31), ['hypervisor']],
    [7, 0, 'ebx', bit(5) | bit(16), ['avx2', 'avx512f']],
    [7, 0, 'edx', bit(29), ['arch-capabilities']],
    [7, 1, 'edx', bit(19), ['avx10']],
    [0x24, 0, 'ebx', bit(18), ['avx10-512']],
    [0x8000_0021, undefined, 'eax', bit(8), ['auto-ibrs']],
    [0xd, 1, 'eax', bit(3), ['xsaves']],
    [0x14, 0, 'ecx', bit(31), ['intel-pt-lip']],
    [0x8000_0001, undefined, 'ecx', bit(2), ['svm']],
    [0x8000_0001, undefined, 'edx', bit(29), ['lm']],
    [0x8000_0007, undefined, 'edx', bit(8), ['invtsc']],
    // bits without a name, no bits, a register that is not in the map
    [1, undefined, 'edx', bit(10) | bit(20), []],
    [1, undefined, 'ecx', 0, []],
    [2, undefined, 'eax', 0xffff_ffff, []],
    [7, undefined, 'ebx', 0xffff_ffff, []]
  ]
  for (const [leaf, subleaf, register, value, names] of cases) {
    t.same(featuresInRegister(leaf, subleaf, register, value), names, `${leaf.toString(16)} ${subleaf} ${register}`)
  }
  t.end()
})

t.test('MSRs', t => {
  t.same(featuresInMsr(0x10a, 0b1_0110_1101n), [
    'rdctl-no',
    'rsba',
    'skip-l1dfl-vmentry',
    'mds-no',
    'pschange-mc-no',
    'taa-no'
  ])
  t.same(featuresInMsr(0x10a, 0xffff_ffff_e000_1e00n), [], 'bits the map has no names for')
  t.same(featuresInMsr(0xcf, 1n << 5n), ['split-lock-detect'])
  t.same(featuresInMsr(0x480, 1n << 54n), ['vmx-ins-outs'])
  t.same(featuresInMsr(0x48c, 1n << 43n), ['vmx-invvpid-single-context-noglobals'])
  t.same(featuresInMsr(0x491, 1n), ['vmx-eptp-switching'])
  t.same(featuresInMsr(0x10, 0xffn), [], 'an MSR that is not in the map')
  t.end()
})

t.test('every feature is one bit of one register', t => {
  const all = CPUID_REGISTERS.flatMap(({ leaf, subleaf, register }) =>
    featuresInRegister(leaf, subleaf, register, 0xffff_ffff)
  )
  const msr = MSRS.flatMap(index => featuresInMsr(index, 0xffff_ffff_ffff_ffffn))
  t.same(new Set([...all, ...msr]), CPU_FEATURES)
  t.equal(all.length + msr.length, CPU_FEATURES.size, 'none twice')
  t.same(new Set(msr), MSR_FEATURES)
  t.same(inMapOrder(new Set(['avx2', 'fpu', 'nosuch', 'taa-no', 'vme'])), ['fpu', 'vme', 'avx2', 'taa-no'])
  t.end()
})
