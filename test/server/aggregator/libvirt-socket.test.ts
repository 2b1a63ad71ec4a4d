// The aggregator where libvirt's clients look for libvirtd.

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { Daemons } from '../../helper/libvirtd.ts'
import { bareGuest } from '../../helper/shim.ts'
import { runner } from '../../helper/virsh.ts'

t.setTimeout(120_000)

const dir = mkdtempSync(join(tmpdir(), 'virshim-place-'))
const daemons = new Daemons(dir)
t.teardown(() => {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
const run = runner([])
const path = join(dir, 'libvirt', 'libvirt-sock')
const uri = `qemu+unix:///system?socket=${path}`

t.test('listens there too, and leaves the place as it was', async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start('--libvirt-socket', path)
  await aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest('t-place'), flags: 0 })
  t.match(run('virsh', '-c', uri, 'list', '--name'), { status: 0, out: /^t-place$/m })
  const reader = run('virsh', '-c', `qemu+unix:///system?socket=${path}-ro`, 'destroy', 't-place')
  t.match(reader, { status: 1, err: /read only access prevents/ })

  const second = new AggregatorRun()
  t.teardown(() => second.end())
  await t.rejects(second.start('--libvirt-socket', path), /another daemon listens at '.*libvirt-sock'/)
  t.match(run('virsh', '-c', uri, 'domstate', 't-place'), { status: 0 }, 'the first one goes on')
  await aggregator.kill('SIGTERM')
  t.notOk(existsSync(path))
})

t.test("libvirt's other drivers are not looked for at its own socket", async t => {
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start('--libvirt-socket', path, '--secondary', join(dir, 'libvirt'))
  t.match(run('virsh', '-q', '-c', uri, 'net-list'), { status: 0, out: /^\s*$/ })
  t.match(run('virsh', '-q', '-c', uri, 'net-info', 'default'), { status: 1, err: /not supported/ })
})

t.test("is refused where somebody listens: libvirtd's place is taken", async t => {
  await daemons.ensure(2000)
  for (const place of [[], ['/run/libvirt/libvirt-sock']]) {
    const aggregator = new AggregatorRun()
    t.teardown(() => aggregator.end())
    await t.rejects(aggregator.start('--libvirt-socket', ...place), /another daemon listens at '\/run\/libvirt/)
    t.notOk(existsSync(join(aggregator.root, 'libvirt-sock')), 'nothing is served')
  }
  t.match(run('virsh', '-c', 'qemu:///system', 'uri'), { status: 0 })
})

t.test('a socket that nobody listens at any more is replaced', async t => {
  const server = createServer()
  const left = join(dir, 'left-sock')
  await new Promise<void>(resolve => server.listen(left, resolve))
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await t.rejects(aggregator.start('--libvirt-socket', left), /another daemon listens/)
  await new Promise(resolve => server.close(resolve))
  await aggregator.start('--libvirt-socket', left)
  t.match(run('virsh', '-c', `qemu+unix:///system?socket=${left}`, 'list'), { status: 0 })
})
