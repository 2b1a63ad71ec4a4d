import t from 'tap'
import type { DomainDef } from '../../../../src/conf/domain-def.ts'
import type { HostCpu } from '../../../../src/drivers/qemu/capabilities/probe.ts'
import type { CpuModel } from '../../../../src/drivers/qemu/capabilities/qemu.ts'
import type { Capability } from '../../../../src/drivers/qemu/capabilities/signs.ts'
import { qemuFeatureName } from '../../../../src/drivers/qemu/cpu/feature-name.ts'
import { keepRemoved } from '../../../../src/drivers/qemu/cpu/guest.ts'
import { cpuModel } from '../../../../src/drivers/qemu/cpu/models.ts'
import { argvOf, errorOf, fakeQemu, type GuestOptions } from '../../../helper/definition.ts'

const models: CpuModel[] = ['qemu64', 'qemu32', 'Nehalem', 'Westmere', 'EPYC', 'Zeus', 'max'].map(name => ({
  name,
  type: `${name}-x86_64-cpu`,
  deprecated: false,
  blockers: name === 'Westmere' ? 'aes' : ''
}))
const nehalem = [...cpuModel('Nehalem')!.features].map(name => qemuFeatureName(name, 'x86_64'))
const hostCpu: HostCpu = {
  known: [...nehalem, 'avx', 'aes', 'invtsc', 'pcid', 'intel-pt', 'osxsave', 'svm', 'vmx', 'fxsr-opt'],
  features: [...nehalem, 'invtsc', 'pcid', 'hv-relaxed'],
  unmigratable: ['invtsc'],
  vendor: 'GenuineIntel',
  family: 6,
  model: 26,
  stepping: 5
}
const qemu = { ...fakeQemu(), kvm: true, cpuModels: models, hostCpu }

const without = (capability: Capability) => ({
  ...qemu,
  has: (name: Capability) => name !== capability && qemu.has(name)
})

async function cpuOf(cpu: string, options: GuestOptions = {}): Promise<string | undefined> {
  const lines = await argvOf('', { qemu, ...options, outside: `${options.outside ?? ''}${cpu}` })
  return lines.find(line => line.startsWith('-cpu '))?.slice('-cpu '.length)
}

t.test('modes', async t => {
  for (const [cpu, expected, type = 'qemu'] of [
    ['', 'qemu64'],
    ["<cpu><topology sockets='1' cores='1' threads='1'/></cpu>", 'qemu64'],
    ["<cpu mode='host-model'/>", 'Nehalem,pcid=on'],
    ["<cpu mode='maximum'/>", 'max'],
    ["<cpu mode='host-passthrough'/>", 'host,migratable=on', 'kvm'],
    [
      "<cpu mode='host-passthrough' migratable='off'><feature name='fxsr_opt'/></cpu>",
      'host,migratable=off,fxsr-opt=on',
      'kvm'
    ],
    ["<cpu><model vendor_id='KVMKVMKVMKVM'>EPYC</model></cpu>", 'EPYC,vendor=KVMKVMKVMKVM']
  ] as [string, string, string?][]) {
    t.equal(await cpuOf(cpu, { type }), expected, cpu)
  }
})

t.test('relative definitions become absolute', async t => {
  for (const [cpu, expected] of [
    ["<cpu match='minimum'><model>486</model><feature name='svm' policy='disable'/></cpu>", 'Nehalem,pcid=on,svm=off'],
    [
      "<cpu><model>qemu64</model><feature name='pcid' policy='optional'/><feature name='avx' policy='optional'/></cpu>",
      'qemu64,pcid=on,avx=off'
    ],
    [
      "<cpu mode='host-model' check='none'><model vendor_id='KVMKVMKVMKVM'/><feature name='vmx'/></cpu>",
      'Nehalem,vendor=KVMKVMKVMKVM,pcid=on,vmx=on'
    ]
  ] as const) {
    t.equal(await cpuOf(cpu), expected, cpu)
  }
})

t.test('models QEMU lacks are translated, features it lacks need not be off', async t => {
  t.equal(await cpuOf('<cpu><model>Nehalem-IBRS</model></cpu>'), 'Nehalem,spec-ctrl=on')
  t.match(
    await errorOf(() => cpuOf("<cpu><model fallback='forbid'>Nehalem-IBRS</model></cpu>")),
    'CPU model Nehalem-IBRS is not supported by hypervisor'
  )
  t.equal(
    await cpuOf("<cpu><model>qemu64</model><feature name='pconfig' policy='disable'/><feature name='osxsave'/></cpu>"),
    'qemu64'
  )
})

t.test('checks before the start', async t => {
  for (const [cpu, error, type = 'qemu'] of [
    ['<cpu><model>Zeus</model></cpu>', 'Unknown CPU model Zeus'],
    ["<cpu><model>qemu64</model><feature name='warp'/></cpu>", 'unknown CPU feature: warp'],
    [
      "<cpu mode='host-passthrough'/>",
      "CPU mode 'host-passthrough' for x86_64 qemu domain on x86_64 host is not supported"
    ],
    [
      "<cpu mode='host-model'><feature name='pcid' policy='forbid'/></cpu>",
      "Host CPU provides forbidden feature 'pcid'"
    ],
    ["<cpu check='partial'><model>Westmere</model></cpu>", 'Host CPU does not provide required features: aes'],
    [
      "<cpu check='partial'><model>Nehalem</model><vendor>AMD</vendor><feature name='pcid'/></cpu>",
      'does not match required CPU vendor AMD'
    ],
    ["<cpu check='partial' match='strict'><model>Nehalem</model><feature name='pcid'/></cpu>", 'Extra features: invtsc']
  ] as [string, string, string?][]) {
    t.match(await errorOf(() => cpuOf(cpu, { type })), error, cpu)
  }
})

