// What KubeVirt's launcher calls on a guest (docs/kubevirt.md), of a shim that runs as it would in a pod: another user
// than root, root of a user namespace of its own alone, with mounts of its own and the control group it was given. That
// is one it may not change, one of v1 that is its own in each hierarchy, and one of v2 with a namespace of its own.
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
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DIRECT_BOOT, makeGuestFiles } from '../helper/booted-guest.ts'
import { Shim } from '../helper/shim.ts'

t.setTimeout(600_000)

const NOBODY = 65534
const RUNNING = 1
const PAUSED = 3
const BOOT_LIMIT_MS = 240_000
const NAME = `t-pod-${process.pid}`

const POD = [
  'setpriv',
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  '--clear-groups',
  'unshare',
  '--user',
  '--map-root-user',
  '--mount',
  '--ipc'
]
const [program, ...options] = POD as [string, ...string[]]
const canMakePods = process.getuid?.() === 0 && spawnSync(program, [...options, 'true']).status === 0

const disk = (target: string, file: string, more = '') =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${file}'/><target dev='${target}' bus='virtio'/>${more}</disk>`
const CGROUPS = '/sys/fs/cgroup'
const skip = !canMakePods && 'takes root and user namespaces'
const hasV1 = existsSync(join(CGROUPS, 'cpu', 'cpu.shares')) && existsSync(join(CGROUPS, 'cpuset', 'cpuset.cpus'))
const v2 = [CGROUPS, join(CGROUPS, 'unified')].find(path => existsSync(join(path, 'cgroup.controllers')))

/** Gives a control group to the pod's user, as a container's engine does. */
function handOver(group: string): void {
  for (const path of [group, ...readdirSync(group).map(file => join(group, file))]) chownSync(path, NOBODY, NOBODY)
}

/** A shell that moves into control groups and becomes what follows. */
const entering = (groups: string[]) => [
  'sh',
  '-c',
  `${groups.map(group => `echo $$ > ${group}/cgroup.procs`).join('; ')}; exec "$@"`,
  'sh'
]

