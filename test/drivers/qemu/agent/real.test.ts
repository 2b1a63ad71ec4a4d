// The real qemu-ga in a real guest: what calls on the inside of a guest do there, by the guest's own view.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { BootedGuest, DIRECT_BOOT, makeGuestFiles } from '../../../helper/booted-guest.ts'

t.setTimeout(600_000)

const PMSUSPENDED = 7
const RUNNING = 1
const STATE_LIMIT_MS = 120_000

const dir = mkdtempSync(join(tmpdir(), 'virshim-agent-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
makeGuestFiles()
const image = join(dir, 'disk.img')
spawnSync('qemu-img', ['create', '-q', '-f', 'raw', image, '16M'])

const guest = await BootedGuest.boot(`<domain type='qemu'><name>t-agent-${process.pid}</name>
  <memory unit='MiB'>256</memory><vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>${DIRECT_BOOT}</os><features><acpi/></features>
  <pm><suspend-to-mem enabled='yes'/></pm>
  <devices><serial type='pty'/>
    <disk type='file' device='disk'><driver name='qemu' type='raw' discard='unmap'/><source file='${image}'/>
      <target dev='vda' bus='virtio'/></disk>
    <interface type='user'><mac address='52:54:00:aa:bb:cc'/><model type='virtio'/></interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`)
t.teardown(() => guest.end())

/** What an API gives. @throws Error with the error it gives instead */
async function call(api: string, args: object = {}) {
  const { status, body } = await guest.shim.call(api, args)
  if (status !== 200) throw new Error(`${body.codeName}: ${body.message}`)
  return body
}

await guest.run(
  'ln -s /bin/busybox /sbin/hwclock; mke2fs /dev/vda; mkdir /mnt; mount -t ext4 /dev/vda /mnt; mkdir -p /root'
)

t.test('file systems', async t => {
  const { info } = await call('virDomainGetFSInfo')
  t.match(info, [{ mountpoint: '/mnt', name: 'vda', fstype: 'ext4', devAliases: ['vda'] }])
  t.same(await call('virDomainFSFreeze', {}), { filesystems: 1 })
  const { body } = await guest.agent('guest-fsfreeze-status')
  t.equal(JSON.parse(body.result).return, 'frozen')
  await t.rejects(
    call('virDomainFSFreeze'),
    /VIR_ERR_AGENT_COMMAND_FAILED: .*(frozen|freeze has been disabled)/,
    'twice'
  )
  await t.rejects(call('virDomainGetFSInfo'), /VIR_ERR_AGENT_COMMAND_FAILED/, 'nothing else is done meanwhile')
  t.same(await call('virDomainFSThaw'), { filesystems: 1 })
  t.equal(await guest.run('echo kept >/mnt/file; cat /mnt/file'), 'kept', 'it can be written to again')
  t.same(await call('virDomainFSFreeze', { mountpoints: ['/nosuch'] }), { filesystems: 0 })
  t.same(await call('virDomainFSThaw'), { filesystems: 0 })
  t.same(await call('virDomainFSTrim'), {})
})

t.test('facts', async t => {
  t.same(await call('virDomainGetHostname'), { hostname: 'tiny' })
  const { params } = await call('virDomainGetGuestInfo')
  t.match(params, {
    'os.machine': 'x86_64',
    'os.kernel-release': await guest.run('uname -r'),
    'timezone.offset': 0,
    hostname: 'tiny',
    'fs.count': 1,
    'fs.0.mountpoint': '/mnt',
    'fs.0.disk.0.alias': 'vda',
    'disk.0.name': /^\/dev\//
  })
  const macs = Object.entries(params).filter(([name]) => /^if\.\d+\.hwaddr$/.test(name))
  t.ok(macs.some(([, mac]) => mac === '52:54:00:aa:bb:cc'))
  const { ifaces } = await call('virDomainInterfaceAddresses', { source: 1 })
  t.match(
    ifaces.find(({ name }: { name: string }) => name === 'lo'),
    { addrs: [{ type: 0, addr: '127.0.0.1', prefix: 8 }] }
  )
  const known: { name: string }[] = JSON.parse((await guest.agent('guest-info')).body.result).return.supported_commands
  const load = call('virDomainGetGuestInfo', { types: 128 })
  if (known.some(({ name }) => name === 'guest-get-load')) t.match(await load, { params: { 'load.1m': Number } })
  else await t.rejects(load, /VIR_ERR_AGENT_COMMAND_FAILED: .*guest-get-load/)
})

t.test('time', async t => {
  t.same(await call('virDomainSetTime', { seconds: 1_500_000_000 }), {})
  const within = (seconds: number) => t.ok(seconds >= 1_500_000_000 && seconds < 1_500_000_600)
  within(Number(await guest.run('date +%s')))
  within((await call('virDomainGetTime')).seconds)
})

t.test('passwords and keys', async t => {
  await guest.run('echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group')
  // it takes what the agent would have it set
  const script = '#!/bin/sh\ncat >/root/said; printf "%s\\n" "$@" >>/root/said\n'
  await guest.run(`echo ${Buffer.from(script).toString('base64')} | base64 -d >/bin/chpasswd; chmod 755 /bin/chpasswd`)
  t.same(await call('virDomainSetUserPassword', { user: 'root', password: 'gehäim:' }), {})
  t.equal(await guest.run('head -n 1 /root/said'), 'root:gehäim:')
  t.same(await call('virDomainSetUserPassword', { user: 'root', password: '$6$x', flags: 1 }), {})
  t.equal(await guest.run('cat /root/said'), 'root:$6$x\n-e')
  const keys = ['ssh-ed25519 AAAA a', 'ssh-ed25519 BBBB b']
  t.same(await call('virDomainAuthorizedSSHKeysSet', { user: 'root', keys }), {})
  t.equal(await guest.run('cat /root/.ssh/authorized_keys'), keys.join('\n'))
  t.same(await call('virDomainAuthorizedSSHKeysSet', { user: 'root', keys: ['ssh-rsa C'], flags: 1 }), {})
  t.same(await call('virDomainAuthorizedSSHKeysSet', { user: 'root', keys: keys.slice(0, 1), flags: 2 }), {})
  t.same(await call('virDomainAuthorizedSSHKeysGet', { user: 'root' }), { keys: ['ssh-rsa C', keys[1]] })
  t.same(await call('virDomainAuthorizedSSHKeysSet', { user: 'root' }), {})
  t.same(await call('virDomainAuthorizedSSHKeysGet', { user: 'root' }), { keys: [] })
  await t.rejects(call('virDomainAuthorizedSSHKeysGet', { user: 'nobody' }), /VIR_ERR_AGENT_COMMAND_FAILED/)
})

t.test('CPUs', async t => {
  const online = () => guest.run('cat /sys/devices/system/cpu/online')
  t.same((await call('virDomainGetGuestVcpus')).params, { vcpus: '0-1', online: '0-1', offlinable: '1' })
  t.same(await call('virDomainSetGuestVcpus', { cpumap: '1', state: 0 }), {})
  t.equal(await online(), '0')
  t.same(await call('virDomainGetVcpusFlags', { flags: 8 }), { num: 1 })
  t.same(await call('virDomainSetGuestVcpus', { cpumap: '0-1', state: 1 }), {})
  t.equal(await online(), '0-1')
  await t.rejects(call('virDomainSetGuestVcpus', { cpumap: '0', state: 0 }), /vCPU '0' is not offlinable/)
})

t.test('an agent that hangs', async t => {
  t.same(await call('virDomainAgentSetResponseTimeout', { timeout: 1 }), {})
  await guest.agent('guest-exec', {
    path: 'sh',
    arg: ['-c', 'sleep 1; kill -STOP $(cat /run/qemu-ga.pid); sleep 5; kill -CONT $(cat /run/qemu-ga.pid)']
  })
  let failure = ''
  while (failure === '')
    failure = await call('virDomainGetHostname').then(
      () => '',
      (error: Error) => error.message
    )
  t.match(failure, /^VIR_ERR_NO_HOSTNAME/)
  t.match(
    await call('virDomainFSThaw').then(
      () => '',
      (error: Error) => error.message
    ),
    /^VIR_ERR_AGENT_UNRESPONSIVE/
  )
  await guest.untilAgent()
  t.equal(await guest.run('hostname'), 'tiny', 'afterwards it is as good as ever')
})

t.test('sleep', async t => {
  t.same(await call('virDomainPMSuspendForDuration', { target: 0 }), {})
  await guest.shim.untilState(PMSUSPENDED, STATE_LIMIT_MS)
  await t.rejects(call('virDomainFSFreeze'), /VIR_ERR_OPERATION_INVALID/)
  await t.rejects(call('virDomainResume'), /domain is pmsuspended/)
  t.same(await call('virDomainPMWakeup'), {})
  await guest.shim.untilState(RUNNING, STATE_LIMIT_MS)
  await guest.untilAgent()
  t.equal(await guest.run('cat /mnt/file'), 'kept', 'it goes on where it was')
})
