// Files handed to a QEMU that runs, each with the command that takes it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { PassedFiles } from '../../../../src/drivers/qemu/hotplug/passed-files.ts'
import { Plug } from '../../../../src/drivers/qemu/hotplug/plug.ts'
import { connectQmp, type QmpMonitor } from '../../../../src/drivers/qemu/monitor/qmp.ts'
import { IFF } from '../../../../src/host/made-files.ts'
import { pausedQemu } from '../../../helper/paused-qemu.ts'
import { QmpPeer, refuses } from '../../../helper/stand-in-qemu.ts'

const XML = `<domain type='qemu'><name>passed-files-${process.pid}</name><memory>32768</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>`

/** A guest, as far as the files are concerned; `saved` is what status.json was told of its sets. */
function guestOf(qmp: QmpMonitor) {
  const saved: number[] = []
  const running = { fdsetIndex: 3 }
  const domain = { qmp, running, save: () => void saved.push(running.fdsetIndex) } as unknown as QemuDomain
  return { domain, saved }
}

const sets = async (qmp: QmpMonitor) =>
  (await qmp.execute<{ 'fdset-id': number; fds: { opaque: string }[] }[]>('query-fdsets')).map(set => [
    Number(set['fdset-id']),
    set.fds.map(({ opaque }) => opaque)
  ])

t.test('a real QEMU takes them, many at once', async t => {
  const guest = await pausedQemu(t, XML, () => false)
  const { qmp } = guest
  const { domain, saved } = guestOf(qmp)
  const files = new PassedFiles(domain)
  const plug = new Plug(guest, { passFd: files })
  const warn = (error: unknown) => t.fail(String(error))
  t.equal(plug.fd({ name: 'null', path: '/dev/null' }), 'null')
  t.equal(plug.fd({ name: 'zero', path: '/dev/zero', set: true }), '/dev/fdset/3')
  t.equal(plug.fd({ name: 'full', path: '/dev/full', set: true }), '/dev/fdset/4')
  t.equal(plug.fd({ name: 'gone', path: '/nowhere' }), undefined)
  t.equal(plug.fd({ name: 'tap' }), undefined, 'a tap of nobody who made one')
  t.same(saved, [4, 5], 'before QEMU has them')
  await plug.execute(qmp, warn)
  t.same((await sets(qmp)).sort(), [
    [3, ['zero']],
    [4, ['full']]
  ])
  const others = [1, 2, 3, 4].map(number => ({ name: `file${number}`, path: '/dev/null' }))
  await Promise.all([
    ...others.map(({ name, path }) => files.pass(path, 'getfd', { fdname: name })),
    qmp.execute('query-status')
  ])
  for (const { name } of others) await qmp.execute('closefd', { fdname: name })
  // QEMU closes none of a set while the guest is paused
  await qmp.execute('cont')
  await plug.takeBack(qmp, warn)
  t.same(await sets(qmp), [])
  await t.rejects(qmp.execute('closefd', { fdname: 'null' }), /not found/)
})

t.test('a tap that is made for it', { skip: !canMakeTaps() && 'taps cannot be made here' }, async t => {
  const name = `vsf${process.pid % 100000}`
  spawnSync('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap'])
  t.teardown(() => spawnSync('ip', ['link', 'delete', name]))
  const guest = await pausedQemu(t, XML, () => false)
  const { qmp } = guest
  const files = new PassedFiles(guestOf(qmp).domain)
  const plug = new Plug(guest, { passFd: files })
  files.makeTap('tapfd0-net0', { tap: name, flags: IFF.TAP | IFF.NO_PI })
  plug.netdev({ type: 'tap', fd: plug.fd({ name: 'tapfd0-net0' }), id: 'hostnet0' })
  const carrier = () => spawnSync('ip', ['-br', 'link', 'show', 'dev', name], { encoding: 'utf8' }).stdout
  spawnSync('ip', ['link', 'set', name, 'up'])
  t.match(carrier(), /NO-CARRIER/)
  await plug.execute(qmp, error => t.fail(String(error)))
  t.notMatch(carrier(), /NO-CARRIER/, 'QEMU has its other end')
  await plug.takeBack(qmp, error => t.fail(String(error)))
  t.match(carrier(), /NO-CARRIER/, 'nobody has it any more')
  files.close()
})

function canMakeTaps(): boolean {
  const name = `vsp${process.pid % 100000}`
  const { status } = spawnSync('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap'])
  spawnSync('ip', ['link', 'delete', name])
  return status === 0
}

async function standIn(t: Test) {
  const dir = mkdtempSync(join(tmpdir(), 'passed-files-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const peer = await new QmpPeer({}).listen(join(dir, 'qmp'))
  t.teardown(() => peer.close())
  const qmp = await connectQmp(join(dir, 'qmp'))
  t.teardown(() => qmp.close())
  return { peer, qmp, files: new PassedFiles(guestOf(qmp).domain) }
}

t.test('what fails on the way', async t => {
  const { peer, qmp, files } = await standIn(t)
  peer.answers.getfd = refuses('No file descriptor supplied via SCM_RIGHTS')
  await t.rejects(files.pass('/dev/null', 'getfd', { fdname: 'x' }), /'getfd': No file descriptor supplied/)
  await t.rejects(files.pass('/nowhere', 'getfd', { fdname: 'y' }), /Failed to open file '\/nowhere'/)
  t.equal(peer.commands.length, 1, 'QEMU is not told of a file it does not get')
  peer.answers['query-status'] = {}
  await qmp.execute('query-status')
  const passing = files.pass('/dev/null', 'add-fd', { 'fdset-id': 1 })
  peer.hangUp()
  await t.rejects(passing, 'the monitor goes away')
})
