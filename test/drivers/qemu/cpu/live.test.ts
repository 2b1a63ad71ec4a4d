// The CPU a QEMU made, told by properties of its first vCPU.
import t from 'tap'
import { type CpuDef, type CpuFeatureDef, emptyCpu } from '../../../../src/conf/domain/cpu.ts'
import type { DomainDef } from '../../../../src/conf/domain-def.ts'
import { takeMadeCpu, verifyGuestCpu } from '../../../../src/drivers/qemu/cpu/live.ts'
import { CPUID_REGISTERS, featuresInRegister } from '../../../../src/drivers/qemu/cpu/map.ts'
import { allFeatures } from '../../../../src/drivers/qemu/cpu/model.ts'
import type { QmpMonitor } from '../../../../src/drivers/qemu/monitor/qmp.ts'
import { errorOf } from '../../../helper/definition.ts'

const PATH = '/machine/cpu[0]'

/** CPUID registers with these features on, as QEMU's feature-words. */
const featureWords = (names: ReadonlySet<string>) =>
  CPUID_REGISTERS.map(({ leaf, subleaf, register }) => ({
    'cpuid-input-eax': leaf,
    ...(subleaf !== undefined && { 'cpuid-input-ecx': subleaf }),
    'cpuid-register': register.toUpperCase(),
    features: Array.from({ length: 32 }, (_, bit) => (1 << bit) >>> 0)
      .filter(value => featuresInRegister(leaf, subleaf, register, value).some(name => names.has(name)))
      .reduce((sum, value) => sum + value, 0)
  }))

/** What the guest's vCPU has; single properties are told under QEMU's names. */
interface Made {
  enabled: Iterable<string>
  unavailable?: string[]
  properties?: Record<string, boolean>
}

/** The CPU of the definition behind the verification, and the single properties that were asked for. */
async function verify(cpu: Partial<CpuDef>, { enabled, unavailable = [], properties = {} }: Made) {
  const asked: string[] = []
  const answers: Record<string, unknown> = {
    'feature-words': featureWords(new Set(enabled)),
    'unavailable-features': unavailable,
    ...properties
  }
  const qmp = {
    async execute(_command: string, { property }: { property: string }) {
      if (!(property in answers) || property in properties) asked.push(property)
      if (property in answers) return answers[property]
      throw new Error('no such property')
    }
  } as unknown as QmpMonitor
  const def = { os: { arch: 'x86_64' }, cpu: { ...emptyCpu(), ...cpu } } as DomainDef
  await verifyGuestCpu(def, qmp, Promise.resolve([{ 'qom-path': PATH }]))
  return { cpu: def.cpu!, asked }
}

const named = (name: string, features: CpuFeatureDef[] = []): Partial<CpuDef> => ({
  model: { name, fallback: 'forbid' },
  features
})
const of = (model: string, ...more: string[]) => [...allFeatures({ model, features: [] }), ...more]
const shown = ({ features }: CpuDef) => features.map(({ name, policy }) => `${name} ${policy}`)

t.test('what the hypervisor adds and leaves out is written down', async t => {
  const { cpu } = await verify(named('486', [{ name: 'sse', policy: 'require' }]), {
    enabled: ['fpu', 'vme', 'hypervisor'],
    unavailable: ['pse', 'sse']
  })
  t.same(shown(cpu), ['sse disable', 'hypervisor require', 'pse disable'])
  t.equal(cpu.check, 'full')
})

t.test('a full check', async t => {
  const check = (inside: Partial<CpuDef>, made: Made) => errorOf(() => verify({ ...inside, check: 'full' }, made))
  t.equal(await check(named('486'), { enabled: of('486') }), 'accepted')
  t.equal(
    await check(named('486'), { enabled: ['fpu', 'vme', 'hypervisor'] }),
    "VIR_ERR_OPERATION_FAILED: operation failed: guest CPU doesn't match specification: extra features: hypervisor, missing features: pse"
  )
  t.match(await check(named('486'), { enabled: of('486'), unavailable: ['avx'] }), 'missing features: avx')
})

