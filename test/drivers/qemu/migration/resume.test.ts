// Post-copy with the real QEMU that loses its connection in the middle, and is brought on by another: by its client, by the
// guest itself, by shims that follow dead ones. All of its memory is there in the end.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LOADED, loadedGuest, TwoRoots } from '../../../helper/two-roots.ts'
import { allowPostcopy } from '../../../helper/userfaults.ts'
import type { Ran } from '../../../helper/virsh.ts'

t.setTimeout(600_000)

/** Ways to fail and to go on take some minutes: RESUME=all. Else those of them that have most in common with the rest. */
const skip = process.env.RESUME === 'all' ? false : 'RESUME=all'

const NAME = `t-resumed-${process.pid}`

allowPostcopy()

const GONE: Ran = { status: 0, out: '', err: '' }

t.test('with the real QEMU', async t => {
  const roots = await TwoRoots.make(t)
  const { dir, from, to } = roots
  const path = (name: string) => join(dir, name)
  const content = loadedGuest(dir, NAME)
  const state = async (side: 'from' | 'to') => (await roots.virsh(side, ['domstate', '--reason', NAME])).out.trim()
  const reaches = (side: 'from' | 'to', wanted: string) =>
    roots[side].untilSo(`${side}: ${wanted}`, async () => (await state(side)) === wanted)
  const migrate = (...words: string[]) => roots.migrate(NAME, '--xml', path('to.xml'), '--postcopy', ...words)
  const resume = (...words: string[]) => roots.migrate(NAME, '--postcopy', '--postcopy-resume', ...words)

  /** A guest that has come to post-copy, slowly; the call that moves it. */
  async function half(...words: string[]): Promise<Promise<Ran>[]> {
    const { status, body } = await from.call('virDomainCreateXML', {
      xmlDesc: readFileSync(path('from.xml'), 'utf8'),
      flags: 0
    })
    if (status !== 200) throw new Error(body.message)
    const moved = migrate('--bandwidth', '1', '--postcopy-bandwidth', '1', ...words)
    await from.untilSo('memory goes', async () => (await roots.qmp('from', NAME, 'query-migrate'))?.status === 'active')
    await roots.virsh('from', ['migrate-postcopy', NAME])
    await reaches('to', 'running (post-copy)')
    await reaches('from', 'paused (post-copy)')
    return [moved]
  }

  async function broken(): Promise<void> {
    await roots.virsh('from', ['domjobabort', NAME, '--postcopy'])
    await reaches('from', 'paused (post-copy failed)')
    await reaches('to', 'running (post-copy failed)')
  }

  async function isThere(t: Test): Promise<void> {
    await reaches('to', 'running (migrated)')
    await from.until(NAME, entry => entry === undefined)
    await roots.qmp('to', NAME, 'pmemsave', { ...LOADED, filename: path('memory') })
    t.ok(readFileSync(path('memory')).equals(content), 'all of its memory')
    t.match(JSON.stringify((await to.call('allocations')).body), NAME)
    await roots.virsh('to', ['destroy', NAME])
    await to.until(NAME, entry => entry === undefined)
  }

  const killShim = async (side: 'from' | 'to') => {
    const { pids } = await roots[side].entry(NAME)
    process.kill(pids.shim, 'SIGKILL')
    await roots[side].untilSo(`a follower: ${side}`, async () => {
      const follower = (await roots[side].entry(NAME).catch(() => undefined))?.pids?.shim
      return Boolean(follower) && follower !== pids.shim
    })
  }

  for (const { first, second } of [
    { first: [], second: ['--p2p'] },
    { first: [], second: [] },
    { first: ['--p2p'], second: ['--p2p'] }
  ]) {
    const what = `${first.join() || 'managed'}, then ${second.join() || 'managed'}`
    await t.test(what, { skip }, async t => {
      const [moved] = await half(...first)
      await broken()
      t.match(await moved!, { status: 1, err: /job 'migration in' failed in post-copy phase/ })
      // once more in the middle
      const again = resume(...second, '--postcopy-bandwidth', '1')
      await reaches('to', 'running (post-copy)')
      await reaches('from', 'paused (post-copy)')
      t.match(await resume(...second), { status: 1, err: /is being actively monitored|in progress|has not failed/ })
      await broken()
      t.match(await again, { status: 1, err: /failed in post-copy phase/ })
      t.same(await resume(...second, '--postcopy-bandwidth', '1000'), GONE)
      await isThere(t)
    })
  }

  await t.test('a new connection that cannot be made', { skip }, async t => {
    const [moved] = await half()
    await broken()
    await moved
    const nowhere = await resume('--migrateuri', 'tcp:127.0.0.1:1')
    t.match(nowhere, { status: 1, err: /.+/ })
    t.same([await state('from'), await state('to')], ['paused (post-copy failed)', 'running (post-copy failed)'])
    t.same(await resume('--postcopy-bandwidth', '1000'), GONE)
    await isThere(t)
  })

  await t.test('shims that die while it stands still', async t => {
    const [moved] = await half()
    await broken()
    await moved
    await killShim('from')
    await killShim('to')
    t.same([await state('from'), await state('to')], ['paused (post-copy failed)', 'running (post-copy failed)'])
    t.same(await resume('--postcopy-bandwidth', '1000'), GONE)
    await isThere(t)
  })

  for (const side of ['from', 'to'] as const) {
    await t.test(`a shim that dies while it goes on: ${side}`, { skip }, async t => {
      const [moved] = await half()
      await killShim(side)
      await roots.virsh('from', ['migrate-setspeed', NAME, '1000', '--postcopy'])
      await moved
      await isThere(t)
    })
  }

  await t.test('a client that is gone', { skip }, async t => {
    const client = new AbortController()
    const { status } = await from.call('virDomainCreateXML', {
      xmlDesc: readFileSync(path('from.xml'), 'utf8'),
      flags: 0
    })
    t.equal(status, 200)
    const words = [
      'migrate',
      '--live',
      NAME,
      roots.uri('to'),
      '--xml',
      path('to.xml'),
      '--postcopy',
      '--bandwidth',
      '1'
    ]
    const moved = roots.virsh('from', [...words, '--postcopy-bandwidth', '4'], client.signal)
    await from.untilSo('memory goes', async () => (await roots.qmp('from', NAME, 'query-migrate'))?.status === 'active')
    await roots.virsh('from', ['migrate-postcopy', NAME])
    await reaches('to', 'running (post-copy)')
    client.abort()
    await moved.catch(() => undefined)
    await isThere(t)
  })
})
