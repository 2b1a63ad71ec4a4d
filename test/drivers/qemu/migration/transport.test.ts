// The ways a guest's memory can go: by libvirt's own connection, by sockets that have a path, by several connections. What
// is in it is the same there.
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { TwoRoots } from '../../../helper/two-roots.ts'

t.setTimeout(600_000)

const NAME = `t-sent-${process.pid}`
const MIB = 1024 * 1024
const AT = 16 * MIB
const SIZE = 24 * MIB

/** A guest with something in its memory that its destination's QEMU does not have there by itself. */
const guestXml = (content: string) => `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>${NAME}</name><uuid>7b1c5a5e-0000-4000-8000-0000000000d2</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
  <memballoon model='none'/></devices>
  <qemu:commandline><qemu:arg value='-device'/>
    <qemu:arg value='loader,file=${content},addr=${AT},force-raw=on'/></qemu:commandline></domain>`

t.test('the ways that memory goes', async t => {
  const roots = await TwoRoots.make(t)
  const { dir, from, to } = roots
  const path = (name: string) => join(dir, name)
  const content = randomBytes(SIZE)
  writeFileSync(path('from'), content)
  writeFileSync(path('to'), Buffer.alloc(SIZE))
  writeFileSync(path('to.xml'), guestXml(path('to')))
  const create = async () => {
    const { status, body } = await from.call('virDomainCreateXML', { xmlDesc: guestXml(path('from')), flags: 0 })
    if (status !== 200) throw new Error(body.message)
  }
  const migrate = (...words: string[]) => roots.migrate(NAME, '--xml', path('to.xml'), ...words)
  const ways = {
    'a tunnel': ['--p2p', '--tunnelled'],
    'a socket with a path': ['--migrateuri', `unix:${path('one')}`],
    'the same, by the guest itself': ['--p2p', '--migrateuri', `unix://${path('two')}`],
    'several connections': ['--parallel', '--parallel-connections', '3'],
    'several with a path': ['--p2p', '--parallel', '--migrateuri', `unix:${path('three')}`],
    'several that compress': ['--parallel', '--compressed', '--comp-methods', 'zlib']
  }
  for (const [name, words] of Object.entries(ways)) {
    await t.test(name, async t => {
      await create()
      t.same(await migrate(...words), { status: 0, out: '', err: '' })
      t.equal((await roots.virsh('to', ['domstate', NAME])).out.trim(), 'running')
      t.match((await roots.virsh('from', ['domstate', NAME])).err, /failed to get domain/)
      await roots.qmp('to', NAME, 'pmemsave', { val: AT, size: SIZE, filename: path('memory') })
      t.ok(readFileSync(path('memory')).equals(content), 'its memory')
      await roots.virsh('to', ['destroy', NAME])
      await to.until(NAME, entry => entry === undefined)
    })
  }

  await t.test('a tunnel whose other end breaks away', async t => {
    await create()
    const moved = migrate('--p2p', '--tunnelled', '--bandwidth', '1')
    const there = await to.until(NAME, entry => entry !== undefined)
    t.ok(there)
    await from.untilSo('memory goes', async () => {
      const { status, ram } = await roots.qmp('from', NAME, 'query-migrate')
      return status === 'active' && ram.transferred > 0
    })
    await to.kill()
    t.match(await moved, { status: 1, err: /.+/ })
    t.equal((await roots.virsh('from', ['domstate', NAME])).out.trim(), 'running')
    await to.start()
    await to.until(NAME, entry => entry === undefined, 60_000)
  })

  await t.test('what a tunnel is not for', async t => {
    const refusals: [RegExp, string[]][] = [
      [/migration URI is not supported by tunnelled migration/, ['--p2p', '--migrateuri', 'tcp:localhost']],
      [/listen address is not supported by tunnelled migration/, ['--p2p', '--listen-address', '::']],
      [/cannot perform tunnelled migration without using peer2peer flag/, []]
    ]
    for (const [message, words] of refusals)
      t.match(await migrate('--tunnelled', ...words), { status: 1, err: message })
    t.equal((await roots.virsh('from', ['domstate', NAME])).out.trim(), 'running')
  })
})