function removeGroups(group: string): void {
  if (!existsSync(group)) return
  for (const entry of readdirSync(group, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroups(join(group, entry.name))
  rmdirSync(group)
}

/** One for each device of the start and the two that come. */
const PORTS = "<controller type='pci' model='pcie-root-port'/>".repeat(6)
const CARD = "<interface type='user'><mac address='52:54:00:0d:00:01'/><model type='virtio'/></interface>"

/** A pod: the program that enters it, before the shim's own words, and what the guest's definition says of the host. */
interface Pod {
  enter: string[]
  outside: string
}

/** A shim in a pod whose guest runs. */
async function launched(t: Test, { enter, outside }: Pod): Promise<{ shim: Shim; ended: Promise<number | string> }> {
  makeGuestFiles()
  const shim = new Shim('')
  t.teardown(() => shim.end())
  chmodSync(shim.dir, 0o755)
  chownSync(shim.dir, NOBODY, NOBODY)
  for (const name of ['vda', 'vdb']) {
    const file = imageOf(shim, name)
    writeFileSync(file, Buffer.alloc(1024 * 1024))
    chownSync(file, NOBODY, NOBODY)
  }
  writeFileSync(
    shim.xmlFile,
    `<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>256</memory><vcpu current='1'>2</vcpu>${outside}
      <metadata><v:x xmlns:v='urn:v'>y</v:x></metadata>
      <os><type arch='x86_64' machine='q35'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
      <devices><controller type='pci' index='0' model='pcie-root'/><controller type='pci' model='pcie-root-port'/>${PORTS}${disk('vda', imageOf(shim, 'vda'))}
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <serial type='pty'/><graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>
        <memballoon model='virtio'/></devices></domain>`
  )
  const [program, ...options] = enter as [string, ...string[]]
  const ended = shim.run(program, [...options, 'bin/virshimd', '--root', shim.root, shim.xmlFile])
  await shim.untilState(RUNNING, BOOT_LIMIT_MS)
  return { shim, ended }
}

const imageOf = ({ dir }: Shim, name: string) => join(dir, `${name}.img`)

/** Calls on a shim: those that must succeed, with what they give, and those that are refused with a code. */
function callsOn(t: Test, shim: Shim) {
  return {
    async does(api: string, args: object = {}) {
      const { status, body } = await shim.call(api, args)
      t.equal(status, 200, `${api} ${JSON.stringify(args)} ${body.message ?? ''}`)
      return body
    },
    refused: async (api: string, args: object, codeName: string) =>
      t.match((await shim.call(api, args)).body, { codeName }, `${api} ${JSON.stringify(args)}`)
  }
}

const LIVE = ['VIR_DOMAIN_AFFECT_LIVE']

/** All that the launcher calls on a guest, to its end. */
async function everyCall(t: Test, shim: Shim): Promise<void> {
  const image = (name: string) => imageOf(shim, name)
  const live = LIVE
  const { does, refused } = callsOn(t, shim)
  const agent = (execute: string) =>
    shim.call('virDomainQemuAgentCommand', { cmd: JSON.stringify({ execute }), timeout: -1, flags: 0 })
  for (const deadline = Date.now() + BOOT_LIMIT_MS; (await agent('guest-ping')).status !== 200; await sleep(100)) {
    if (Date.now() > deadline) throw new Error(`no agent answers: ${shim.stderr}`)
  }

  t.equal((await does('virDomainGetState')).state, RUNNING)
  t.match((await does('virDomainGetXMLDesc')).xml, /<name>t-pod/)
  t.equal((await does('virDomainGetName')).name, NAME)
  await does('virDomainGetUUIDString')
  await does('virDomainScreenshot', { screen: 0 })
  t.match((await does('virDomainGetMetadata', { type: 2, uri: 'urn:v', flags: live })).metadata, />y</)
  await does('virDomainMemoryStats')
  await does('virDomainGetBlockInfo', { disk: 'vda' })
  await does('virDomainGetDiskErrors')
  await does('virDomainGetJobInfo')
  await does('virDomainGetJobStats')
  for (const api of ['virDomainAbortJob', 'virDomainAbortJobFlags', 'virDomainCreate', 'virDomainCreateWithFlags'])
    await refused(api, {}, 'VIR_ERR_OPERATION_INVALID')
  await refused('virDomainSetLaunchSecurityState', { params: { 'sev-secret': 'x' } }, 'VIR_ERR_OPERATION_UNSUPPORTED')
  await does('virConnectGetAllDomainStats', { stats: 0, flags: 0 })
  await does('virDomainInterfaceAddresses', { source: 'VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT' })

  await does('virDomainSuspend')
  await shim.untilState(PAUSED)
  await does('virDomainResume')

  await does('virDomainAttachDevice', { xml: disk('vdb', image('vdb')) })
  await does('virDomainAttachDeviceFlags', { xml: CARD, flags: live })
  await does('virDomainUpdateDeviceFlags', { xml: CARD.replace('</i', "<link state='down'/></i"), flags: live })
  await does('virDomainDetachDeviceFlags', { xml: CARD, flags: live })
  await does('virDomainDetachDevice', { xml: disk('vdb', image('vdb')) })
  await does('virDomainBlockResize', { disk: 'vda', size: 2048 })
  await does('virDomainSetVcpusFlags', { nvcpus: 2, flags: live })
  await does('virDomainPinVcpuFlags', { vcpu: 0, cpumap: [true], flags: live })
  await does('virDomainPinEmulator', { cpumap: [true], flags: live })
  await does('virDomainGetVcpuPinInfo', { flags: live })
  await does('virDomainGetEmulatorPinInfo', { flags: live })

  await does('virDomainSetTime', { seconds: 1_700_000_000 })
  await does('virDomainGetTime')
  await does('virDomainGetGuestInfo', { types: 0, flags: 0 })
  await does('virDomainAuthorizedSSHKeysSet', { user: 'root', keys: ['ssh-ed25519 AAAA test'], flags: 0 })
  t.same((await does('virDomainAuthorizedSSHKeysGet', { user: 'root', flags: 0 })).keys, ['ssh-ed25519 AAAA test'])
  t.same((await does('virDomainGetLaunchSecurityInfo', { flags: 0 })).params, {})

  await does('virDomainFSFreeze')
  await does('virDomainFSThaw')
  // one that stands still does not end before it is reset
  await does('virDomainSuspend')
  await does('virDomainReboot')
  await refused('virDomainShutdownFlags', {}, 'VIR_ERR_OPERATION_INVALID')
  await does('virDomainReset')
}

/** Limits, by what virDomainSet… and virDomainGet… call them. */
const LIMITS: [parameters: string, params: Record<string, number | string>][] = [
  ['SchedulerParametersFlags', { cpu_shares: 600 }],
  ['SchedulerParametersFlags', { vcpu_period: 20_000, vcpu_quota: 15_000 }],
  ['SchedulerParametersFlags', { emulator_quota: 90_000 }],
  ['SchedulerParametersFlags', { iothread_quota: 80_000 }],
  ['SchedulerParametersFlags', { global_quota: 190_000 }],
  ['MemoryParameters', { hard_limit: 900_000 }],
  ['MemoryParameters', { soft_limit: 800_000 }],
  ['NumaParameters', { numa_nodeset: '0' }]
]

/** Limits that no group of the guest can have: each is told of, nothing is changed. */
async function refusesLimits(t: Test, shim: Shim): Promise<void> {
  const { does, refused } = callsOn(t, shim)
  for (const [what, params] of [...LIMITS, ['BlkioParameters', { weight: 300 }] as const])
    await refused(`virDomainSet${what}`, { params, flags: LIVE }, 'VIR_ERR_OPERATION_INVALID')
  t.notMatch((await does('virDomainGetXMLDesc')).xml, /<(shares|\w*quota|\w*_limit|weight|numatune)\b/)
}

const TUNED = `<iothreads>1</iothreads>
  <cputune><shares>500</shares><period>10000</period><quota>9000</quota><vcpupin vcpu='0' cpuset='0'/></cputune>
  <memtune><hard_limit unit='KiB'>1000000</hard_limit></memtune><numatune><memory mode='restrictive' nodeset='0'/></numatune>`

t.test('in a control group that belongs to the host', { skip }, async t => {
  const { shim, ended } = await launched(t, { enter: POD, outside: "<resource register='none'/>" })
  await everyCall(t, shim)
  await refusesLimits(t, shim)
  await callsOn(t, shim).does('virDomainDestroyFlags')
  t.equal(await ended, 0)
})

const V1 = ['cpu', 'cpuacct', 'cpuset', 'memory', 'blkio']

t.test('in control groups of v1 that were handed over', { skip: skip || !hasV1 }, async t => {
  const groups = V1.map(controller => join(CGROUPS, controller, NAME))
  t.teardown(() => groups.forEach(removeGroups))
  for (const group of groups) {
    mkdirSync(group)
    for (const file of ['cpuset.cpus', 'cpuset.mems'].filter(file => existsSync(join(group, file))))
      writeFileSync(join(group, file), readFileSync(join(group, '..', file)))
    handOver(group)
  }
  const { shim, ended } = await launched(t, { enter: [...entering(groups), ...POD], outside: TUNED })
  const { does } = callsOn(t, shim)
  const file = (controller: string, name: string, part = '') => {
    const [own] = readdirSync(join(CGROUPS, controller, NAME, 'machine')).filter(name => name.startsWith('qemu-'))
    return readFileSync(join(CGROUPS, controller, NAME, 'machine', own ?? 'none', part, name), 'utf8').trim()
  }
  t.equal(file('cpu', 'cpu.shares'), '500')
  t.equal(file('cpu', 'cpu.cfs_quota_us', 'vcpu0'), '9000')
  t.equal(file('cpuset', 'cpuset.cpus', 'vcpu0'), '0')
  t.equal(file('cpuset', 'cpuset.mems', 'emulator'), '0')
  t.equal(file('memory', 'memory.limit_in_bytes'), String(1_000_000 * 1024))
  for (const [what, params] of LIMITS) {
    await does(`virDomainSet${what}`, { params, flags: LIVE })
    t.match((await does(`virDomainGet${what}`, { flags: LIVE })).params, params)
  }
  t.equal(file('cpu', 'cpu.shares'), '600')
  t.equal(file('cpu', 'cpu.cfs_quota_us', 'vcpu0'), '15000')
  t.equal(file('cpu', 'cpu.cfs_quota_us', 'iothread1'), '80000')
  t.equal(file('memory', 'memory.limit_in_bytes'), String(900_000 * 1024))
  await does('virDomainPinIOThread', { iothread_id: 1, cpumap: [true], flags: LIVE })
  t.equal(file('cpuset', 'cpuset.cpus', 'iothread1'), '0')
  t.equal((await does('virDomainGetCPUStats', { startCpu: 0, ncpus: 1, flags: 0 })).params.length, 1)
  await everyCall(t, shim)
  t.equal(file('cpu', 'cpu.cfs_quota_us', 'vcpu1'), '15000', 'a vCPU that has come has the same')
  await does('virDomainDestroyFlags')
  t.equal(await ended, 0)
  t.same(
    readdirSync(join(CGROUPS, 'cpu', NAME, 'machine')).filter(name => name.startsWith('qemu-')),
    []
  )
})

t.test('in a control group of v2 of its own', { skip: skip || !v2 }, async t => {
  const group = join(v2!, NAME)
  t.teardown(() => removeGroups(group))
  mkdirSync(group)
  handOver(group)
  // v2 alone, seen from its own top, as a rootless container sees it
  const alone = ['unshare', '--mount', 'sh', '-c', `umount -l -R ${CGROUPS} && exec "$@"`, 'sh']
  const [setpriv, ...namespaces] = [POD.slice(0, 4), ...POD.slice(4)] as [string[], ...string[]]
  const mounting = ['sh', '-c', `mount -t cgroup2 none ${CGROUPS} && exec "$@"`, 'sh']
  const enter = [...entering([group]), ...alone, ...setpriv, ...namespaces, '--cgroup', ...mounting]
  const { shim, ended } = await launched(t, { enter, outside: '' })
  t.ok(
    readdirSync(join(group, 'machine')).some(name => name.startsWith('qemu-')),
    'the guest has one below it'
  )
  // its controllers belong to v1 here
  await refusesLimits(t, shim)
  const { does } = callsOn(t, shim)
  // it has not booted yet
  await does('virDomainShutdownFlags')
  await does('virDomainDestroyFlags')
  t.equal(await ended, 0)
})
