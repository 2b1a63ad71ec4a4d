// The ways a guest's memory can go: by libvirt's own connection, by sockets that have a path, by several connections. What
// is in it is the same there.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LOADED, loadedGuest, TwoRoots } from '../../../helper/two-roots.ts'

t.setTimeout(600_000)

const NAME = `t-sent-${process.pid}`

t.test('the ways that memory goes', async t => {
  const roots = await TwoRoots.make(t)
  const { dir, from, to } = roots
  const path = (name: string) => join(dir, name)
  const content = loadedGuest(dir, NAME)
  const create = async () => {
    const { status, body } = await from.call('virDomainCreateXML', {
      xmlDesc: readFileSync(path('from.xml'), 'utf8'),
      flags: 0
    })
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
      await roots.qmp('to', NAME, 'pmemsave', { ...LOADED, filename: path('memory') })
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
