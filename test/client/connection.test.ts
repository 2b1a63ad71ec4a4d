// The socket virshim takes, and what it says of others.
import { spawnSync } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bareGuest, Shim } from '../helper/shim.ts'

const RUNNING = 1
t.setTimeout(120_000)

t.test('a socket of another protocol: which to take instead', async t => {
  const shim = new Shim(bareGuest('t-sockets'))
  t.teardown(() => shim.end())
  shim.start('--aggregator', 'none')
  await shim.untilState(RUNNING)
  const said = (socket: string) => {
    const { stderr, status } = spawnSync('bin/virshim', ['-c', socket, 'list'], { encoding: 'utf8', timeout: 60_000 })
    t.equal(status, 1, socket)
    return stderr
  }
  const at = (name: string) => join(shim.root, name)
  for (const [name, beside] of [
    ['libvirt-sock', 'api.sock'],
    ['libvirt-sock-ro', 'api-ro.sock'],
    ['qmp.sock', 'api.sock']
  ] as const) {
    const what = `'${at(name)}' does not speak HTTP; virshim takes an api.sock: '${at(beside)}' beside it`
    t.equal(said(at(name)), `error: failed to connect to the hypervisor\nerror: ${what}\n`)
  }
  const elsewhere = join(shim.dir, 'socket')
  symlinkSync(at('libvirt-sock'), elsewhere)
  t.match(
    said(elsewhere),
    `'${elsewhere}' does not speak HTTP; virshim takes an api.sock: '${at('api.sock')}' beside it`
  )
  const foreign = join(shim.dir, 'libvirt-sock')
  writeFileSync(foreign, '')
  t.match(said(foreign), `error: '${foreign}' does not speak HTTP; virshim takes an api.sock\n`)
  const uri = `qemu+unix:///system?socket=${at('libvirt-sock')}`
  const { stdout } = spawnSync('bin/virshim', ['-c', uri, 'list', '--name'], { encoding: 'utf8' })
  t.match(stdout, 't-sockets', 'as a URI it means the API beside it')
})
