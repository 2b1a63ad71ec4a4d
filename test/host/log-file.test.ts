// Logs: bounded, quoted from where a run began, never followed through a link, never in anybody's way.
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  appendLog,
  appendToLog,
  boundLog,
  endOfLog,
  LOG_MAX_BYTES,
  lastWords,
  quoted
} from '../../src/host/log-file.ts'

t.test('the last words, and only those that count', async t => {
  const note = 'char device redirected to /dev/pts/3 (label charserial0)'
  const cases: [name: string, text: string, words: string][] = [
    ['nothing', '', ''],
    ['one line', 'no such device\n', 'no such device'],
    ['three lines at the most', 'a\nb\nc\nd\n', 'b; c; d'],
    ['empty lines', 'a\n\n \nb\n\n', 'a; b'],
    ["QEMU's note on a pty", `${note}\nqemu: could not bind\n`, 'qemu: could not bind'],
    ['the note with what it is about', `qemu-system-x86_64: -chardev pty,id=charserial0: ${note}\nfailed`, 'failed'],
    [
      'a complaint about one',
      'cannot open: char device redirected to nothing',
      'cannot open: char device redirected to nothing'
    ],
    ['a long line from its end', `${'x'.repeat(3000)}end`, `${'x'.repeat(997)}end`]
  ]
  const dir = t.testdir({})
  for (const [name, text, words] of cases) {
    t.equal(quoted(text), words, name)
    writeFileSync(join(dir, 'log'), text)
    t.equal(lastWords(join(dir, 'log')), words, `${name}, in a file`)
  }
})

t.test('words begin where the run did', async t => {
  const log = join(t.testdir({}), 'log')
  t.equal(endOfLog(log), 0)
  t.equal(lastWords(log), '')
  writeFileSync(log, 'terminating on signal 15\n')
  const since = endOfLog(log)
  t.equal(lastWords(log, since), '')
  appendFileSync(log, 'bad option\n')
  t.equal(lastWords(log, since), 'bad option')
  writeFileSync(log, 'anew\n')
  t.equal(lastWords(log, since), 'anew', 'a log that was cut meanwhile')
})

t.test('of a large log only the end is read', async t => {
  const log = join(t.testdir({}), 'log')
  writeFileSync(log, `${'early words\n'.repeat(200_000)}late words\n`)
  t.equal(lastWords(log), 'early words; early words; late words')
})

t.test('a log is turned over before it is too large', async t => {
  const log = join(t.testdir({}), 'log')
  const chunk = Buffer.alloc(LOG_MAX_BYTES / 4, 'x')
  for (let i = 0; i < 4; i++) t.ok(appendToLog(log, chunk))
  t.equal(statSync(log).size, LOG_MAX_BYTES)
  t.notOk(existsSync(`${log}.1`))
  appendToLog(log, Buffer.from('more'))
  t.equal(readFileSync(log, 'utf8'), 'more')
  t.equal(statSync(`${log}.1`).size, LOG_MAX_BYTES)
  t.equal(statSync(log).mode & 0o777, 0o600)
  appendLog(log, 'panic')
  t.match(readFileSync(log, 'utf8'), /^more\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000: panic\n$/)
})

t.test('a log of a program that writes it itself is cut', async t => {
  const log = join(t.testdir({}), 'log')
  boundLog(log)
  writeFileSync(log, Buffer.alloc(LOG_MAX_BYTES))
  boundLog(log)
  t.equal(endOfLog(log), LOG_MAX_BYTES)
  appendFileSync(log, 'x')
  boundLog(log)
  t.equal(endOfLog(log), 0)
})

t.test('what cannot be written is told, not thrown', async t => {
  const dir = t.testdir({ precious: 'kept' })
  symlinkSync(join(dir, 'precious'), join(dir, 'link'))
  mkdirSync(join(dir, 'directory'))
  for (const name of ['link', 'directory', 'absent/log']) t.notOk(appendToLog(join(dir, name), Buffer.from('x')), name)
  appendLog(join(dir, 'link'), 'x')
  t.equal(readFileSync(join(dir, 'precious'), 'utf8'), 'kept')
  t.equal(lastWords(join(dir, 'link')), '', 'nor read through a link')
})
