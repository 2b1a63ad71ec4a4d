// The part of the tests that runs in the Debian 13 of scripts/debian13 too: what meets its QEMU, libvirt and Node.js.
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'

/** Words of names of test files. */
const TESTS = [
  // definitions and command lines beside libvirtd
  'drivers/qemu/libvirtd',
  'drivers/qemu/capabilities/probe',
  'drivers/qemu/cpu/live',
  'drivers/qemu/device/filesystem/virtiofsd',
  // starts of every element family, whole lives of guests, the agent
  'drivers/qemu/process/start.',
  'drivers/qemu/process/boot',
  'drivers/qemu/process/monitor',
  'drivers/qemu/process/privilege',
  'drivers/qemu/process/reconnect',
  'drivers/qemu/process/handed-taps',
  'drivers/qemu/monitor/',
  'drivers/qemu/agent/',
  'drivers/qemu/save/libvirtd',
  'drivers/qemu/stats/',
  'server/ends',
  'server/hooks',
  'server/inactive',
  'server/kill',
  'server/shim',
  'server/start-failure',
  'server/streams',
  'server/takeover',
  // the aggregator
  'server/aggregator/discovery',
  'server/aggregator/hostile',
  'server/aggregator/life',
  'server/aggregator/rpc',
  'server/aggregator/secondary',
  'server/aggregator/supervisor',
  'server/aggregator/upstream',
  // clients of libvirt's
  'client/virsh',
  'server/rpc/events',
  'server/rpc/files',
  'server/rpc/monitor-events',
  'server/rpc/python',
  'server/rpc/stream'
]

const SYSTEM = 'scripts/debian13'
/** The status of scripts/debian13 where there can be no such system. */
const UNAVAILABLE = 75

const say = text => process.stdout.write(`debian13: ${text}\n`)

/** Runs a command there, telling its lines; gives its status. */
function run(command, onLine) {
  const child = spawn(SYSTEM, command, { stdio: ['ignore', 'pipe', 'inherit'] })
  createInterface({ input: child.stdout }).on('line', onLine)
  return new Promise(resolve => child.once('close', (code, signal) => resolve(signal ?? code)))
}

/**
 * Runs the quickstart and these tests. Where the system cannot be made they are skipped, which fails with CI=true.
 * @returns assertions that passed and failed, and the names of what failed
 */
export async function runInDebian13() {
  say('making the system, where it is not there')
  const { status, stderr } = spawnSync(SYSTEM, ['true'], { encoding: 'utf8', stdio: ['ignore', 'inherit', 'pipe'] })
  if (status !== 0) {
    const reason = stderr.trim().split('\n').at(-1)
    const maySkip = status === UNAVAILABLE && process.env.CI !== 'true'
    say(`${maySkip ? 'skipped' : 'not to be skipped'}: ${reason}`)
    return { passed: 0, failed: maySkip ? 0 : 1, failures: maySkip ? [] : [reason] }
  }
  const total = { passed: 0, failed: 0, failures: [] }
  const quickstart = []
  if ((await run(['npm', 'run', '--silent', 'quickstart'], line => quickstart.push(line))) === 0) total.passed++
  else {
    total.failed++
    total.failures.push('quickstart')
    for (const line of quickstart) say(line)
  }
  say(`${total.failed ? 'FAIL' : 'ok  '} quickstart`)
  let counted = false
  // files of two tests that run at a time
  const withGuest = ['bash', '-c', 'bash scripts/build-guest && exec "$@"', 'bash']
  const ended = await run([...withGuest, 'node', 'scripts/run-tests.mjs', ...TESTS], line => {
    const [, passed, failed] = /^(\d+) passed, (\d+) failed$/.exec(line) ?? []
    if (line.startsWith('not ok ')) total.failures.push(line.slice('not ok '.length))
    else say(line)
    if (passed === undefined) return
    counted = true
    total.passed += Number(passed)
    total.failed += Number(failed)
  })
  if (!counted) {
    total.failed++
    total.failures.push(`the tests ended with ${ended}`)
  }
  return total
}
