// Programs that serve a guest, by the files that name them: nothing else is ever ended in their place.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { errorsFrom } from '../../src/conf/error.ts'
import { endHelper, helpersIn, isServed, startHelper } from '../../src/host/helper-process.ts'
import { bootId, isAlive, type ProcessIdentity, processIdentity } from '../../src/state/status.ts'
import { failureOf } from '../helper/stand-in-guest.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const SERVER = `import socket, sys, time
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen(); time.sleep(600)`

function scratch(t: Test): { dir: string; socket: string } {
  const dir = mkdtempSync(join(tmpdir(), 'helper-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return { dir, socket: join(dir, 'helper.sock') }
}

/** Somebody's process. */
async function bystander(t: Test): Promise<ProcessIdentity> {
  const child = spawn('sleep', ['600'])
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  return processIdentity(child.pid!)!
}

t.test('a helper is ended by whoever comes next, with its files', async t => {
  const { dir, socket } = scratch(t)
  t.teardown(() => endHelper(socket))
  await startHelper({
    command: 'python3',
    args: ['-c', SERVER, socket],
    log: join(dir, 'log'),
    socket,
    owner: {},
    failure: words => fail('VIR_ERR_INTERNAL_ERROR', words ?? 'no socket')
  })
  t.ok(isServed(socket))
  const [helper] = helpersIn(dir)
  t.ok(helper && isAlive(helper))
  await endHelper(socket)
  t.notOk(isAlive(helper!))
  t.notOk(isServed(socket))
  t.same(readdirSync(dir), ['log'])
})

t.test('a socket that is there, but does not take connections yet, is waited for', async t => {
  const { dir, socket } = scratch(t)
  t.teardown(() => endHelper(socket))
  const begun = join(dir, 'begun')
  const go = join(dir, 'go')
  const late = `import os, socket, sys, time
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); open(sys.argv[2], 'w').close()
while not os.path.exists(sys.argv[3]): time.sleep(0.01)
server.listen(); time.sleep(600)`
  let isStarted = false
  const started = startHelper({
    command: 'python3',
    // by its name, as a path that is too long is given
    args: ['-c', late, 'helper.sock', begun, go],
    cwd: dir,
    log: join(dir, 'log'),
    socket,
    owner: {},
    failure: words => fail('VIR_ERR_INTERNAL_ERROR', words ?? 'no socket')
  }).then(() => {
    isStarted = true
  })
  while (!existsSync(begun)) await sleep(10)
  await sleep(100)
  t.notOk(isStarted)
  writeFileSync(go, '')
  await started
  const connection = connect(socket)
  await once(connection, 'connect')
  connection.destroy()
})

t.test("nobody else's process is", async t => {
  const { dir, socket } = scratch(t)
  const other = await bystander(t)
  const named: [what: string, file: string][] = [
    ['of another boot', JSON.stringify({ ...other, bootId: 'another' })],
    ['that had the pid before', JSON.stringify({ ...other, startTime: '1', bootId: bootId() })],
    ['of a file that was cut', JSON.stringify(other).slice(0, 9)],
    ["of a program's own file", `${other.pid}\n`]
  ]
  for (const [what, text] of named) {
    writeFileSync(join(dir, 'helper.pid'), text)
    t.notOk(isServed(socket), what)
    t.same(helpersIn(dir), [], what)
    await endHelper(socket)
    t.ok(isAlive(other), what)
    t.notOk(existsSync(join(dir, 'helper.pid')), what)
  }
})

t.test('one that fails is told with its own words, not with those of runs before', async t => {
  const { dir, socket } = scratch(t)
  const said = async (words: string) => {
    const failure = (told: string | undefined) => fail('VIR_ERR_INTERNAL_ERROR', `said '${told}'`)
    const program = { command: 'sh', args: ['-c', 'echo "$0"; exit 3', words], log: join(dir, 'log') }
    return failureOf(() => startHelper({ ...program, socket, owner: {}, failure }))
  }
  t.match(await said('no room'), /said 'no room'$/)
  t.match(await said(''), /said '3'$/)
})
