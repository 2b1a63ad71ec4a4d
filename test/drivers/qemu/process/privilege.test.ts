// A QEMU started by root: with no capabilities it does not need, and as an unprivileged user when asked to.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { memoryLockLimit } from '../../../../src/drivers/qemu/process/memory-lock.ts'
import { withLeastPrivilege } from '../../../../src/drivers/qemu/process/privilege.ts'
import { primaryGroupId, userId } from '../../../../src/host/ids.ts'
import { ownerIds } from '../../../../src/host/owner.ts'
import { define, errorOf } from '../../../helper/definition.ts'
import { processesNaming } from '../../../helper/processes.ts'
import { leftovers } from '../../../helper/refusal.ts'
import { bareGuest, Shim } from '../../../helper/shim.ts'

const skip = process.getuid?.() !== 0 && 'only root can start QEMU as somebody else'
const RUNNING = 1

t.setTimeout(120_000)
const OVMF = '/usr/share/OVMF/OVMF_CODE_4M.fd'
const DAC_OVERRIDE = 2

t.test('groups and users that are no names', async t => {
  t.equal(ownerIds({}), undefined)
  t.same(ownerIds({ user: '+4242', group: '+7' }), { uid: 4242, gid: 7 })
  t.same(ownerIds({ user: '4242' }), { uid: 4242, gid: 4242 }, 'a user there is not has the group of its number')
  t.same(ownerIds({ user: 'nobody' }), { uid: userId('nobody'), gid: primaryGroupId(userId('nobody')) })
  t.match(await errorOf(async () => ownerIds({ user: 'no-such-user' })), /INVALID_ARG.*Failed to parse user/)
  const known = withLeastPrivilege(['qemu'], { owner: { user: 'nobody' }, dieWithUs: false })
  t.ok(known.includes('--init-groups'))
  const unknown = withLeastPrivilege(['qemu'], { owner: { user: '+4242' }, dieWithUs: true, memoryLock: 2 ** 60 })
  t.ok(unknown.includes('--clear-groups'), 'nobody knows its groups')
  t.same(unknown.slice(0, 2), ['/usr/bin/prlimit', `--memlock=${2 ** 60}:${2 ** 60}`])
  const little = { owner: {}, dieWithUs: false, memoryLock: 1 }
  t.equal(withLeastPrivilege(['qemu'], little)[0], '/usr/bin/setpriv', 'that much may be locked anyway')
})

t.test('host CPUs it is started on', async t => {
  const on = (cpus: string) => withLeastPrivilege(['qemu'], { owner: {}, dieWithUs: false, cpus })
  t.same(on('0-9000').slice(0, 3), ['/usr/bin/taskset', '-c', '0-9000'])
  t.match(
    await errorOf(async () => on('16000')),
    /SYSTEM_ERROR.*cannot set CPU affinity on process 0: Invalid argument/
  )
})

t.test('memory that has to be locked', async t => {
  const limit = async (outside: string, devices = '') => memoryLockLimit(await define(devices, { outside }))
  t.equal(await limit(''), undefined)
  const locked = '<memoryBacking><locked/></memoryBacking>'
  const bounded = '<memtune><hard_limit unit="KiB">100</hard_limit></memtune>'
  t.equal(await limit(bounded), undefined)
  t.equal(await limit(locked), 'unlimited')
  t.equal(await limit(locked + bounded), 102_400)
  const device = "<hostdev mode='subsystem' type='pci'><source><address bus='1' slot='0'/></source></hostdev>"
  t.equal(await limit('', device), (64 + 1024) * 1024 * 1024)
  const nvme = (n: number) =>
    `<disk type='nvme'><source type='pci' namespace='1'><address domain='0' bus='${n}' slot='0' function='0'/></source><target dev='vd${'ab'[n]}'/></disk>`
  t.equal(await limit('', nvme(0) + nvme(1)), (2 * 64 + 1024) * 1024 * 1024)
})

/** Fields of /proc/PID/status of the guest's QEMU. */
function statusOf(shim: Shim): Record<string, string> {
  const [pid] = processesNaming(`path=${shim.root}/`)
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n')
  return Object.fromEntries(lines.map(line => line.split(/:\s*/) as [string, string]))
}

t.test('root’s QEMU has no capability but to reach files of any owner', { skip }, async t => {
  const name = `t-privilege-${process.pid}`
  const shim = new Shim(bareGuest(name))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const status = statusOf(shim)
  t.equal(Number.parseInt(status.CapEff!, 16), DAC_OVERRIDE)
  t.equal(Number.parseInt(status.CapBnd!, 16), DAC_OVERRIDE)
  t.match(status, { NoNewPrivs: '1', Seccomp: '2', Uid: /^0\s/ })
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})

