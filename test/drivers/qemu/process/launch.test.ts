// QEMU's process: what it is given, how it ends, and how one is found that nobody wrote down.
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findQemu, launchQemu } from '../../../../src/drivers/qemu/process/launch.ts'
import { QemuOutput } from '../../../../src/drivers/qemu/process/output.ts'
import { OpenedFiles } from '../../../../src/host/inherited-files.ts'
import { guestRoot } from '../../../../src/state/root.ts'
import { isAlive } from '../../../../src/state/status.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

/** A root, and a program that does so; `WAIT` waits until it has been launched. */
function program(t: Pick<Test, 'testdir' | 'teardown'>, body: string, runId = 'of a test') {
  const dir = t.testdir()
  const path = join(dir, 'program')
  writeFileSync(path, `#!/bin/sh\nWAIT() { until [ -e "$0.launched" ]; do sleep 0.01; done; }\n${body}\n`)
  chmodSync(path, 0o755)
  const root = guestRoot(join(dir, 'root'))
  const launch = async ({ env = {}, inherited = [] }: { env?: Record<string, string>; inherited?: string[] } = {}) => {
    const files = new OpenedFiles()
    for (const file of inherited) files.open(file)
    t.teardown(() => files.close())
    const output = await QemuOutput.make(root)
    t.teardown(() => output.close())
    const launched = await launchQemu({ argv: [path], env, owner: {}, dieWithUs: false, files, output, runId })
    writeFileSync(`${path}.launched`, '')
    // what has been said is in the log when it has ended
    return { ...launched, exited: launched.exited.finally(() => output.drain()) }
  }
  return { dir, path, root, launch }
}

// a QEMU that was let go of keeps nobody running
const held = setInterval(() => {}, 60_000)
t.teardown(() => clearInterval(held))

t.test('how it ends is told', async t => {
  for (const [body, how] of [
    ['exit 0', 'status 0'],
    ['exit 3', 'status 3'],
    ['kill -SEGV $$', 'SIGSEGV'],
    ['WAIT; exit 5', 'status 5']
  ] as const) {
    const { launch } = program(t, body)
    // one that is gone before it can be looked at is told by the error
    const ended = await launch().then(
      ({ exited }) => exited,
      (error: Error) => /ended at once with (\w+(?: \d+)?)/.exec(error.message)?.[1]
    )
    t.equal(ended, how, body)
  }
})

t.test('its output is in the log, and nowhere else', async t => {
  const { launch, root } = program(t, 'WAIT; echo out; echo err >&2; read x && echo input')
  const { exited } = await launch()
  await exited
  t.equal(readFileSync(root.log, 'utf8'), 'out\nerr\n', 'there is no input')
  t.equal(statSync(root.log).mode & 0o777, 0o600)
})

t.test('its surroundings are those of no one else', async t => {
  process.env.VIRSHIM_TEST_SECRET = 'secret'
  t.teardown(() => {
    delete process.env.VIRSHIM_TEST_SECRET
  })
  const { launch, root, dir } = program(t, 'WAIT; env; pwd; cat <&3; echo')
  writeFileSync(join(dir, 'inherited'), 'from file 3')
  const { exited } = await launch({ env: { OWN: 'yes' }, inherited: [join(dir, 'inherited')] })
  await exited
  const said = readFileSync(root.log, 'utf8')
  t.match(said, /^OWN=yes$/m)
  t.match(said, /^LC_ALL=C$/m)
  t.notMatch(said, /VIRSHIM_TEST_SECRET/)
  t.match(said, /^\/$/m, 'it stands in the way of no unmount')
  t.match(said, /^from file 3$/m)
})

t.test('what cannot be executed', async t => {
  const { launch, path } = program(t, '')
  chmodSync(path, 0o644)
  const failure = await failureOf(async () => {
    const { exited } = await launch()
    throw new Error(`it ran: ${await exited}`)
  })
  t.match(failure, /cannot execute binary|ended at once with status 12[67]|it ran: status 12[67]/)
})

t.test('a process is found by the number of its run, whatever its arguments say', async t => {
  const { launch, root } = program(t, 'exec sleep 60', 'run-7')
  t.equal(await findQemu('run-7'), undefined)
  const decoy = spawn('sh', ['-c', 'read x', `VIRSHIM_RUN_ID=run-7 path=${root.monitorSocket},`])
  t.teardown(() => decoy.kill('SIGKILL'))
  await new Promise(resolve => decoy.once('spawn', resolve))
  t.equal(await findQemu('run-7'), undefined, 'words in arguments do not count')
  const { identity, exited } = await launch()
  const found = await findQemu('run-7')
  t.same(found, identity)
  t.ok(isAlive(identity))
  t.equal(await findQemu('run-'), undefined, 'nor part of the number')
  process.kill(identity.pid, 'SIGKILL')
  await exited
  t.equal(await findQemu('run-7'), undefined)
  t.notOk(isAlive(identity))
})
