// Snapshots and checkpoints of a guest on disk.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Moments, MomentTree } from '../../src/state/moments.ts'
import { guestRoot } from '../../src/state/root.ts'

const FILES = { 'b.xml': '<b/>', 'a.xml': '<a/>', '.c.xml': '', '.c.xml.new': '', 'd.xml.new': '', 'e.txt': '' }

t.test('moments are files of their names; what a killed write has left is none', async t => {
  const dir = t.testdir({ none: {}, some: FILES, file: '' })
  for (const [name, texts] of [
    ['nosuch', {}],
    ['none', {}],
    ['file', {}],
    ['some', { a: '<a/>', b: '<b/>' }]
  ] as const) {
    const tree = new MomentTree(() => join(dir, name))
    t.equal(tree.count, Object.keys(texts).length, name)
    t.same([...tree.texts], Object.entries(texts), name)
  }
})

t.test('they are read once, and forgotten when they are removed', async t => {
  const dir = join(t.testdir({ some: FILES }), 'some')
  const tree = new MomentTree(() => dir)
  t.equal(tree.texts.size, 2)
  writeFileSync(join(dir, 'late.xml'), '<late/>')
  t.equal(tree.texts.size, 2)
  t.equal(tree.count, 2)
  tree.remove()
  t.notOk(existsSync(dir))
  t.equal(tree.count, 0)
  tree.remove()
})

t.test('they move with the root of their guest', async t => {
  const dir = t.testdir({ old: { snapshots: FILES, checkpoints: { 'c.xml': '' } } })
  let root = guestRoot(join(dir, 'old'))
  const { snapshots, checkpoints } = new Moments(() => root)
  t.same([snapshots.count, checkpoints.count], [2, 1])
  renameSync(root.dir, join(dir, 'new'))
  root = guestRoot(join(dir, 'new'))
  t.same([snapshots.texts.size, checkpoints.texts.size], [2, 1])
})

t.test('that there are none is known, more is not', async t => {
  const dir = t.testdir({ some: FILES })
  new MomentTree(() => join(dir, 'none')).checkNone('virDomainSnapshotNum')
  const some = new MomentTree(() => join(dir, 'some'))
  t.throws(() => some.checkNone('virDomainSnapshotNum'), {
    code: 'VIR_ERR_NO_SUPPORT',
    domain: 'VIR_FROM_DOMAIN_SNAPSHOT',
    message: 'this function is not supported by the connection driver: virDomainSnapshotNum'
  })
})
