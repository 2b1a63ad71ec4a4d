import t from 'tap'
import { CPU_FEATURES } from '../../../../src/drivers/qemu/cpu/map.ts'
import { allFeatures, dataOfModel, decode } from '../../../../src/drivers/qemu/cpu/model.ts'
import { canonicalModel, cpuModel, cpuModels } from '../../../../src/drivers/qemu/cpu/models.ts'
import { parseCpuinfo } from '../../../../src/host/cpuinfo.ts'
import { errorOf } from '../../../helper/definition.ts'

const plain = (model: string, features: Record<string, 'require' | 'disable'> = {}) => ({
  model,
  features: Object.entries(features).map(([name, policy]) => ({ name, policy }))
})

t.test('models are made of features of the map', async t => {
  for (const { name, features, added, removed } of cpuModels()) {
    t.same(
      [...features, ...added, ...removed].filter(feature => !CPU_FEATURES.has(feature)),
      [],
      name
    )
  }
})

t.test('versions of models', async t => {
  t.equal(canonicalModel('EPYC'), 'EPYC-v1')
  t.equal(canonicalModel('EPYC-IBPB'), 'EPYC-v2')
  t.same([canonicalModel('EPYC-v1'), canonicalModel('nosuch')], [undefined, undefined])
  const [epyc, first, third] = ['EPYC', 'EPYC-v1', 'EPYC-v3'].map(name => cpuModel(name)!)
  t.same(first!.features, epyc!.features)
  t.same([first!.removed, epyc!.removed], [[], ['monitor']])
  t.ok(first!.hasSignature({ family: 23, model: 1, stepping: 2 }))
  t.same([epyc!.guest, first!.guest, third!.guest], [true, false, false], 'hosts only')
  t.same([epyc!.compatCheck, first!.compatCheck, third!.compatCheck], [true, false, false])
  t.ok(third!.features.has('xsaveerptr') && !epyc!.features.has('xsaveerptr'))
})

t.test('features of VMX', async t => {
  const has = (name: string) => [cpuModel(name)!.features, cpuModel(name)!.added].map(set => set.has('vmx-ept'))
  t.same(has('Nehalem'), [false, true], 'learned later')
  t.same(has('Skylake-Client-v4'), [true, false])
  t.same(has('GraniteRapids'), [true, false])
  t.same(has('EPYC'), [false, false])
  t.equal(cpuModel('Westmere')!.added.size, cpuModel('Nehalem')!.added.size + 2)
})

t.test('features that left a model, in the order they are told to QEMU', async t => {
  t.same(cpuModel('Icelake-Server')!.removed, ['intel-pt', 'mpx'])
  t.same(cpuModel('Skylake-Client')!.removed, ['mpx'])
})

t.test('names of objects are no models', async t => {
  for (const name of ['constructor', '__proto__', '']) t.equal(cpuModel(name), undefined, name)
})

t.test('a model with a signature is found again by what it has', async t => {
  for (const name of ['Penryn', 'Westmere-IBRS', 'Skylake-Client', 'Cascadelake-Server', 'EPYC-Milan', 'Dhyana']) {
    t.equal(decode(dataOfModel(plain(name))).model, name)
  }
})

t.test('what differs from the model is told, in the order of the map', async t => {
  const data = dataOfModel(plain('EPYC', { svm: 'disable', vmx: 'require', pcid: 'require' }))
  t.same(decode(data), {
    model: 'EPYC',
    vendor: 'AMD',
    features: [
      { policy: 'require', name: 'vmx' },
      { policy: 'require', name: 'pcid' },
      { policy: 'disable', name: 'svm' },
      // once part of the model in QEMU
      { policy: 'disable', name: 'monitor' }
    ]
  })
})

t.test('only models on offer, without what blocks them', async t => {
  const data = dataOfModel(plain('Haswell'))
  const offered = new Map([
    ['Nehalem', []],
    ['SandyBridge', ['avx', 'aes']],
    ['EPYC', []]
  ])
  const { model, features } = decode(data, { offered })
  t.equal(model, 'SandyBridge')
  t.match(features.at(-1), { policy: 'disable' })
})

t.test('broken transactional memory does not count', async t => {
  t.equal(decode(dataOfModel(plain('Haswell'))).model, 'Haswell-noTSX')
})

t.test('unknown names', async t => {
  t.equal(
    await errorOf(() => allFeatures(plain('Zeus'))),
    'VIR_ERR_INTERNAL_ERROR: internal error: Unknown CPU model Zeus'
  )
  t.match(await errorOf(() => allFeatures(plain('486', { warp: 'require' }))), 'Unknown CPU feature warp')
})

t.test('the first processor of /proc/cpuinfo', async t => {
  const entry = (mhz: string, flags: string) => `processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: Any CPU : really
stepping\t: 2
microcode\t: 0xa1
cpu MHz\t\t: ${mhz}
flags\t\t: ${flags}
address sizes\t: 48 bits physical, 48 bits virtual

processor\t: 1
flags\t\t: none
`
  const seen = parseCpuinfo(entry('2596.130', 'fpu nonstop_tsc'))
  t.match(seen, { vendor: 'AuthenticAMD', family: 25, model: 1, stepping: 2, physicalAddressBits: 48 })
  t.equal(seen.tscHz, 2_596_130_000n)
  t.same([...seen.flags], ['fpu', 'nonstop_tsc'])
  t.equal(parseCpuinfo(entry('800.000', 'nonstop_tsc aperfmperf')).tscHz, undefined)
  t.same([...parseCpuinfo('').flags], [])
})
