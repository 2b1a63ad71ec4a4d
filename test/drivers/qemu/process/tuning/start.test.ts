// What a definition says of tuning is so in a QEMU that runs, with the kernel's own control groups of v1; it is still so
// under another shim, and nothing is left of it afterwards.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { hierarchies, parentIn } from '../../../../../src/drivers/qemu/process/registration/hierarchy.ts'
import { userId } from '../../../../../src/host/ids.ts'
import { processesNaming } from '../../../../helper/processes.ts'
import { leftovers, refuses } from '../../../../helper/refusal.ts'
import { bareGuest, Shim } from '../../../../helper/shim.ts'

const RUNNING = 1
const FAILED = 1
const BAD_XML = 2
t.setTimeout(240_000)

const controllers = hierarchies().flatMap(one => (one.version === 1 && parentIn(one) ? one.controllers : []))
const skip =
  (process.getuid?.() !== 0 && 'takes root') ||
  (existsSync('/run/systemd/system') && 'this host’s groups are systemd’s') ||
  (!['cpu', 'cpuset', 'memory', 'blkio'].every(name => controllers.includes(name)) && 'needs hierarchies of v1')

const lists = readFileSync('/proc/self/status', 'utf8')
const [, cpus = '0'] = /^Cpus_allowed_list:\s*(\d+)/m.exec(lists) ?? []

const TUNING = `<blkiotune><weight>250</weight></blkiotune>
  <memtune><hard_limit unit='MiB'>900</hard_limit><soft_limit unit='MiB'>800</soft_limit></memtune>
  <vcpu current='2'>3</vcpu><iothreads>2</iothreads>
  <cputune><shares>700</shares><period>50000</period><quota>40000</quota><global_period>100000</global_period>
    <emulator_quota>90000</emulator_quota><iothread_quota>30000</iothread_quota>
    <vcpupin vcpu='0' cpuset='${cpus}'/><emulatorpin cpuset='${cpus}'/><iothreadpin iothread='2' cpuset='${cpus}'/>
    <emulatorsched scheduler='batch'/><vcpusched vcpus='1' scheduler='idle'/>
    <iothreadsched iothreads='1' scheduler='batch'/></cputune>
  <numatune><memory mode='strict' nodeset='0'/></numatune>
  <perf><event name='cpu_clock' enabled='yes'/><event name='page_faults' enabled='yes'/></perf>`

/** The directory of a guest's group in the hierarchy of a controller. */
function groupOf(qemu: number, name: string, controller: string): string {
  const hierarchy = hierarchies().find(one => one.version === 1 && one.controllers.includes(controller))!
  return join(parentIn(hierarchy)!, 'machine', `qemu-${qemu}-${name}.virshim`)
}

const tuned = (name: string, tuning: string) => bareGuest(name).replace('<vcpu>1</vcpu>', tuning)

