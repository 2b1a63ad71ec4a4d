// What a former process has left undone of a guest's snapshots.
import { existsSync } from 'node:fs'
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
} from '../../../../src/drivers/qemu/process/journal.ts'
import { settleSnapshots } from '../../../../src/server/take-over.ts'
import { guestRoot } from '../../../../src/state/root.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'

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
  const status = {} as Status
  for (const journal of [
    { live: { vda: 'libvirt-2-format' } },
    { saving: 's' },
    { deleting: 's', redo: { snapshots: {} } },
    { merging: { name: 's', disks: [] } }
  ]) {
    const { root, log } = left(t, journal)
    t.equal(await settleSnapshots(root, status, log), false)
    t.same(readJournal(root), journal)
    t.equal(await settleSnapshots(root, undefined, log), true)
    t.equal(readJournal(root), undefined)
  }
  const { root, log } = left(t, { redo: {} })
  t.equal(await settleSnapshots(root, status, log), true, 'what QEMU does not know of is not')
})

t.test('overlays that QEMU may have had when it ended do not go with its run, nor does memory', async t => {
  for (const [ifGone, kept] of [
    [undefined, ['2', 'memory']],
    ['undo', []]
  ] as const) {
    for (const isTakenOver of [false, true]) {
      const guest = await StandInGuest.running(t, { files: { 2: '', 3: '', memory: '' } })
      const { root, dir, domain } = guest
      for (const number of [2, 3]) {
        domain.running.looseImages.set(number, { disk: '<disk/>', files: [join(dir, String(number))] })
      }
      domain.running.memoryFile = { path: join(dir, 'memory'), made: true }
      domain.jobs.restore({ kind: 'snapshot', api: 'virDomainSnapshotCreateXML', sinceMs: 0 })
      domain.save()
      const redo = { definition: guest.xml }
      writeJournal(root, { live: { vda: 'libvirt-2-format' }, redo, ...(ifGone && { ifGone }) })
      if (isTakenOver) guest.leave()
      guest.qemu.kill()
      await guest.qemu.gone()
      if (isTakenOver) t.equal(await guest.takeOver(), false)
      else await guest.ended()
      // who is busy with a snapshot takes away its memory himself
      const looked = isTakenOver || !ifGone ? ['2', '3', 'memory'] : ['2', '3']
      const left = looked.filter(name => existsSync(join(dir, name)))
      t.same(left, kept)
      t.equal(existsSync(root.definition), ifGone === undefined)
      t.equal(guest.domain.isPersistent, ifGone === undefined, 'it is known at once')
      t.equal(readJournal(root), undefined)
    }
  }
})

t.test('a step on images that fails: the change is taken back, and no start fails by it', async t => {
  const redo = { images: [FAILING], definition: '<domain/>' }
  const { root, log, logged } = left(t, { redo })
  const file = join(root.dir, '..', 'overlay.qcow2')
  writeJournal(root, { undo: { files: [file] }, redo })
  t.equal(await settleJournal(root, log), true)
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
