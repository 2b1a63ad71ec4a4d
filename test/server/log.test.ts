// The shim's log where it cannot be written: lines are lost, nothing else.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, constants, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const PAUSED = 3
const NAME = `t-log-${process.pid}`
/** Only against hanging. */
const LIMIT_MS = 60_000
const noMount = process.getuid?.() !== 0 && 'mounting a tmpfs takes root'

function guest(t: Test): Shim {
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  return shim
}

/** A shim that logs every call that fails, with its stack. */
const argsOf = (shim: Shim) => ['--root', shim.root, '--aggregator', 'none', '--log-level', 'debug', shim.xmlFile]

/** The end of a process that is to come by itself. */
function whenGone(child: ChildProcess): Promise<number | null> {
  return new Promise(resolve => child.once('exit', resolve))
}

/** Has so many lines logged, more than any pipe holds. */
async function fail(shim: Shim, calls = 400): Promise<void> {
  for (let i = 0; i < calls; i++) await shim.call('virDomainPMWakeup', { flags: 4096 })
}

/** @returns 'done', or 'no answer' of a shim that hangs */
async function inTime(work: () => Promise<void>): Promise<string> {
  const limit = new AbortController()
  const late = sleep(LIMIT_MS, 'no answer', limit).catch(() => '')
  const how = await Promise.race([work().then(() => 'done'), late])
  limit.abort()
  return how
}

/** The shim does what it is asked to, and ends with its guest. */
async function serves(t: Test, shim: Shim, gone: Promise<unknown>): Promise<void> {
  const work = async () => {
    t.equal((await shim.call('virDomainSuspend', {})).status, 200)
    t.equal((await shim.call('virDomainGetState')).body.state, PAUSED)
    t.equal((await shim.call('virDomainDestroy', {})).status, 200)
    await gone
  }
  t.equal(await inTime(work), 'done')
}

t.test('a full disk under the log of a detached shim', { skip: noMount }, async t => {
  const shim = guest(t)
  mkdirSync(shim.root)
  t.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', shim.root]).status, 0)
  t.teardown(() => spawnSync('umount', ['-l', shim.root]))
  t.equal(spawnSync('bin/virshimd', ['--detach', ...argsOf(shim)], { timeout: LIMIT_MS }).status, 0)
  spawnSync('dd', ['if=/dev/zero', `of=${shim.root}/ballast`], { stdio: 'ignore' })
  const { pids } = (await shim.call('/v1/report')).body
  await shim.call('virDomainPMWakeup', { flags: 4096 })
  t.equal((await shim.call('virDomainGetState')).body.state, RUNNING, 'it still answers')
  t.ok(process.kill(pids.shim, 0))
  spawnSync('rm', [`${shim.root}/ballast`])
  // told with the first line that has room again
  const told = async () => {
    for (let log = ''; !/"lost":\d+.*"msg":"lines of this log were lost"\}\n/.test(log); await sleep(50)) {
      await shim.call('virDomainPMWakeup', { flags: 4096 })
      log = spawnSync('cat', [`${shim.root}/log/virshimd.log`], { encoding: 'utf8' }).stdout
    }
  }
  t.equal(await inTime(told), 'done')
})

t.test('a reader of the log that goes away', async t => {
  const shim = guest(t)
  const child = spawn('bin/virshimd', argsOf(shim), { stdio: ['ignore', 'ignore', 'pipe'] })
  shim.child = child
  const gone = whenGone(child)
  await shim.untilState(RUNNING)
  child.stderr.destroy()
  await fail(shim, 3)
  await serves(t, shim, gone)
  t.equal(await gone, 0)
})

t.test('one that does not read, at the other end of a socket', async t => {
  const shim = guest(t)
  const child = spawn('bin/virshimd', argsOf(shim), { stdio: ['ignore', 'ignore', 'pipe'] })
  shim.child = child
  const gone = whenGone(child)
  await shim.untilState(RUNNING)
  t.equal(await inTime(() => fail(shim)), 'done')
  await serves(t, shim, gone)
})

t.test('the same of a pipe: what was lost is told when it is read again', async t => {
  const shim = guest(t)
  const pipe = join(shim.dir, 'stderr')
  t.equal(spawnSync('mkfifo', [pipe]).status, 0)
  const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
  t.teardown(() => closeSync(reader))
  let said = ''
  const read = () => {
    const chunk = Buffer.alloc(1024 * 1024)
    try {
      said += chunk.subarray(0, readSync(reader, chunk))
    } catch {
      // nothing there yet
    }
  }
  writeFileSync(join(shim.dir, 'run'), `exec bin/virshimd "$@" 2>${pipe}`)
  const child = spawn('sh', [join(shim.dir, 'run'), ...argsOf(shim)], { stdio: 'ignore' })
  shim.child = child
  const gone = whenGone(child)
  await shim.untilState(RUNNING)
  t.equal(await inTime(() => fail(shim)), 'done', 'calls are answered')
  for (; !said.includes('were lost'); read()) await fail(shim, 1)
  const told = said.split('\n').flatMap(line => (/^\{.*\}$/.test(line) ? [JSON.parse(line)] : []))
  t.match(
    told.find(({ lost }) => lost > 0),
    { level: 40, msg: 'lines of this log were lost' }
  )
  await serves(t, shim, gone)
})
