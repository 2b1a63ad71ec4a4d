// CPUs against a host of our own making, and what several have in common.
import t from 'tap'
import { formatCpu } from '../../../../src/conf/domain/cpu.ts'
import { type AnyCpu, parseAnyCpu } from '../../../../src/conf/host-cpu.ts'
import { formatXml } from '../../../../src/conf/xml.ts'
import { baselineCpu, expandFeatures } from '../../../../src/drivers/qemu/cpu/baseline.ts'
import { compareCpu, refuseIncompatible } from '../../../../src/drivers/qemu/cpu/compare.ts'
import { baselineXml, compareXml, modelNames } from '../../../../src/drivers/qemu/cpu/compare-xml.ts'
import { libvirtFeatureName, qemuFeatureName } from '../../../../src/drivers/qemu/cpu/feature-name.ts'
import { errorOf } from '../../../helper/definition.ts'

const feature = (name: string, policy = 'require') => `<feature policy='${policy}' name='${name}'/>`
const guest = (inside: string, attributes = "match='exact'") => parseAnyCpu(`<cpu ${attributes}>${inside}</cpu>`)
const hostXml = (model: string, ...names: string[]) =>
  `<cpu><arch>x86_64</arch><model>${model}</model>${names.map(name => `<feature name='${name}'/>`).join('')}</cpu>`

/** A 486 with a few features more, by AMD. */
const HOST = {
  model: '486',
  vendor: 'AMD',
  features: ['sse', 'sse2', 'svm'].map(name => ({ name, policy: 'require' as const }))
}

t.test('a guest’s CPU on a host', async t => {
  const all = ['sse', 'sse2', 'svm'].map(name => feature(name)).join('')
  for (const [cpu, result] of [
    [guest(`<model>486</model>${all}`), 'identical'],
    [guest('<model>486</model>'), 'superset'],
    [guest(`<model>486</model>${all}`, "match='strict'"), 'identical'],
    [
      guest('<model>486</model>', "match='strict'"),
      'Host CPU does not strictly match guest CPU: Extra features: sse, sse2, svm'
    ],
    [
      guest(`<model>486</model>${feature('vmx')}${feature('avx')}`),
      'Host CPU does not provide required features: vmx, avx'
    ],
    [guest(`<model>486</model>${feature('vmx', 'force')}`), 'superset'],
    [guest(`<model>486</model>${feature('vmx', 'optional')}`), 'superset'],
    [guest(`<model>486</model>${feature('vmx', 'disable')}`), 'superset'],
    [guest(`<model>486</model>${feature('sse2', 'forbid')}`), 'Host CPU provides forbidden features: sse2'],
    [guest(`<model>486</model>${feature('avx', 'forbid')}`), 'superset'],
    [guest('<model>486</model><vendor>AMD</vendor>'), 'superset'],
    [guest('<model>486</model><vendor>Intel</vendor>'), 'host CPU vendor does not match required CPU vendor Intel'],
    [parseAnyCpu(hostXml('486', 'sse', 'sse2', 'svm')), 'identical'],
    [parseAnyCpu(hostXml('486', 'avx')), 'Host CPU does not provide required features: avx'],
    [parseAnyCpu('<cpu><arch>aarch64</arch><model>a</model></cpu>'), 'CPU arch aarch64 does not match host arch']
  ] as [AnyCpu, string][]) {
    const comparison = compareCpu(HOST, cpu)
    t.equal(comparison.result === 'incompatible' ? comparison.reason : comparison.result, result)
  }
  t.same(compareCpu(undefined, guest('<model>486</model>')), { result: 'incompatible', reason: 'unknown host CPU' })
})

t.test('what a host cannot run is refused when asked to', async t => {
  const cpu = guest(`<model>486</model>${feature('avx')}`)
  const reason = 'the CPU is incompatible with host CPU: Host CPU does not provide required features: avx'
  t.equal(await errorOf(() => refuseIncompatible(compareCpu(HOST, cpu))), `VIR_ERR_CPU_INCOMPATIBLE: ${reason}`)
  const { model, vendor, features: plain } = HOST
  const compare = (arch: string, xml: string, fail = false) =>
    compareXml(arch, { model, vendor, plain }, xml, fail, false)
  const xml = `<cpu match='exact'><model>486</model>${feature('avx')}</cpu>`
  t.equal(compare('x86_64', xml), 'incompatible')
  t.equal(await errorOf(() => compare('x86_64', xml, true)), `VIR_ERR_CPU_INCOMPATIBLE: ${reason}`)
  t.match(await errorOf(() => compare('mips', xml)), "'mips' architecture is not supported by CPU driver")
  for (const arch of ['s390x', 'riscv64', 'loongarch64']) t.equal(compare(arch, xml), 'identical', 'QEMU will see')
  t.match(await errorOf(() => compare('aarch64', xml)), 'VIR_ERR_NO_SUPPORT')
  t.equal(compare('x86_64', '<cpu/>'), 'superset', 'nothing is asked for')
})

