// Changes of what a running guest may take, on directories that look like its control groups: what is set, told and kept,
// and that a step which fails leaves everything as it was.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { inSteps } from '../../../../src/drivers/qemu/tuning/steps.ts'
import { allowedCpus } from '../../../../src/host/proc.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'

const TUNED = "<vcpu current='1'>2</vcpu><iothreads>1</iothreads>"
const THREAD_FILES = {
  'cgroup.controllers': 'cpu cpuset\n',
  'cgroup.threads': '1\n',
  'cpu.max': 'max 100000\n',
  'cpuset.cpus': '0\n'
}

/** A running guest that is kept, with groups of v2 of which those of threads are made. */
async function tuned(t: Test, files: Record<string, string> = {}) {
  const guest = await StandInGuest.running(t, {
    outside: TUNED,
    persistent: true,
    answers: {
      'query-iothreads': [
        { id: 'iothread1', 'thread-id': process.pid },
        { id: 'own', 'thread-id': 1 }
      ]
    }
  })
  const group = t.testdir({
    'cgroup.controllers': 'cpu cpuset io memory\n',
    'cpu.weight': '100\n',
    'cpu.max': 'max 100000\n',
    'memory.max': 'max\n',
    'memory.high': 'max\n',
    'memory.swap.max': 'max\n',
    'io.weight': 'default 100\n',
    'io.max': '',
    emulator: { ...THREAD_FILES, 'cpuset.mems': '0\n' },
    vcpu0: { ...THREAD_FILES, 'cpuset.mems': '0\n' },
    iothread1: { ...THREAD_FILES, 'cpuset.mems': '0\n' },
    ...files
  })
  guest.domain.running.cgroups = [group]
  const file = (name: string) => readFileSync(join(group, name), 'utf8').trim()
  return { guest, group, file }
}

const xmlOf = async (guest: StandInGuest, flags = 0): Promise<string> =>
  (await guest.call('virDomainGetXMLDesc', { flags })).xml
const INACTIVE = 2
const LIVE_AND_CONFIG = 3

t.test('steps are undone, the last first', async t => {
  const done: string[] = []
  const say = (word: string) => async () => void done.push(word)
  await t.rejects(
    inSteps(async step => {
      await step(say('a'), say('undo a'))
      await step(say('b'), async () => {
        done.push('undo b')
        throw new Error('cannot')
      })
      await step(async () => {
        throw new Error('refused')
      }, say('undo c'))
    }),
    { message: 'refused' }
  )
  t.same(done, ['a', 'b', 'undo b', 'undo a'])
})

t.test('scheduler: set everywhere and told', async t => {
  const { guest, file } = await tuned(t)
  const params = { cpu_shares: 300, vcpu_quota: 5000, emulator_period: 20_000, iothread_quota: -1, global_period: 0 }
  await guest.call('virDomainSetSchedulerParametersFlags', { params, flags: LIVE_AND_CONFIG })
  t.same(['cpu.weight', 'cpu.max', 'vcpu0/cpu.max', 'emulator/cpu.max', 'iothread1/cpu.max'].map(file), [
    '300',
    'max 100000',
    '5000 100000',
    'max 20000',
    'max 100000'
  ])
  for (const xml of [await xmlOf(guest), await xmlOf(guest, INACTIVE)]) {
    t.match(xml, '<shares>300</shares>')
    t.match(xml, '<quota>5000</quota>')
    t.match(xml, '<emulator_period>20000</emulator_period>')
    t.match(xml, '<iothread_quota>-1</iothread_quota>')
    t.notMatch(xml, 'global_period')
  }
  t.match(guest.told, [
    ['TUNABLE', { params: { 'cputune.cpu_shares': { type: 'ullong' }, 'cputune.vcpu_quota': { type: 'llong' } } }]
  ])
  t.match((await guest.call('virDomainGetSchedulerParameters')).params, {
    cpu_shares: 300n,
    vcpu_quota: 5000n,
    emulator_period: 20_000n,
    emulator_quota: 17_592_186_044_415n
  })
  t.same(await guest.call('virDomainGetSchedulerType'), { type: 'posix', nparams: 9 })
})

t.test('scheduler: a later step fails', async t => {
  const { guest, group, file } = await tuned(t)
  const before = await xmlOf(guest)
  writeFileSync(join(group, 'iothread1/cpu.max'), 'nonsense')
  const params = { cpu_shares: 300, vcpu_quota: 5000, iothread_quota: 6000 }
  t.match(await guest.failureOf('virDomainSetSchedulerParameters', { params }), /Invalid 'cpu.max' data/)
  t.same(['cpu.weight', 'vcpu0/cpu.max'].map(file), ['100', 'max 100000'])
  t.equal(await xmlOf(guest), before)
  t.same(guest.told, [])
})

