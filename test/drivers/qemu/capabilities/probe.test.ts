// The probe against programs that speak QMP as told: what it makes of answers, and of none.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type Accelerator, probeQemu } from '../../../../src/drivers/qemu/capabilities/probe.ts'
import { errorOf } from '../../../helper/definition.ts'

const dir = mkdtempSync(join(tmpdir(), 'virshim-probe-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

function program(name: string, text: string): string {
  const path = join(dir, name)
  writeFileSync(path, `#!${process.execPath}\n${text}`)
  chmodSync(path, 0o755)
  return path
}

const cpu = (props: Record<string, unknown>) => ({ model: { name: 'base', props } })

/** Answers by command; a function of the arguments where they differ, an absent one is refused. */
const ANSWERS = {
  qmp_capabilities: {},
  'query-version': { qemu: { major: 10, minor: 0, micro: 13 }, package: 'Debian' },
  'query-target': { arch: 'i386' },
  'qom-list-types': [{ name: 'virtio-blk-pci' }, { name: 'am53c974' }],
  'query-commands': [{ name: 'blockdev-reopen' }],
  'query-command-line-options': [{ option: 'sandbox', parameters: [{ name: 'enable' }] }],
  'query-qmp-schema': [],
  'query-machines': [
    {
      name: 'pc-i440fx-10.0',
      alias: 'pc',
      'is-default': true,
      'cpu-max': 255,
      'hotpluggable-cpus': true,
      'default-cpu-type': 'qemu32-i386-cpu',
      'default-ram-id': 'pc.ram',
      'numa-mem-supported': false,
      deprecated: false
    },
    { name: 'none', 'cpu-max': 1, 'hotpluggable-cpus': false, 'numa-mem-supported': false, deprecated: true }
  ],
  'query-cpu-definitions': [
    { name: 'qemu32', typename: 'qemu32-i386-cpu', 'unavailable-features': ['vmx', 'x2apic'] },
    { name: '486', typename: '486-i386-cpu', deprecated: true }
  ],
  'query-kvm': { present: true, enabled: false },
  'device-list-properties': [{ name: 'acpi-index' }],
  'qom-list-properties': [],
  'query-cpu-model-expansion': cpu({
    vendor: 'GenuineIntel',
    family: 6,
    model: 167,
    stepping: 1,
    sse: true,
    invtsc: false,
    avx: false
  })
}

/** A QEMU that answers from a table. */
const talker = (name: string, answers: object) =>
  program(
    name,
    `const answers = ${JSON.stringify(answers)}
    process.stdout.write(JSON.stringify({ QMP: { version: {}, capabilities: [] } }) + '\\n')
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      const { execute, arguments: args = {}, id } = JSON.parse(line)
      const unmigratable = args.model?.props?.migratable === false && !args.model.props['hv-passthrough']
      const hyperv = args.model?.props?.['hv-passthrough'] === true
      const key = execute + (hyperv ? ' hyperv' : unmigratable ? ' unmigratable' : '')
      const found = answers[key] ?? (hyperv ? undefined : answers[execute])
      const reply = found === undefined ? { error: { class: 'CommandNotFound', desc: 'no ' + key } } : { return: found }
      process.stdout.write(JSON.stringify({ ...reply, id }) + '\\n')
    })`
  )

t.test('what an emulator tells', async t => {
  const probed = await probeQemu(talker('plain', ANSWERS), 'tcg')
  t.match(probed, {
    version: 10_000_013,
    package: 'Debian',
    arch: 'i686',
    kvmBuilt: true,
    hostCpu: { features: ['sse'], unmigratable: [], vendor: 'GenuineIntel', family: 6, model: 167, stepping: 1 }
  })
  t.same(probed.machines[0], {
    name: 'pc-i440fx-10.0',
    alias: 'pc',
    isDefault: true,
    cpuMax: 255,
    hotpluggableCpus: true,
    defaultCpuType: 'qemu32-i386-cpu',
    defaultRamId: 'pc.ram',
    numaMemSupported: false,
    deprecated: false
  })
  t.match(probed.machines[1], { name: 'none', isDefault: false, deprecated: true })
  t.same(probed.cpuModels, [
    { name: 'qemu32', type: 'qemu32-i386-cpu', deprecated: false, blockers: 'vmx x2apic' },
    { name: '486', type: '486-i386-cpu', deprecated: true, blockers: '' }
  ])
  t.same(
    probed.capabilities.filter(name => ['am53c974', 'blockdev-reopen', 'acpi-index', 'dc390'].includes(name)).sort(),
    ['acpi-index', 'am53c974', 'blockdev-reopen']
  )
  for (const key of ['sev', 'sgx', 'hyperv'] as const) t.notOk(key in probed, `${key} is not there`)
})

t.test('what is lost by migration is told apart', async t => {
  const { hostCpu } = await probeQemu(
    talker('unmigratable', {
      ...ANSWERS,
      'query-cpu-model-expansion unmigratable': cpu({ sse: true, invtsc: true, avx: false })
    }),
    'tcg'
  )
  t.match(hostCpu, { features: ['sse', 'invtsc'], unmigratable: ['invtsc'] })
  t.ok(hostCpu?.known.includes('avx'))
})

t.test('what accelerator and host can do', async t => {
  const binary = talker('kvm', {
    ...ANSWERS,
    'query-cpu-model-expansion hyperv': cpu({
      'hv-relaxed': true,
      'hv-vapic': false,
      'hv-spinlocks': 4095,
      'hv-no-nonarch-coresharing': 'auto',
      'hv-x': 0,
      sse: true
    }),
    'query-sev-capabilities': { cbitpos: 51, 'reduced-phys-bits': 1 },
    'query-sgx-capabilities': {
      flc: true,
      sgx1: true,
      sgx2: false,
      sections: [
        { node: 0, size: 2048 },
        { node: 1, size: 1024 }
      ]
    }
  })
  t.match(await probeQemu(binary, 'kvm'), {
    hyperv: ['relaxed', 'spinlocks', 'no_nonarch_coresharing'],
    sev: { cbitpos: 51, reducedPhysBits: 1 },
    sgx: {
      flc: true,
      sgx1: true,
      sgx2: false,
      sectionSizeKiB: 3,
      sections: [
        { node: 0, sizeKiB: 2 },
        { node: 1, sizeKiB: 1 }
      ]
    }
  })
  t.same(
    (await probeQemu(binary, 'tcg')).hyperv,
    ['relaxed', 'spinlocks', 'no_nonarch_coresharing'],
    'TCG has some too'
  )
})

t.test('an emulator that knows no CPUs', async t => {
  const { 'query-cpu-definitions': _models, 'query-cpu-model-expansion': _expansion, ...rest } = ANSWERS
  const probed = await probeQemu(talker('no-cpus', rest), 'tcg')
  t.same(probed.cpuModels, [])
  t.notOk('hostCpu' in probed)
})

t.test('programs that are no emulator', async t => {
  const probe = (path: string, accelerator: Accelerator = 'tcg') => errorOf(() => probeQemu(path, accelerator))
  const failed = (path: string) => `VIR_ERR_INTERNAL_ERROR: internal error: Failed to probe QEMU binary ${path}: `
  const words = program('words', "process.stderr.write('libfoo.so is missing\\n'); process.exit(127)")
  t.equal(await probe(words), `${failed(words)}libfoo.so is missing`)
  const silent = program('silent', '')
  t.match(await probe(silent), failed(silent))
  const noise = program('noise', "process.stdout.write('hello\\n'); process.stdin.resume()")
  t.match(await probe(noise), failed(noise))
  const { 'query-machines': _machines, ...rest } = ANSWERS
  const broken = talker('broken', rest)
  t.match(await probe(broken), `${failed(broken)}`)
  const absent = join(dir, 'absent')
  t.match(await probe(absent), 'ENOENT')
})