t.test('a partial check believes QEMU where it calls a model usable', async t => {
  for (const cpu of [
    "<cpu check='partial'><model>Nehalem</model><vendor>AMD</vendor></cpu>",
    "<cpu check='partial' match='strict'><model>Nehalem</model></cpu>",
    "<cpu check='partial' match='strict'><model>Nehalem</model><feature name='avx' policy='disable'/></cpu>"
  ]) {
    t.match(await cpuOf(cpu), /^Nehalem/, cpu)
  }
})

t.test('deprecated features', async t => {
  const tells = { ...qemu, hostCpu: { ...hostCpu, deprecated: ['avx'] } }
  const old = without('query-cpu-model-expansion.deprecated-props')
  const cpu = (attribute: string) => `<cpu ${attribute}><model>Nehalem</model><feature name='pcid'/></cpu>`
  t.equal(await cpuOf(cpu("deprecated_features='off'"), { qemu: tells }), 'Nehalem,pcid=on,avx=off')
  t.equal(await cpuOf(cpu("deprecated_features='on'"), { qemu: tells }), 'Nehalem,pcid=on')
  t.equal(
    await errorOf(() => cpuOf(cpu("deprecated_features='on'"), { qemu: old })),
    'VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: toggling deprecated features for CPU model is unsupported'
  )
})

t.test('features that left a model', async t => {
  const cpu = (inside: string) => `<cpu><model>Skylake-Client</model>${inside}</cpu>`
  const known = { ...qemu, cpuModels: [...models, { ...models[0]!, name: 'Skylake-Client' }] }
  const knowing = { ...known, hostCpu: { ...hostCpu, known: [...hostCpu.known, 'mpx'] } }
  t.equal(await cpuOf(cpu(''), { qemu: known }), 'Skylake-Client', 'off where QEMU does not know them')
  t.equal(await cpuOf(cpu(''), { qemu: knowing }), 'Skylake-Client,mpx=off')
  t.equal(await cpuOf(cpu("<feature name='mpx'/>"), { qemu: knowing }), 'Skylake-Client,mpx=on')

  const def = (model: string, inside = '') =>
    ({
      os: { arch: 'x86_64' },
      cpu: {
        mode: 'custom',
        match: 'exact',
        model: { name: model, fallback: 'forbid' },
        features: inside ? [{ name: inside, policy: 'disable' }] : []
      }
    }) as unknown as DomainDef
  const running = def('Skylake-Client')
  keepRemoved(running)
  t.same(running.cpu!.features, [{ policy: 'require', name: 'mpx' }], 'it was there when the guest was started')
  const stopped = def('Skylake-Client', 'mpx')
  keepRemoved(stopped)
  t.same(stopped.cpu!.features, [{ policy: 'disable', name: 'mpx' }])
})

t.test('features of the topology', async t => {
  const cpu = "<cpu><model>Nehalem</model><feature name='ht'/><feature name='cmp_legacy'/><feature name='pcid'/></cpu>"
  t.equal(await cpuOf(cpu, { qemu: without('cpu.features-of-topology') }), 'Nehalem,ht=on,cmp-legacy=on,pcid=on')
  t.equal(await cpuOf(cpu), 'Nehalem,pcid=on', 'QEMU sets them by itself')
})

t.test('widths of physical addresses', async t => {
  for (const [address, expected] of [
    ["mode='passthrough'", 'host-phys-bits=on'],
    ["mode='passthrough' limit='39'", 'host-phys-bits=on,host-phys-bits-limit=39'],
    ["mode='emulate' bits='1'", 'phys-bits=1'],
    ["mode='emulate'", 'host-phys-bits=off']
  ] as const) {
    t.equal(await cpuOf(`<cpu><model>Nehalem</model><maxphysaddr ${address}/></cpu>`), `Nehalem,${expected}`)
  }
})

t.test('properties that are no features of the model', async t => {
  const features = `<features><apic eoi='on'/><pvspinlock state='off'/><pmu/><kvm><hidden state='on'/><pv-ipi state='off'/></kvm>
    <hyperv><spinlocks state='on' retries='4096'/><stimer state='on'><direct state='on'/></stimer>
    <vendor_id state='on' value='Any'/><vapic state='off'/></hyperv></features>`
  t.equal(
    await cpuOf("<cpu mode='maximum'><cache mode='disable'/><maxphysaddr mode='passthrough'/></cpu>", {
      outside: features
    }),
    'max,kvm-pv-eoi=on,kvm-pv-unhalt=off,hv-stimer=on,hv-spinlocks=0x1000,hv-stimer-direct=on,' +
      'hv-vendor-id=Any,kvm=off,kvm-pv-ipi=off,pmu=on,l3-cache=off,host-cache-info=off,host-phys-bits=on'
  )
  t.equal(await cpuOf('', { outside: "<features><hyperv mode='passthrough'/></features>" }), 'qemu64,hv-passthrough=on')
  const clock = "<clock><timer name='kvmclock' present='no'/><timer name='hypervclock' present='yes'/></clock>"
  t.equal(await cpuOf('', { outside: clock }), 'qemu64,kvmclock=off,hv-time=on')
})
