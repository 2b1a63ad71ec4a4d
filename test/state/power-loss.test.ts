// A host whose power fails at any moment finds each file of the state as it was before, or as it was to be: whatever the
// kernel has written by then of what was not synced. What a call has returned for stays.
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { formatImage, readImageFile, rewriteImage } from '../../src/drivers/qemu/save/image.ts'
import { writeMomentFiles } from '../../src/state/moments.ts'
import { writeStatus } from '../../src/state/status.ts'
import { readIfThere, removeSynced, writeAtomic } from '../../src/state/store.ts'
import { cutPower } from '../helper/power-loss.ts'

const OLD = 'old text'
const NEW = 'what is longer, and new'

/** Cuts the power at each point of `work`, and gives what `read` finds, of what was done and of what was not. */
function found(
  t: Test,
  files: Record<string, string>,
  work: (dir: string) => void,
  read: (dir: string) => string | undefined
) {
  const dirs = t.testdir({ scratch: {}, work: files })
  const dir = join(dirs, 'work')
  const during = new Set<string | undefined>()
  const after = new Set<string | undefined>()
  const { points, ways } = cutPower({
    dir,
    scratch: join(dirs, 'scratch'),
    work: () => work(dir),
    look: (at, isDone) => (isDone ? after : during).add(read(at))
  })
  t.ok(points > 0 && ways > 1, `${points} points, ${ways} ways`)
  return { during: [...during].sort(), after: [...after] }
}

const text = (name: string) => (dir: string) => readIfThere(join(dir, name))

t.test('a file that is replaced', async t => {
  const { during, after } = found(t, { file: OLD }, dir => writeAtomic(join(dir, 'file'), NEW), text('file'))
  t.same(during, [OLD, NEW].sort())
  t.same(after, [NEW])
})

t.test('a file that is new, in directories that are', async t => {
  const { during, after } = found(t, {}, dir => writeAtomic(join(dir, 'a/b/file'), NEW), text('a/b/file'))
  t.same(during, [NEW, undefined])
  t.same(after, [NEW])
})

t.test('a file that goes', async t => {
  const { during, after } = found(t, { file: OLD }, dir => removeSynced(join(dir, 'file')), text('file'))
  t.same(during, [OLD, undefined])
  t.same(after, [undefined])
})

t.test('a status, which counts in this boot alone', async t => {
  const before = '{"a": 1}\n'
  const { during, after } = found(
    t,
    { 'status.json': before },
    dir => {
      writeStatus(join(dir, 'status.json'), { b: 2 })
    },
    text('status.json')
  )
  const wanted = [before, '{\n  "b": 2\n}\n']
  t.same(during, [before])
  t.same(after.sort(), wanted.sort(), 'it is not waited for its name')
})

t.test('files of moments, one after the other', async t => {
  const { during, after } = found(
    t,
    { snapshots: { 'a.xml': OLD } as never },
    dir => writeMomentFiles(join(dir, 'snapshots'), { 'a.xml': null, 'b.xml': NEW }),
    dir =>
      ['a.xml', 'b.xml']
        .map(name => readIfThere(join(dir, 'snapshots', name)))
        .map(one => one ?? '-')
        .join()
  )
  t.same(after, [`-,${NEW}`])
  t.ok(
    during.every(one => /^(old text|-),(what is longer, and new|-)$/.test(one ?? '')),
    String(during)
  )
})

t.test("a saved guest's XML that is written over", async t => {
  const image = (xml: string, room?: number) =>
    formatImage(
      { format: 'raw', running: true, xml, cookie: undefined },
      { whole: true, ...(room !== undefined && { length: room }) }
    )
  const before = image('<domain>old</domain>')
  const length = before.readUInt32LE(20)
  const memory = Buffer.alloc(64, 7)
  const dirs = t.testdir({ scratch: {}, work: {} })
  const dir = join(dirs, 'work')
  writeFileSync(join(dir, 'image'), Buffer.concat([before, memory]))
  const after = image('<domain>new and longer</domain>', length)
  const found = new Set<string>()
  const { ways } = cutPower({
    dir,
    scratch: join(dirs, 'scratch'),
    work: () => rewriteImage(join(dir, 'image'), after),
    look(at, isDone) {
      // the file beside is known by the image's inode, which a copy does not have
      const own = statSync(join(at, 'image'), { bigint: true })
      for (const name of readdirSync(at).filter(name => /^\.image\.\d+-\d+$/.test(name))) {
        writeFileSync(join(at, `.image.${own.ino}-${own.size}`), readFileSync(join(at, name)), { mode: 0o600 })
      }
      const { xml } = readImageFile(join(at, 'image'))
      if (isDone) t.equal(xml, '<domain>new and longer</domain>')
      found.add(xml)
      t.ok(readFileSync(join(at, 'image')).subarray(-memory.length).equals(memory), 'its memory is as it was')
    }
  })
  t.ok(ways > 4, `${ways} ways`)
  t.same([...found].sort(), ['<domain>new and longer</domain>', '<domain>old</domain>'])
})

t.test('what has no sync is seen to be lost', async t => {
  const { after } = found(
    t,
    { file: OLD },
    dir => {
      mkdirSync(join(dir, 'made'))
    },
    dir => String(existsSync(join(dir, 'made')) && lstatSync(join(dir, 'made')).isDirectory())
  )
  t.same(after.sort(), ['false', 'true'], 'the way this test looks finds what it is to find')
})
