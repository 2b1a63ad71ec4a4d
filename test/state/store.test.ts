// Files that survive a crash at any moment: what stands there is always a whole old or a whole new text.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makePrivateDirectory, readIfThere, removeSynced, writeAtomic } from '../../src/state/store.ts'
import { failureOf } from '../helper/stand-in-guest.ts'

/** Where a write that was killed has left what it had. */
const leftOf = (file: string) => file.replace(/([^/]*)$/, '.$1.new')

t.test('what is written is there, as a whole, for its owner alone', async t => {
  const file = join(t.testdir(), 'new/deep/status.json')
  const text = `ä€𝄞${'x'.repeat(3_000_000)}`
  writeAtomic(file, text)
  t.equal(readFileSync(file, 'utf8'), text)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(statSync(join(file, '..')).mode & 0o777, 0o700)
  writeAtomic(file, Buffer.from([0, 255]))
  t.same([...readFileSync(file)], [0, 255], 'nothing of the old is left')
  writeAtomic(file, '')
  t.equal(readFileSync(file, 'utf8'), '')
  t.same(readdirSync(join(file, '..')), ['status.json'])
})

t.test("what a write that was killed has left is in nobody's way", async t => {
  const dir = t.testdir({ 'status.json': 'old', '.status.json.new': '{"half": ' })
  const file = join(dir, 'status.json')
  t.equal(readIfThere(file), 'old')
  writeAtomic(file, 'new')
  t.equal(readIfThere(file), 'new')
  t.same(readdirSync(dir), ['status.json'])
  writeFileSync(leftOf(file), '{"half": ')
  removeSynced(file)
  t.same(readdirSync(dir), [], 'it goes with the file')
  writeFileSync(leftOf(file), '{"half": ')
  removeSynced(file)
  t.same(readdirSync(dir), [], 'and without it')
})

t.test('nothing is written through a link that somebody has laid', async t => {
  const dir = t.testdir({ victim: 'theirs', root: {} })
  const file = join(dir, 'root/status.json')
  for (const laid of [leftOf(file), file]) {
    symlinkSync(join(dir, 'victim'), laid)
    writeAtomic(file, 'ours')
    t.equal(readFileSync(join(dir, 'victim'), 'utf8'), 'theirs')
    t.ok(lstatSync(file).isFile())
    rmSync(file)
  }
})

t.test('a write that fails leaves the old text and nothing else', async t => {
  const dir = t.testdir({ parent: 'a file', occupied: { inside: '' }, sub: { 'status.json': 'old' } })
  const kept = join(dir, 'sub/status.json')
  const cases: [what: string, file: string, error: RegExp][] = [
    [
      'a directory has its name',
      join(dir, 'occupied'),
      /^VIR_ERR_SYSTEM_ERROR VIR_FROM_QEMU: cannot write '.*occupied': EISDIR|ENOTEMPTY/
    ],
    [
      'its directory is a file',
      join(dir, 'parent/status.json'),
      /^VIR_ERR_SYSTEM_ERROR VIR_FROM_QEMU: cannot create directory '.*parent': E/
    ],
    [
      'its directory takes no files',
      '/proc/self/status.json',
      /^VIR_ERR_SYSTEM_ERROR VIR_FROM_QEMU: cannot write '\/proc\/self\/status.json': E/
    ]
  ]
  for (const [what, file, error] of cases) {
    t.match(await failureOf(() => writeAtomic(file, 'new')), error, what)
    t.notOk(existsSync(leftOf(file)), `${what}: nothing is left`)
  }
  t.equal(readFileSync(kept, 'utf8'), 'old')
  t.same(readdirSync(dir).sort(), ['occupied', 'parent', 'sub'])
})

t.test('a file system that is full', { skip: process.getuid?.() !== 0 && 'mounting a tmpfs takes root' }, async t => {
  // not the test's own directory, which goes before what is mounted there does
  const dir = mkdtempSync(join(tmpdir(), 'full-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', dir]).status, 0)
  t.teardown(() => spawnSync('umount', [dir]))
  const file = join(dir, 'status.json')
  writeAtomic(file, 'old')
  t.match(await failureOf(() => writeAtomic(file, 'x'.repeat(100_000))), /^VIR_ERR_SYSTEM_ERROR .*ENOSPC/)
  t.same(readdirSync(dir), ['status.json'])
  t.equal(readIfThere(file), 'old')
})

t.test('what is there, and what is not', async t => {
  const dir = t.testdir({ file: 'text' })
  t.equal(readIfThere(join(dir, 'file')), 'text')
  t.equal(readIfThere(join(dir, 'nosuch')), undefined)
  t.equal(readIfThere(join(dir, 'nosuch/file')), undefined)
  t.match(await failureOf(() => readIfThere(dir)), /^VIR_ERR_SYSTEM_ERROR VIR_FROM_QEMU: cannot read '.*': EISDIR/)
  makePrivateDirectory(join(dir, 'a/b'))
  makePrivateDirectory(join(dir, 'a/b'))
  t.ok(statSync(join(dir, 'a/b')).isDirectory())
  for (const path of ['/proc/nosuch', '/proc/nosuch/below', join(dir, 'file'), join(dir, 'file/below')])
    t.match(await failureOf(() => makePrivateDirectory(path)), /^VIR_ERR_SYSTEM_ERROR .*cannot create directory/, path)
})