t.test('a guest of which much is asked', { skip }, async t => {
  const name = `t-tuning-${process.pid}`
  const shim = new Shim(tuned(name, TUNING))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING, 60_000)
  const [qemu] = processesNaming(`path=${shim.root}/qmp.sock`)

  const value = (controller: string, file: string) =>
    readFileSync(join(groupOf(qemu!, name, controller), file), 'utf8').trim()
  const threads = (controller: string, group: string) => value(controller, `${group}/tasks`).split('\n')

  const check = () => {
    t.same(value('cpu', 'cpu.shares'), '700')
    t.same(value('cpu', 'cpu.cfs_period_us'), '100000')
    t.same([value('cpu', 'vcpu0/cpu.cfs_period_us'), value('cpu', 'vcpu1/cpu.cfs_quota_us')], ['50000', '40000'])
    t.same(value('cpu', 'emulator/cpu.cfs_quota_us'), '90000')
    t.same(value('cpu', 'iothread2/cpu.cfs_quota_us'), '30000')
    t.same(value('memory', 'memory.limit_in_bytes'), String(900 << 20))
    t.same(value('memory', 'memory.soft_limit_in_bytes'), String(800 << 20))
    t.same(value('cpuset', 'vcpu0/cpuset.cpus'), cpus)
    t.same(value('cpuset', 'vcpu1/cpuset.mems'), '0')
    t.same(threads('cpu', 'vcpu0').length, 1)
    const all = readdirSync(`/proc/${qemu}/task`)
    const others = ['vcpu0', 'vcpu1', 'iothread1', 'iothread2'].map(group => threads('cpuset', group)[0]!)
    t.same(new Set(threads('cpuset', 'emulator')), new Set(all.filter(tid => !others.includes(tid))))
    const status = (tid: string) => readFileSync(`/proc/${qemu}/task/${tid}/status`, 'utf8')
    const allowed = (tid: string) => /^Cpus_allowed_list:\s*(.*)$/m.exec(status(tid))?.[1]
    const [vcpu0, vcpu1, iothread1, iothread2] = others as [string, string, string, string]
    t.same([String(qemu), vcpu0, iothread2].map(allowed), [cpus, cpus, cpus])
    const policy = (tid: string) => /SCHED_\w+/.exec(spawnSync('chrt', ['-p', tid], { encoding: 'utf8' }).stdout)?.[0]
    t.same([String(qemu), vcpu0, vcpu1, iothread1, iothread2].map(policy), [
      'SCHED_BATCH',
      'SCHED_OTHER',
      'SCHED_IDLE',
      'SCHED_BATCH',
      'SCHED_OTHER'
    ])
  }
  check()

  const told = [
    'SchedulerParametersFlags',
    'MemoryParameters',
    'BlkioParameters',
    'NumaParameters',
    'PerfEvents',
    'VcpuPinInfo',
    'EmulatorPinInfo',
    'IOThreadInfo'
  ]
  const live = () => Promise.all(told.map(async what => (await shim.call(`virDomainGet${what}`, { flags: 1 })).body))
  const before = await live()
  t.match(before, [
    { params: { cpu_shares: 700, vcpu_period: 50000, vcpu_quota: 40000, emulator_quota: 90000, global_quota: -1 } },
    { params: { hard_limit: 900 << 10, soft_limit: 800 << 10 } },
    { params: { weight: 250 } },
    { params: { numa_mode: 0, numa_nodeset: '0' } },
    { params: { cpu_clock: true, page_faults: true, task_clock: false } }
  ])
  // what calls have changed is as lasting as what the definition said
  const changes: [what: string, params: object][] = [
    ['SchedulerParametersFlags', { global_quota: 95_000 }],
    ['MemoryParameters', { swap_hard_limit: 1000 << 10 }],
    ['PerfEvents', { page_faults: false, task_clock: true }]
  ]
  for (const [what, params] of changes) await shim.call(`virDomainSet${what}`, { params, flags: 1 })
  const changed = await live()
  for (const [what, params] of changes) t.match(changed[told.indexOf(what)], { params })
  const element = async (name: string) =>
    new RegExp(`<${name}>.*</${name}>`, 's').exec((await shim.call('virDomainGetXMLDesc')).body.xml)?.[0]
  const elements = () => Promise.all(['cputune', 'memtune', 'blkiotune', 'numatune', 'perf'].map(element))
  const shown = await elements()
  t.notOk(shown.includes(undefined))
  shim.child?.kill('SIGKILL')
  await exited
  const again = shim.start()
  await shim.untilState(RUNNING, 60_000)
  check()
  t.same(await live(), changed)
  t.same(await elements(), shown)
  t.match((await shim.call('virDomainGetXMLDesc')).body.xml, /<emulatorsched scheduler='batch'\/>/)
  await shim.call('virDomainDestroy', {})
  t.equal(await again, 0)
  t.same(leftovers(shim.root, name), [])
})

t.test(
  'a guest of which nothing is asked has no groups of threads until there is something to set',
  { skip },
  async t => {
    const name = `t-tuning-none-${process.pid}`
    const shim = new Shim(bareGuest(name))
    t.teardown(() => shim.end())
    const exited = shim.start()
    await shim.untilState(RUNNING, 60_000)
    const [qemu] = processesNaming(`path=${shim.root}/qmp.sock`)
    const inside = () =>
      readdirSync(groupOf(qemu!, name, 'cpu')).filter(entry => entry === 'emulator' || entry === 'vcpu0')
    t.same(inside(), [])
    t.match((await shim.call('virDomainGetSchedulerParameters')).body, {
      params: { cpu_shares: 1024, vcpu_period: 100000, vcpu_quota: -1 }
    })
    t.same(inside(), [], 'to look is not to set')
    t.same((await shim.call('virDomainSetSchedulerParameters', { params: { vcpu_quota: 50000 } })).body, {})
    t.ok(inside().includes('vcpu0'))
    // as a process of ours leaves it that is killed in the middle
    const group = groupOf(qemu!, name, 'cpu')
    writeFileSync(join(group, 'cgroup.procs'), String(qemu))
    rmdirSync(join(group, 'vcpu0'))
    t.same((await shim.call('virDomainSetSchedulerParameters', { params: { vcpu_quota: 40000 } })).body, {})
    t.equal(readFileSync(join(group, 'vcpu0/cpu.cfs_quota_us'), 'utf8'), '40000\n')
    t.not(readFileSync(join(group, 'emulator/tasks'), 'utf8'), '')
    t.equal(readFileSync(join(group, 'tasks'), 'utf8'), '')
    t.match((await shim.call('virDomainGetCPUStats', { startCpu: 0, ncpus: 1 })).status, 200)
    await shim.call('virDomainDestroy', {})
    t.equal(await exited, 0)
    t.same(leftovers(shim.root, name), [])
  }
)

