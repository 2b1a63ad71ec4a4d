// What makes a guest one that others cannot answer for: by its definition, by what is done to it, after a new shim.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Daemons } from '../../../helper/libvirtd.ts'
import { bareGuest, Shim } from '../../../helper/shim.ts'
import { runner } from '../../../helper/virsh.ts'

t.setTimeout(180_000)

const RUNNING = 1
const run = runner([])
const dir = mkdtempSync(join(tmpdir(), 'virshim-taint-'))
const daemons = new Daemons(dir)
t.teardown(() => {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})

/** A guest of libvirtd and an equal one of a shim. */
async function pair(t: Test, name: string, xml: string) {
  await daemons.ensure(2000)
  const shim = new Shim(xml)
  t.teardown(() => shim.end())
  void shim.start()
  await shim.untilState(RUNNING)
  t.teardown(() => run('virsh', '-q', '-c', 'qemu:///system', 'destroy', name))
  t.match(run('virsh', '-q', '-c', 'qemu:///system', 'create', shim.xmlFile), { status: 0 })
  const ours = `qemu+unix:///system?socket=${shim.root}/libvirt-sock`
  return {
    shim,
    same: (...words: string[]) => {
      const expected = run('virsh', '-q', '-c', 'qemu:///system', ...words)
      t.same(run('virsh', '-q', '-c', ours, ...words), expected, words.join(' '))
      return expected.out
    },
    both: (...words: string[]) => ['qemu:///system', ours].map(uri => run('virsh', '-q', '-c', uri, ...words))
  }
}

const messages = (out: string) => out.slice(out.indexOf('Messages:'))

t.test('of what is in its definition', async t => {
  const name = 't-taint-def'
  const xml = bareGuest(name)
    .replace("type='qemu'", "type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'")
    .replace("machine='pc'", "machine='pc-i440fx-1.7'")
    .replace('</domain>', "<qemu:commandline><qemu:env name='T_TAINT' value='1'/></qemu:commandline></domain>")
  const { both } = await pair(t, name, xml)
  const [libvirtd, ours] = both('dominfo', name).map(({ out }) => messages(out))
  t.match(libvirtd, /tainted: custom configuration parameters specified/)
  t.match(libvirtd, /deprecated configuration: machine type 'pc-i440fx-1.7'/)
  t.equal(ours, libvirtd)
})

t.test('of what is done to it, until it ends', async t => {
  const name = 't-taint-done'
  const { shim, same, both } = await pair(t, name, bareGuest(name))
  for (const { out } of both('dominfo', name)) t.notMatch(out, /Messages/)
  same('qemu-monitor-command', name, '--hmp', 'info name')
  const marked = both('dominfo', name).map(({ out }) => messages(out))
  t.match(marked[0], /tainted: custom monitor control commands issued/)
  t.equal(marked[1], marked[0])
  shim.child?.kill('SIGKILL')
  void shim.start()
  await shim.untilState(RUNNING)
  t.equal(messages(both('dominfo', name)[1]!.out), marked[0], 'a new shim knows of it')
})
