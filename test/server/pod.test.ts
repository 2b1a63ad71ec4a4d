// What KubeVirt's launcher calls on a guest (docs/kubevirt.md), of a shim that runs as it would in a pod: another user
// than root, root of a user namespace of its own alone, with mounts of its own and the control group it was given.
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
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
/** One for each device of the start and the two that come. */
const PORTS = "<controller type='pci' model='pcie-root-port'/>".repeat(6)
const CARD = "<interface type='user'><mac address='52:54:00:0d:00:01'/><model type='virtio'/></interface>"

t.test('every call of the launcher', { skip: !canMakePods && 'takes root and user namespaces' }, async t => {
  makeGuestFiles()
  const shim = new Shim('')
  t.teardown(() => shim.end())
  chmodSync(shim.dir, 0o755)
  chownSync(shim.dir, NOBODY, NOBODY)
  for (const name of ['vda', 'vdb']) {
    const file = join(shim.dir, `${name}.img`)
    writeFileSync(file, Buffer.alloc(1024 * 1024))
    chownSync(file, NOBODY, NOBODY)
  }
  const image = (name: string) => join(shim.dir, `${name}.img`)
  writeFileSync(
    shim.xmlFile,
    `<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>256</memory><vcpu current='1'>2</vcpu>
      <metadata><v:x xmlns:v='urn:v'>y</v:x></metadata><resource register='none'/>
      <os><type arch='x86_64' machine='q35'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
      <devices><controller type='pci' index='0' model='pcie-root'/><controller type='pci' model='pcie-root-port'/>${PORTS}${disk('vda', image('vda'))}
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <serial type='pty'/><graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>
        <memballoon model='virtio'/></devices></domain>`
  )
  const ended = shim.run(program, [...options, 'bin/virshimd', '--root', shim.root, shim.xmlFile])
  await shim.untilState(RUNNING, BOOT_LIMIT_MS)
  const agent = (execute: string) =>
    shim.call('virDomainQemuAgentCommand', { cmd: JSON.stringify({ execute }), timeout: -1, flags: 0 })
  for (const deadline = Date.now() + BOOT_LIMIT_MS; (await agent('guest-ping')).status !== 200; await sleep(100)) {
    if (Date.now() > deadline) throw new Error(`no agent answers: ${shim.stderr}`)
  }

  /** A call that must succeed. */
  const does = async (api: string, args: object = {}) => {
    const { status, body } = await shim.call(api, args)
    t.equal(status, 200, `${api} ${JSON.stringify(args)} ${body.message ?? ''}`)
    return body
  }
  /** A call that is refused, with that code. */
  const refused = async (api: string, args: object, codeName: string) =>
    t.match((await shim.call(api, args)).body, { codeName }, api)
  const live = ['VIR_DOMAIN_AFFECT_LIVE']

  t.equal((await does('virDomainGetState')).state, RUNNING)
  t.match((await does('virDomainGetXMLDesc')).xml, /<name>t-pod/)
  t.match((await does('virDomainGetMetadata', { type: 2, uri: 'urn:v', flags: live })).metadata, />y</)
  await does('virDomainMemoryStats')
  await does('virDomainGetBlockInfo', { disk: 'vda' })
  await does('virDomainGetDiskErrors')
  await does('virDomainGetJobInfo')
  await does('virDomainGetJobStats')
  await refused('virDomainAbortJob', {}, 'VIR_ERR_OPERATION_INVALID')
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

  await does('virDomainReset')
  await does('virDomainDestroyFlags')
  t.equal(await ended, 0)
})