t.test(
  'a user without privileges has what its own groups allow, where libvirt’s session has nothing',
  { skip },
  async t => {
    const name = `t-tuning-user-${process.pid}`
    const user = userId('nobody')
    const owns = ['cpu', 'memory'].map(controller => {
      const { mount } = hierarchies().find(one => one.version === 1 && one.controllers.includes(controller))!
      return join(mount, `t-tuning-own-${process.pid}`)
    })
    const tuning = '<memtune><hard_limit unit="MiB">800</hard_limit></memtune><cputune><quota>60000</quota></cputune>'
    const shim = new Shim(bareGuest(name).replace('<os>', `${tuning}<os>`))
    t.teardown(async () => {
      await shim.end()
      for (const own of owns) for (const path of [join(own, 'machine'), own]) if (existsSync(path)) rmdirSync(path)
    })
    for (const own of owns) {
      mkdirSync(own)
      for (const file of ['', 'cgroup.procs', 'tasks']) chownSync(join(own, file), user, -1)
    }
    chmodSync(shim.dir, 0o711)
    chmodSync(shim.xmlFile, 0o644)
    mkdirSync(shim.root)
    chownSync(shim.root, user, -1)
    const program = join(shim.dir, 'start')
    const enter = owns.map(own => `echo $$ > ${own}/cgroup.procs; `).join('')
    const drop = 'setpriv --reuid=nobody --regid=nogroup --clear-groups'
    const virshimd = `${process.cwd()}/bin/virshimd --root ${shim.root} ${shim.xmlFile}`
    writeFileSync(program, `${enter}export XDG_CACHE_HOME=${shim.root}/cache; exec ${drop} ${virshimd}\n`)
    const exited = shim.run('sh', [program])
    await shim.untilState(RUNNING, 60_000)
    t.match((await shim.call('virDomainGetMemoryParameters', {})).body, { params: { hard_limit: 800 << 10 } })
    t.match((await shim.call('virDomainGetSchedulerParameters')).body, { params: { vcpu_quota: 60000 } })
    const params = { global_quota: 90000, cpu_shares: 300 }
    t.same((await shim.call('virDomainSetSchedulerParameters', { params })).body, {})
    t.match((await shim.call('virDomainGetSchedulerParameters')).body, { params })
    await shim.call('virDomainDestroy', {})
    t.equal(await exited, 0)
    for (const own of owns)
      t.same(
        readdirSync(join(own, 'machine')).filter(entry => entry.startsWith('qemu-')),
        []
      )
  }
)

t.test('what the kernel refuses ends the start and leaves nothing', { skip }, async t => {
  const refused: [what: string, tuning: string, message: RegExp, status?: number][] = [
    ['shares', '<cputune><shares>1</shares></cputune>', /shares '1' must be in range \[2, 262144\]/],
    ['cpus', "<cputune><emulatorpin cpuset='16000'/></cputune>", /cannot set CPU affinity on process \d+: Invalid/],
    ['vcpu', "<cputune><vcpupin vcpu='0' cpuset='16000'/></cputune>", /cpuset.cpus/],
    [
      'blkio',
      '<blkiotune><device><path>/dev/null</path><weight>5</weight></device></blkiotune>',
      /must be a block dev/
    ],
    [
      'priority',
      "<cputune><emulatorsched scheduler='rr' priority='0'/></cputune>",
      /Scheduler priority 0 out of range \[1, 99\]/,
      BAD_XML
    ],
    ['perf', "<perf><event name='cmt' enabled='yes'/></perf>", /unable to enable host cpu perf event for cmt/]
  ]
  for (const [what, tuning, message, status = FAILED] of refused) {
    const xml = bareGuest(`t-tuning-${what}-${process.pid}`).replace('<os>', `${tuning}<os>`)
    await refuses(t, { xml, status, message, limitMs: 60_000 })
  }
})

t.test('without control groups a limit of CPU time is refused, as in libvirt', async t => {
  const xml = bareGuest(`t-tuning-bare-${process.pid}`).replace(
    '<os>',
    "<cputune><quota>5000</quota></cputune><resource register='none'/><os>"
  )
  const message = /cgroup cpu is required for scheduler tuning/
  await refuses(t, { xml, status: BAD_XML, message, limitMs: 60_000 })
})