const through = (xmls: string[], migratable = false) => {
  const cpu = baselineCpu(
    xmls.map(xml => parseAnyCpu(xml, { as: 'host' })),
    { migratable }
  )
  return formatXml(formatCpu(cpu)).replace(/\n\s*/g, '')
}

t.test('what hosts have in common', async t => {
  for (const [cpus, written] of [
    [[hostXml('Haswell')], "<cpu mode='custom' match='exact'><model fallback='forbid'>Haswell</model></cpu>"],
    [
      [hostXml('486', 'sse', 'sse2'), hostXml('486', 'sse2', 'avx')],
      "<cpu mode='custom' match='exact'><model fallback='forbid'>486</model><feature policy='require' name='sse2'/></cpu>"
    ]
  ] as const) {
    t.equal(through([...cpus]), written)
  }
  t.match(through([hostXml('Haswell'), hostXml('Skylake-Client')]), 'Haswell')
  t.match(through([hostXml('486', 'invtsc', 'sse')]), 'invtsc')
  t.notMatch(through([hostXml('486', 'invtsc', 'sse')], true), 'invtsc')
})

t.test('what has nothing in common', async t => {
  const vendor = (name: string) => hostXml('486').replace('</model>', `</model><vendor>${name}</vendor>`)
  const refusal = (...xmls: string[]) => errorOf(() => through(xmls))
  t.match(await refusal(), 'no CPUs given')
  t.match(await refusal(vendor('AMD'), vendor('Intel')), 'CPU vendors do not match')
  t.match(await refusal(vendor('Nobody')), 'Unknown CPU vendor Nobody')
  t.match(
    await refusal(hostXml('486'), hostXml('EPYC').replace('</model>', '</model><vendor>Intel</vendor>')),
    'CPU vendor AMD of model EPYC differs from vendor Intel'
  )
  t.match(await refusal(hostXml('nosuch')), /nosuch/)
  t.match(await errorOf(() => baselineXml([], { migratable: false, expand: false })), 'must not be NULL')
})

t.test('every feature by name', async t => {
  const cpu = guest(`<model>486</model>${feature('sse')}${feature('vme', 'disable')}`)
  if (cpu.of !== 'guest') throw new Error('a host')
  const { features } = expandFeatures(cpu.cpu)
  const names = features.map(({ name }) => name)
  t.same(names, [...names].sort())
  t.same(
    features.find(({ name }) => name === 'vme'),
    { policy: 'disable', name: 'vme' }
  )
  t.ok(names.includes('fpu') && names.includes('sse'))
})

t.test('names', async t => {
  t.ok(modelNames('x86_64').includes('EPYC') && modelNames('ppc64le').includes('POWER9'))
  for (const arch of ['aarch64', 's390x', 'riscv64', 'loongarch64']) t.same(modelNames(arch), [], arch)
  t.match(await errorOf(() => modelNames('nosuch')), 'cannot find architecture nosuch')
  t.match(await errorOf(() => modelNames('mips')), 'VIR_ERR_NO_SUPPORT')
  for (const [qemu, libvirt] of [
    ['sse4.1', 'sse4.1'],
    ['lahf-lm', 'lahf_lm'],
    ['pclmulqdq', 'pclmuldq'],
    ['ds-cpl', 'ds_cpl'],
    ['vmx-invept-single-context-noglobals', 'vmx-invvpid-single-context-noglobals'],
    ['avx2', 'avx2']
  ] as const) {
    t.equal(libvirtFeatureName(qemu, 'x86_64'), libvirt)
    t.equal(qemuFeatureName(libvirt, 'x86_64'), qemu)
    t.equal(libvirtFeatureName(qemu, 's390x'), qemu, 'other architectures have names of their own')
  }
})