t.test('scheduler: no controller', async t => {
  const { guest } = await tuned(t)
  guest.domain.running.cgroups = []
  const lacking = /^VIR_ERR_OPERATION_INVALID VIR_FROM_QEMU: .*cgroup CPU controller is not mounted$/
  t.match(await guest.failureOf('virDomainGetSchedulerType'), lacking)
  t.match(await guest.failureOf('virDomainGetSchedulerParameters'), lacking)
  t.match(await guest.failureOf('virDomainSetSchedulerParameters', { params: { cpu_shares: 5 } }), lacking)
  t.match(await guest.failureOf('virDomainGetMemoryParameters', {}), /cgroup memory controller is not mounted/)
  t.match(await guest.failureOf('virDomainGetBlkioParameters', {}), /blkio cgroup isn't mounted/)
  t.match(
    await guest.failureOf('virDomainSetNumaParameters', { params: { numa_nodeset: '0' } }),
    /cgroup cpuset controller is not mounted/
  )
  t.match(await guest.failureOf('virDomainGetCPUStats', { startCpu: 0, ncpus: 1 }), /CPUACCT controller is not mounted/)
})

t.test('memory: the order in which limits go up and down', async t => {
  const { guest, file } = await tuned(t)
  const set = (params: object, flags = 1) => guest.failureOf('virDomainSetMemoryParameters', { params, flags })
  t.equal(await set({ hard_limit: 200_000, swap_hard_limit: 300_000, soft_limit: 100_000 }, LIVE_AND_CONFIG), '')
  t.same(['memory.max', 'memory.swap.max', 'memory.high'].map(file), ['204800000', '307200000', '102400000'])
  t.match(await set({ hard_limit: 400_000 }), /^VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: .*lower than or equal to/)
  t.equal(await set({ hard_limit: 100_000 }), '')
  t.match(await xmlOf(guest), "<hard_limit unit='KiB'>100000</hard_limit>")
  t.match(await xmlOf(guest, INACTIVE), "<hard_limit unit='KiB'>200000</hard_limit>")
  const none = String(2n ** 53n - 1n)
  t.equal(await set({ hard_limit: BigInt(none), swap_hard_limit: BigInt(none) }), '')
  t.equal(file('memory.max'), 'max')
  t.notMatch(await xmlOf(guest), 'hard_limit')
  t.match((await guest.call('virDomainGetMemoryParameters', {})).params, { hard_limit: 2n ** 53n - 1n })
})

t.test('memory: the kernel refuses one of several', async t => {
  const { guest, group, file } = await tuned(t, { 'memory.swap.max': 'nonsense' })
  const before = await xmlOf(guest)
  const params = { soft_limit: 1000, hard_limit: 2000, swap_hard_limit: 3000 }
  t.match(await guest.failureOf('virDomainSetMemoryParameters', { params, flags: LIVE_AND_CONFIG }), /nonsense/)
  t.same([file('memory.high'), file('memory.max')], ['max', 'max'], group)
  t.equal(await xmlOf(guest), before)
})

t.test('blkio: a device that is none', async t => {
  const { guest, file } = await tuned(t)
  const before = await xmlOf(guest)
  const params = { weight: 200, device_read_iops_sec: '/dev/null,5' }
  t.match(
    await guest.failureOf('virDomainSetBlkioParameters', { params, flags: 1 }),
    /^VIR_ERR_SYSTEM_ERROR VIR_FROM_CGROUP: Path '\/dev\/null' must be a block device: Invalid argument$/
  )
  t.equal(file('io.weight'), 'default 100', 'the weight is set back')
  t.equal(await xmlOf(guest), before)
  const bad = (list: string) =>
    guest.failureOf('virDomainSetBlkioParameters', { params: { device_weight: list }, flags: 2 })
  t.match(await bad('/dev/x'), /^VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: .*unable to parse blkio device/)
  t.match(await bad('/dev/x,5x'), /unable to parse blkio device 'device_weight' '\/dev\/x,5x'/)
  t.match(await bad('/dev/x,-5'), /invalid value '-5' for parameter 'device_weight' of device '\/dev\/x'/)
  t.match(await bad('/dev/x,5,/dev/y,99999999999'), /invalid value '99999999999' for parameter/)
  t.equal(await bad('/dev/x,5,/dev/y,6,/dev/z,0'), '')
  t.equal(await bad('/dev/x,0'), '')
  const { params: config } = await guest.call('virDomainGetBlkioParameters', { flags: 2 })
  t.match(config, { weight: 0, device_weight: '/dev/y,6', device_read_iops_sec: '' })
})

t.test('pins: threads, groups, definitions, events', async t => {
  const { guest, file } = await tuned(t)
  const [cpu] = allowedCpus(process.pid, process.pid)
  const cpumap = Array.from({ length: cpu! + 1 }, (_, at) => at === cpu)
  const flags = LIVE_AND_CONFIG
  await guest.call('virDomainPinVcpuFlags', { vcpu: 0, cpumap, flags })
  await guest.call('virDomainPinEmulator', { cpumap, flags })
  await guest.call('virDomainPinVcpu', { vcpu: 1, cpumap })
  t.same([...allowedCpus(guest.domain.process!.pid, guest.domain.process!.pid)], [cpu])
  t.equal(file('vcpu0/cpuset.cpus'), `${cpu}`)
  t.equal(file('emulator/cpuset.cpus'), `${cpu}`)
  for (const xml of [await xmlOf(guest), await xmlOf(guest, INACTIVE)]) {
    t.match(xml, `<vcpupin vcpu='0' cpuset='${cpu}'/>`)
    t.match(xml, `<emulatorpin cpuset='${cpu}'/>`)
  }
  t.match(await xmlOf(guest), `<vcpupin vcpu='1' cpuset='${cpu}'/>`)
  const value = { type: 'string', value: `${cpu}` }
  t.same(guest.told, [
    ['TUNABLE', { params: { 'cputune.vcpupin0': value } }],
    ['TUNABLE', { params: { 'cputune.emulatorpin': value } }],
    ['TUNABLE', { params: { 'cputune.vcpupin1': value } }]
  ])
  await guest.takeOver()
  t.match(await xmlOf(guest), `<vcpupin vcpu='1' cpuset='${cpu}'/>`, 'the next shim knows')
})

t.test('pins: the thread cannot be moved', async t => {
  const { guest, file } = await tuned(t)
  const before = [await xmlOf(guest), await xmlOf(guest, INACTIVE)]
  const cpumap = Array.from({ length: 16_001 }, (_, cpu) => cpu === 16_000)
  for (const [api, args] of [
    ['virDomainPinVcpuFlags', { vcpu: 0 }],
    ['virDomainPinEmulator', {}],
    ['virDomainPinIOThread', { iothread_id: 1 }]
  ] as const) {
    t.match(
      await guest.failureOf(api, { ...args, cpumap, flags: LIVE_AND_CONFIG }),
      /^VIR_ERR_SYSTEM_ERROR VIR_FROM_NONE: cannot set CPU affinity on process \d+: Invalid argument$/
    )
  }
  t.same(
    ['vcpu0', 'emulator', 'iothread1'].map(name => file(`${name}/cpuset.cpus`)),
    ['0', '0', '0']
  )
  t.same([await xmlOf(guest), await xmlOf(guest, INACTIVE)], before)
  t.same(guest.told, [])
  const empty = { cpumap: [false], flags: 1 }
  t.match(await guest.failureOf('virDomainPinIOThread', { iothread_id: 1, ...empty }), /Empty iothread cpumap list/)
  t.match(await guest.failureOf('virDomainPinEmulator', { cpumap: [], flags: 1 }), /maplen in virDomainPinEmulator/)
})

t.test('NUMA: nodes of a running guest are the restrictive’s', async t => {
  const { guest, file } = await tuned(t)
  const set = (params: object, flags = 1) => guest.failureOf('virDomainSetNumaParameters', { params, flags })
  t.match(await set({ numa_mode: 7 }), /^VIR_ERR_INVALID_ARG VIR_FROM_QEMU: .*unsupported numatune mode: '7'/)
  t.match(await set({ numa_nodeset: '0,^0' }), /^VIR_ERR_OPERATION_INVALID .*Invalid nodeset of 'numatune'/)
  t.match(await set({ numa_nodeset: '500' }), /^VIR_ERR_CONFIG_UNSUPPORTED .*NUMA node 500 is unavailable/)
  t.match(await set({ numa_mode: 0, numa_nodeset: '0' }), /can't change nodeset for strict mode for running domain/)
  t.equal(await set({ numa_mode: 3, numa_nodeset: '0' }), '')
  t.same(
    ['vcpu0', 'emulator', 'iothread1'].map(name => file(`${name}/cpuset.mems`)),
    ['0', '0', '0']
  )
  t.match(await xmlOf(guest), "<memory mode='restrictive' nodeset='0'/>")
  t.match(await set({ numa_mode: 1 }), /can't change numatune mode for running domain/)
  t.match((await guest.call('virDomainGetNumaParameters', { flags: 1 })).params, { numa_mode: 3, numa_nodeset: '0' })
})

t.test('perf: what cannot be counted leaves the rest as it was', async t => {
  const { guest } = await tuned(t)
  const before = await xmlOf(guest)
  const params = { task_clock: true, mbml: true }
  t.match(await guest.failureOf('virDomainSetPerfEvents', { params, flags: 1 }), /host cpu perf event for /)
  t.equal(await xmlOf(guest), before)
  const { params: now } = await guest.call('virDomainGetPerfEvents', { flags: 1 })
  t.same([now.task_clock, now.mbml], [false, false])
  await guest.call('virDomainSetPerfEvents', { params, flags: 2 })
  t.match(await xmlOf(guest, INACTIVE), "<event name='mbml' enabled='yes'/>")
})
