// What a former process has left undone of a guest's snapshots.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Status } from '../../../../src/drivers/qemu/domain/status.ts'
import {
  doImages,
  type Journal,
  readJournal,
  settle,
  settleJournal,
  writeJournal
} from '../../../../src/drivers/qemu/snapshot/journal.ts'
import { guestRoot } from '../../../../src/state/root.ts'

const FAILING = { args: ['no-such-command'] }

function left(t: Test, journal: Journal) {
  const dir = t.testdir({ 'overlay.qcow2': '', root: {} })
  const root = guestRoot(join(dir, 'root'))
  writeJournal(root, journal)
  const logged: string[] = []
  const say = (_: object, message: string) => void logged.push(message)
  return { root, logged, log: { debug: say, info: say, warn: say, error: say } }
}

t.test('what only QEMU knows is left as long as it runs', async t => {
  for (const journal of [
    { live: { vda: 'libvirt-2-format' } },
    { saving: 's' },
    { deleting: 's', redo: { snapshots: {} } },
    { merging: { name: 's', disks: [] } }
  ]) {
    const { root, log } = left(t, journal)
    t.equal(await settleJournal(root, { isRunning: true, status: undefined, log }), false)
    t.same(readJournal(root), journal)
    t.equal(await settleJournal(root, { isRunning: false, status: undefined, log }), true)
    t.equal(readJournal(root), undefined)
  }
})

t.test('overlays that QEMU may have had when it ended do not go with its run, nor does memory', async t => {
  const image = { disk: '<disk/>', files: ['/overlay'] }
  for (const [ifGone, kept] of [
    [undefined, ['3']],
    ['undo', ['2', '3']]
  ] as const) {
    const redo = { definition: '<domain/>' }
    const { root, log } = left(t, { live: { vda: 'libvirt-2-format' }, redo, ...(ifGone && { ifGone }) })
    const memoryFile = { path: '/memory', made: true }
    const status = { looseImages: { 2: image, 3: image }, memoryFile } as unknown as Status
    writeFileSync(root.status, JSON.stringify(status))
    t.equal(await settleJournal(root, { isRunning: false, status, log }), true)
    const saved: Status = JSON.parse(readFileSync(root.status, 'utf8'))
    t.same(Object.keys(saved.looseImages!), kept)
    t.same(saved.memoryFile, ifGone && memoryFile)
    t.equal(existsSync(root.definition), ifGone === undefined)
  }
})

t.test('a step on images that fails: the change is taken back, and no start fails by it', async t => {
  const redo = { images: [FAILING], definition: '<domain/>' }
  const { root, log, logged } = left(t, { redo })
  const file = join(root.dir, '..', 'overlay.qcow2')
  writeJournal(root, { undo: { files: [file] }, redo })
  t.equal(await settleJournal(root, { isRunning: false, status: undefined, log }), true)
  t.match(logged, [/taken back/])
  t.notOk(existsSync(file))
  t.notOk(existsSync(root.definition))
  t.equal(readJournal(root), undefined)
})

t.test('steps on images are done once', async t => {
  const { root } = left(t, {})
  const journal = { redo: { images: [{ ...FAILING, mayFail: true as const }], files: ['/no/such/overlay'] } }
  writeJournal(root, journal)
  await doImages(root, journal)
  t.same(readJournal(root), { undo: {}, redo: { files: ['/no/such/overlay'] } })
})

t.test('what is half taken back is not finished by the next', async t => {
  const undo = { images: [FAILING], files: ['/no/such/overlay'] }
  const { root } = left(t, { undo, redo: { definition: '<domain/>' } })
  await t.rejects(settle(root, { undo }, false))
  t.same(readJournal(root), { undo })
})