const connects = (path: string) =>
  new Promise<string>(done => {
    const socket = connect(path)
    socket.once('connect', () => done('connected'))
    socket.once('error', error => done(error.message))
    socket.once('connect', () => socket.destroy())
  })

for (const user of ['nobody', 'libvirt-qemu']) {
  const unknown = spawnSync('id', [user]).status !== 0 && `no user ${user}`
  t.test(`QEMU as ${user}`, { skip: skip || unknown || (!existsSync(OVMF) && `needs ${OVMF}`) }, async t => {
    const name = `t-privilege-${user}-${process.pid}`
    const shim = new Shim(
      bareGuest(
        name,
        `<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>
         <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
      )
        .replace(
          "machine='pc'>hvm</type>",
          `machine='q35'>hvm</type><loader readonly='yes' type='pflash'>${OVMF}</loader>
          <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>`
        )
        .replace('<memory', "<memoryBacking><source type='file'/></memoryBacking><memory")
    )
    t.teardown(() => shim.end())
    chmodSync(shim.dir, 0o711)
    let exited = shim.start('--user', user)
    await shim.untilState(RUNNING)
    const uid = userId(user)
    const gid = primaryGroupId(uid)
    const status = statusOf(shim)
    t.match(status, { NoNewPrivs: '1', Seccomp: '2', CapEff: /^0+$/, CapPrm: /^0+$/, CapBnd: /^0+$/, CapInh: /^0+$/ })
    t.same(status.Uid?.split('\t'), Array(4).fill(String(uid)))
    t.same(status.Gid?.split('\t'), Array(4).fill(String(gid)))
    const groups = spawnSync('id', ['-G', user], { encoding: 'utf8' }).stdout.trim().split(' ')
    t.same(status.Groups?.trim().split(' ').sort(), groups.sort(), 'the groups the user is in')

    const xml = (await shim.call('virDomainGetXMLDesc')).body.xml as string
    const nvram = /<nvram[^>]*>([^<]*)/.exec(xml)?.[1] ?? ''
    const vnc = /socket='([^']*)'/.exec(xml)?.[1] ?? ''
    const agent = /<source mode='bind' path='([^']*)'/.exec(xml)?.[1] ?? ''
    for (const file of [nvram, vnc, agent, join(shim.root, 'master-key.aes')]) {
      t.equal(statSync(file).uid, uid, `${file} is the user’s`)
    }
    t.equal(await connects(vnc), 'connected')
    t.ok(lstatSync(join(shim.root, 'qmp.sock')).isSymbolicLink())
    t.match(readFileSync(join(shim.root, 'status.json'), 'utf8'), `"user": "${user}"`)
    for (const ours of ['status.json', 'api.sock', 'libvirt-sock', 'log']) {
      t.match(lstatSync(join(shim.root, ours)), { uid: 0 })
      t.equal(lstatSync(join(shim.root, ours)).mode & 0o077, 0, `${ours} is out of reach`)
    }
    t.equal(statSync(shim.root).uid, 0, 'QEMU can make nothing beside our files')

    shim.child?.kill('SIGKILL')
    await exited
    exited = shim.start()
    await shim.untilState(RUNNING)
    t.equal((await shim.call('virDomainSuspend', {})).status, 200, 'taken over by a shim that was not told the user')
    t.equal((await shim.call('virDomainDestroy', {})).status, 200)
    t.equal(await exited, 0)
    t.same(leftovers(shim.root, name), ['nvram'], 'only what outlives a run is left')
    t.equal(statSync(shim.root).mode & 0o777, 0o700)
  })
}

t.test('a link the user has laid in its directory is removed, not followed', { skip }, async t => {
  const name = `t-privilege-link-${process.pid}`
  const shim = new Shim(bareGuest(name, "<graphics type='vnc'><listen type='socket'/></graphics>"))
  t.teardown(() => shim.end())
  chmodSync(shim.dir, 0o711)
  const kept = join(shim.dir, 'kept')
  mkdirSync(kept)
  const exited = shim.start('--user', 'nobody')
  await shim.untilState(RUNNING)
  const link = ['--reuid=nobody', '--clear-groups', 'ln', '-s', kept, join(shim.root, 'qemu', 'link')]
  t.equal(spawnSync('setpriv', link).status, 0)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.same(leftovers(shim.root, name), [])
  t.ok(existsSync(kept))
})
