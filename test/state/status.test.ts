// Files of live state, and the processes they speak of. What is in them: test/drivers/qemu/domain/status.test.ts.
import { spawn } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bootId, isAlive, processIdentity, readStatusFile, removeStatus, writeStatus } from '../../src/state/status.ts'
import { failureOf } from '../helper/stand-in-guest.ts'

const STATUS = { version: 1, id: 2n ** 60n, name: 'ä€', cgroups: ['/sys'], process: { pid: 1, startTime: '2' } }

t.test('what is written is read again', async t => {
  const file = join(t.testdir(), 'status.json')
  t.equal(readStatusFile(file), undefined)
  writeStatus(file, STATUS)
  t.same(readStatusFile(file), STATUS, 'all digits')
  t.match(readFileSync(file, 'utf8'), /\n {2}"name": "ä€",\n/, 'people can read it')
  const { ino } = statSync(file)
  const text = writeStatus(file, STATUS, readFileSync(file, 'utf8'))
  t.equal(statSync(file).ino, ino, 'the same is not written again')
  t.equal(writeStatus(file, { ...STATUS, id: 1 }, text), readFileSync(file, 'utf8'))
  removeStatus(file)
  removeStatus(file)
  t.equal(readStatusFile(file), undefined)
})

t.test('a file that was cut short, at any byte', async t => {
  const file = join(t.testdir(), 'status.json')
  writeStatus(file, STATUS)
  const bytes = readFileSync(file)
  for (let length = 0; length < bytes.length - 1; length++) {
    writeFileSync(file, bytes.subarray(0, length))
    t.match(
      await failureOf(() => readStatusFile(file)),
      new RegExp(`^VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: '${file}' is not JSON: `)
    )
  }
})

t.test('processes', async t => {
  const own = processIdentity(process.pid)!
  t.equal(own.pid, process.pid)
  t.ok(isAlive(own))
  t.notOk(isAlive({ ...own, startTime: '1' }), 'another had its number before')
  t.equal(processIdentity(2 ** 30), undefined)
  // its name holds what ends a name
  const child = spawn('sh', ['-c', 'read x'], { argv0: 'a) R 1 (b' })
  await new Promise(resolve => child.once('spawn', resolve))
  const identity = processIdentity(child.pid!)!
  t.match(identity.startTime, /^\d+$/)
  t.ok(isAlive(identity))
  const gone = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
  t.notOk(isAlive(identity))
})

t.test('this boot', async t => {
  t.match(bootId(), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  t.equal(bootId(), bootId())
})