t.test('features libvirt learned after QEMU gave them', async t => {
  const model = { ...named('Nehalem'), check: 'full' as const }
  const given = { enabled: of('Nehalem', 'vmx'), properties: { 'vmx-ept': true, 'vmx-pml': false } }
  const { cpu, asked } = await verify({ ...model, features: [{ name: 'vmx', policy: 'require' }] }, given)
  t.same(shown(cpu), ['vmx require', 'vmx-ept require'], 'are no harm, and written down')
  t.ok(asked.includes('vmx-invept-single-context-noglobals'), 'asked for under QEMU’s names')
  t.match(
    await errorOf(() =>
      verify(
        {
          ...model,
          features: [
            { name: 'vmx', policy: 'require' },
            { name: 'vmx-ept', policy: 'disable' }
          ]
        },
        given
      )
    ),
    'extra features: vmx-ept',
    'unless the user has a word on them'
  )
})

t.test('features of MSRs are asked for where the guest may have them', async t => {
  t.same((await verify(named('486'), { enabled: of('486') })).asked, [])
  const told = await verify(named('486'), {
    enabled: of('486', 'arch-capabilities'),
    properties: { 'taa-no': true }
  })
  t.same(shown(told.cpu), ['arch-capabilities require', 'taa-no require'])
  t.notOk(told.asked.some(name => name.startsWith('vmx-') || name === 'split-lock-detect'))
  const wanted = await verify(named('486', [{ name: 'rdctl-no', policy: 'require' }]), {
    enabled: of('486'),
    properties: { 'rdctl-no': true, 'mds-no': true }
  })
  t.same(shown(wanted.cpu), ['rdctl-no require', 'mds-no require'], 'TCG gives them without a word in CPUID')
})

t.test('features that left the model stay told', async t => {
  const { cpu } = await verify(named('EPYC'), { enabled: of('EPYC') })
  t.same(shown(cpu), ['monitor disable'])
})

t.test('a QEMU that contradicts itself', async t => {
  t.equal(
    await errorOf(() => verify(named('486'), { enabled: of('486'), unavailable: ['vme'] })),
    "VIR_ERR_OPERATION_FAILED: operation failed: hypervisor provided conflicting CPU data: feature 'vme' is both enabled and disabled at the same time"
  )
})

t.test('an invariant TSC is a promise', async t => {
  const cpu = named('486', [{ name: 'invtsc', policy: 'require' }])
  t.match(await errorOf(() => verify(cpu, { enabled: of('486') })), "host doesn't support invariant TSC")
  t.same(shown((await verify(cpu, { enabled: of('486', 'invtsc') })).cpu), ['invtsc require'])
})

t.test('the host’s own CPU is left as it is', async t => {
  const { cpu } = await verify({ mode: 'maximum', check: 'none' }, { enabled: ['fpu', 'avx'] })
  t.same([cpu.features, cpu.check], [[], 'none'])
  const full = await verify(
    { mode: 'maximum', check: 'full', features: [{ name: 'avx', policy: 'disable' }] },
    { enabled: ['fpu'] }
  )
  t.same(shown(full.cpu), ['avx disable'])
})

t.test('the CPU that another QEMU had made', async t => {
  const numa = { cells: [] } as unknown as NonNullable<CpuDef['numa']>
  const made: CpuDef = { ...emptyCpu(), mode: 'host-passthrough' }
  const def = { cpu: { ...emptyCpu(), ...named('qemu64'), numa } } as DomainDef
  t.match(takeMadeCpu(def, made), /<model fallback='forbid'>qemu64</)
  t.same(def.cpu, { ...made, numa })
  t.equal(takeMadeCpu(def, made), undefined)
  t.equal(takeMadeCpu(def, undefined), undefined)
  t.equal(takeMadeCpu({} as DomainDef, made), undefined)
})
