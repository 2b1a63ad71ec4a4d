// Snapshots and checkpoints of a guest on disk.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Moment, Moments, MomentTree } from '../../src/state/moments.ts'
import { guestRoot } from '../../src/state/root.ts'

/** Moments whose text is all there is of them. */
const form = {
  parse: (text: string) => {
    const [, name = '', parentName, active] = /^<(\w+)(?: of='(\w+)')?( active)?\/>$/.exec(text) ?? []
    if (name === '') throw new Error(`no moment: ${text}`)
    return { def: { name, ...(parentName !== undefined && { parentName }) } as Moment, current: active !== undefined }
  },
  format: ({ name, parentName }: Moment, current: boolean) =>
    `<${name}${parentName === undefined ? '' : ` of='${parentName}'`}${current ? ' active' : ''}/>`
}
const names = (defs: readonly Moment[]) => defs.map(({ name }) => name)
const all = { deep: true }

const FILES = { 'b.xml': '<b/>', 'a.xml': '<a/>', '.c.xml': '', '.c.xml.new': '', 'd.xml.new': '', 'e.txt': '' }

t.test('moments are files of their names; what a killed write has left is none', async t => {
  const dir = t.testdir({ none: {}, some: FILES, file: '' })
  for (const [name, texts] of [
    ['nosuch', []],
    ['none', []],
    ['file', []],
    ['some', ['a', 'b']]
  ] as const) {
    const tree = new MomentTree(() => join(dir, name))
    t.equal(tree.count, texts.length, name)
    t.same(names(tree.read(form).list(all)), texts, name)
  }
})

t.test('they are read once, and forgotten when they are removed', async t => {
  const dir = join(t.testdir({ some: FILES }), 'some')
  const tree = new MomentTree(() => dir)
  t.equal(tree.read(form).list(all).length, 2)
  writeFileSync(join(dir, 'late.xml'), '<late/>')
  t.equal(tree.read(form).list(all).length, 2)
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
  t.same([snapshots.count, checkpoints.count], [2, 1])
  const moved = new MomentTree(() => root.snapshotDir).read(form)
  t.equal(moved.list(all).length, 2)
})

t.test('where there is no directory there are none', async t => {
  t.equal(new MomentTree(() => join(t.testdir(), 'none')).count, 0)
})

const made = (dir: string) => new MomentTree(() => dir).read(form)
const TREE = {
  'root.xml': '<root/>',
  'a.xml': "<a of='root'/>",
  'b.xml': "<b of='root' active/>",
  'c.xml': "<c of='a'/>",
  'top.xml': '<top/>'
}

t.test('a tree tells parents, children and the current one', async t => {
  const tree = made(t.testdir(TREE))
  const [root, a, c] = ['root', 'a', 'c'].map(name => tree.get(name)!) as [Moment, Moment, Moment]
  t.equal(tree.current?.name, 'b')
  t.same(names(tree.childrenOf()), ['root', 'top'])
  t.same(names(tree.childrenOf(root)), ['a', 'b'])
  t.same(names(tree.descendantsOf(root)), ['a', 'c', 'b'])
  t.same(names(tree.ancestorsOf(c)), ['a', 'root'])
  t.equal(tree.parentOf(c), a)
  t.equal(tree.get('nosuch'), undefined)
})

t.test('lists are filtered', async t => {
  const tree = made(t.testdir(TREE))
  const from = tree.get('root')!
  t.same(names(tree.list({ deep: false })), ['root', 'top'])
  t.same(names(tree.list(all)), ['a', 'b', 'c', 'root', 'top'])
  t.same(names(tree.list({ ...all, topological: true })), ['root', 'a', 'c', 'b', 'top'])
  t.same(names(tree.list({ ...all, leaves: true })), ['b', 'c', 'top'])
  t.same(names(tree.list({ ...all, noLeaves: true })), ['a', 'root'])
  t.same(names(tree.list({ ...all, leaves: true, noLeaves: true })), [])
  t.same(names(tree.list({ from, deep: false })), ['a', 'b'])
  t.same(names(tree.list({ from, deep: true, passes: ({ name }) => name !== 'b' })), ['a', 'c'])
})

t.test('changes are on disk at once', async t => {
  const dir = t.testdir(TREE)
  const tree = made(dir)
  const added = { name: 'new', parentName: 'b' }
  tree.apply({ put: [added], current: added })
  t.throws(() => tree.checkNew({ name: 'new' }), { code: 'VIR_ERR_OPERATION_FAILED' })
  t.equal(made(dir).current?.name, 'new')
  tree.delete(tree.get('a')!)
  const again = made(dir)
  t.same(names(again.childrenOf(again.get('root'))), names(tree.childrenOf(tree.get('root'))))
  t.equal(again.get('c')?.parentName, 'root')
  tree.delete(tree.get('new')!)
  t.equal(tree.current?.name, 'b')
  t.equal(made(dir).current?.name, 'b')
  tree.apply({ put: [{ name: 'b' }] })
  t.equal(tree.current, tree.get('b'), 'redefined, it stays the current one')
  t.same(made(dir).current, { name: 'b' })
  tree.apply({ current: null })
  t.equal(made(dir).current, undefined)
})

t.test('a change that cannot be saved leaves no part of it', async t => {
  const dir = t.testdir({ ...TREE, 'full.xml': { file: '' } })
  const tree = made(dir)
  const { current } = tree
  const change = { put: [{ name: 'new' }, { name: 'full' }], forget: [tree.get('a')!] }
  t.throws(() => tree.apply(change), { code: 'VIR_ERR_SYSTEM_ERROR' })
  t.equal(tree.get('new'), undefined)
  t.equal(tree.current, current)
  t.same(names(made(dir).list(all)), names(tree.list(all)))
})

t.test('parents must be there, and above', async t => {
  const tree = made(t.testdir(TREE))
  const refused = (name: string, parentName: string, message: string) =>
    t.throws(() => tree.checkParent({ name, parentName }), {
      code: 'VIR_ERR_INVALID_ARG',
      message: new RegExp(message)
    })
  refused('x', 'x', 'cannot set moment x as its own parent')
  refused('x', 'y', 'parent y for moment x not found')
  refused('root', 'c', 'parent a would create cycle to root')
  tree.checkParent({ name: 'c', parentName: 'b' })
  tree.checkParent({ name: 'c' })
})

t.test('files that contradict each other make a tree all the same', async t => {
  const dir = t.testdir({ 'a.xml': "<a of='b' active/>", 'b.xml': "<b of='a'/>", 'c.xml': "<c of='gone'/>" })
  const tree = made(dir)
  t.same(names(tree.list(all)), ['a', 'b', 'c'])
  t.equal(tree.current, undefined)
  t.same(names(tree.list({ deep: false })), ['a', 'c'])
})

t.test('a file that is none is left out and told of', async t => {
  const told: string[] = []
  const tree = new MomentTree(() => t.testdirName)
  t.testdir({ 'a.xml': '<a/>', 'b.xml': 'no moment' })
  tree.read({ ...form, refused: file => told.push(file) })
  t.same([names(tree.list(all)), told], [['a'], ['b.xml']])
})

t.test('the only leaf is the current one where files do not say it', async t => {
  const leaf = (files: Record<string, string>) =>
    new MomentTree(() => t.testdir(files)).read({ ...form, currentIsLeaf: true }).current?.name
  t.equal(leaf({ 'a.xml': '<a/>', 'b.xml': "<b of='a'/>" }), 'b')
  t.equal(leaf({ 'a.xml': '<a/>', 'b.xml': '<b/>' }), undefined)
})
