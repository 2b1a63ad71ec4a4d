// Baselines of several CPUs that no host takes part in: what libvirt 12.8 answers on QEMU 11.1.
import t from 'tap'
import { capabilities } from '../../../../src/drivers/qemu/api/capabilities.ts'
import { hypervisorBaselineXml, parseCpus } from '../../../../src/drivers/qemu/cpu/compare-xml.ts'
import { cpuModelNames } from '../../../../src/drivers/qemu/cpu/models.ts'
import { fakeQemu } from '../../../helper/definition.ts'

const cpuModels = cpuModelNames().map(name => ({ name, type: `${name}-x86_64-cpu`, deprecated: false, blockers: '' }))
/** A host that has next to nothing. */
const qemu = {
  ...fakeQemu(),
  cpuModels,
  hostCpu: {
    features: ['fpu'],
    known: ['fpu'],
    unmigratable: [],
    vendor: 'GenuineIntel',
    family: 6,
    model: 1,
    stepping: 1
  }
}

const cpu = (model: string, ...features: [policy: string, name: string][]) =>
  `<cpu mode='custom' match='exact'><model fallback='forbid'>${model}</model>${features
    .map(([policy, name]) => `<feature policy='${policy}' name='${name}'/>`)
    .join('')}</cpu>`

/** Model and features, each with its policy. */
function baseline(xmls: string[], migratable = false): string[] {
  const options = { migratable, expand: false, ignoreHost: true }
  const xml = hypervisorBaselineXml(parseCpus(xmls, 'test'), qemu, options)
  return [...xml.matchAll(/<model[^>]*>([^<]*)|policy='(\w+)' name='([^']*)'/g)].map(([, model, policy, name]) =>
    model === undefined ? `${policy} ${name}` : model
  )
}

t.test('only the CPUs count', async t => {
  const haswell = cpu('Haswell', ['require', 'invtsc'], ['require', 'vmx'])
  const icelake = cpu('Icelake-Server', ['require', 'invtsc'])
  for (const [xmls, migratable, expected] of [
    [[haswell, haswell], false, ['Haswell', 'require vmx', 'require invtsc']],
    [[haswell, haswell], true, ['Haswell', 'require vmx']],
    [[icelake, icelake], false, ['Icelake-Server', 'require invtsc', 'disable intel-pt', 'disable mpx']],
    [
      [cpu('Skylake-Client', ['require', 'vmx']), cpu('Haswell', ['disable', 'rtm'])],
      false,
      ['Haswell-noTSX', 'require hle']
    ],
    [[cpu('qemu64'), cpu('Nehalem')], false, ['kvm64']]
  ] as [string[], boolean, string[]][]) {
    t.same(baseline(xmls, migratable), expected, xmls.join())
  }
})

t.test('one CPU alone has no baseline of its own', async t => {
  const { run } = capabilities.virConnectBaselineHypervisorCPU
  const VIR_CONNECT_BASELINE_CPU_IGNORE_HOST = 4
  const asked = { xmlCPUs: [cpu('qemu64')], flags: VIR_CONNECT_BASELINE_CPU_IGNORE_HOST } as never
  await t.rejects(async () => run({} as never, asked, {} as never), {
    code: 'VIR_ERR_OPERATION_INVALID',
    message:
      'Requested operation is not valid: ignoring host is only allowed when computing baseline from multiple CPUs'
  })
})
