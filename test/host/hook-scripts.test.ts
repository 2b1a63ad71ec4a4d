// Hook scripts: which are run in what order, what they get and give, and those that fail, flood or hang.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type HookCall, hookScripts, runHookScripts } from '../../src/host/hook-scripts.ts'
import { processIdentity } from '../../src/state/status.ts'

const LIMIT_MS = 60_000

/** Makes files of a hooks directory; those that begin with #! are executable. */
function hooks(t: Test, files: Record<string, string>): string {
  const dir = t.testdir({})
  for (const [name, text] of Object.entries(files)) {
    const path = join(dir, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    chmodSync(path, text.startsWith('#!') ? 0o755 : 0o644)
  }
  return dir
}

const call = (more: Partial<HookCall> = {}): HookCall => ({
  args: ['guest', 'start', 'begin', '-'],
  input: '<domain/>\n',
  filter: false,
  timeoutMs: LIMIT_MS,
  signal: new AbortController().signal,
  ...more
})

const run = (dir: string, more?: Partial<HookCall>) => runHookScripts(hookScripts(dir, 'qemu'), call(more))

async function until(isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; !isSo(); await sleep(10)) {
    if (Date.now() > deadline) throw new Error('not so in time')
  }
}

t.test("the driver's own script comes first, then those of its directory by name", async t => {
  const script = '#!/bin/sh\n'
  const dir = hooks(t, {
    qemu: script,
    'qemu.d/20-b': script,
    'qemu.d/10-a': script,
    'qemu.d/.hidden': script,
    'qemu.d/05-not-executable': 'no',
    'qemu.d/directory/x': script,
    lxc: script
  })
  const names = (driver: string) => hookScripts(dir, driver).map(path => path.slice(dir.length + 1))
  t.same(names('qemu'), ['qemu', 'qemu.d/.hidden', 'qemu.d/10-a', 'qemu.d/20-b'])
  t.same(names('network'), [])
})

t.test('a script gets its arguments, the XML, a plain environment and an umask that lets others read', async t => {
  const dir = hooks(t, {
    qemu: '#!/bin/sh\n{ printf "%s\\n" "$*" "$(pwd)" "$(umask)" "$LC_ALL" "$VIRSHIM_SECRET"; cat; } > "$(dirname "$0")/said"\n'
  })
  process.env.VIRSHIM_SECRET = 'x'
  t.equal(await run(dir, { args: ["a 'guest'", 'start', 'begin', '-'] }), '<domain/>\n')
  t.equal(readFileSync(join(dir, 'said'), 'utf8'), "a 'guest' start begin -\n/\n0022\nC\n\n<domain/>\n")
})

t.test('what a filter writes is what the next one gets', async t => {
  const dir = hooks(t, {
    qemu: '#!/bin/sh\nsed s/domain/one/\n',
    'qemu.d/1': '#!/bin/sh\ncat > /dev/null\n',
    'qemu.d/2': '#!/bin/sh\nsed s/one/two/\n'
  })
  t.equal(await run(dir, { filter: true }), '<two/>')
  t.equal(await run(dir), '<domain/>\n', 'where nothing is asked for, nothing is taken')
})

t.test('one that fails is told with its words, and the others are run all the same', async t => {
  const dir = hooks(t, {
    qemu: '#!/bin/sh\necho no card >&2\nexit 3\n',
    'qemu.d/1': '#!/bin/sh\ntouch "$(dirname "$0")/../ran"\n'
  })
  await t.rejects(run(dir), {
    code: 'VIR_ERR_HOOK_SCRIPT_FAILED',
    domain: 'VIR_FROM_HOOK',
    message: `Hook script execution failed: internal error: Child process (${dir}/qemu guest start begin -) unexpected exit status 3: no card`
  })
  t.ok(existsSync(join(dir, 'ran')))
})

t.test('a signal that ends one', async t => {
  const dir = hooks(t, { qemu: '#!/bin/sh\nkill -9 $$\n' })
  await t.rejects(run(dir), { message: /unexpected fatal signal 9$/ })
})

t.test('one that cannot be executed', async t => {
  const dir = hooks(t, { qemu: '#!/nowhere/interpreter\n' })
  await t.rejects(run(dir), { code: 'VIR_ERR_HOOK_SCRIPT_FAILED', message: /exit status 12[67]/ })
})

t.test('one that hangs is ended with all it has started, and named', async t => {
  const dir = hooks(t, { qemu: '#!/bin/sh\nsleep 1000 &\necho $! > "$(dirname "$0")/pid"\nwait\n' })
  const pidFile = join(dir, 'pid')
  await t.rejects(run(dir, { timeoutMs: 3000 }), {
    code: 'VIR_ERR_HOOK_SCRIPT_FAILED',
    message: `Hook script execution failed: '${dir}/qemu guest start begin -' did not end within 3 s`
  })
  await until(() => !existsSync(pidFile) || processIdentity(Number(readFileSync(pidFile, 'utf8'))) === undefined)
})

t.test('one that is told to end, and those that would have come after it', async t => {
  const dir = hooks(t, {
    qemu: '#!/bin/sh\ntouch "$(dirname "$0")/began"\nexec sleep 1000\n',
    'qemu.d/1': '#!/bin/sh\ntouch "$(dirname "$0")/../ran"\n'
  })
  const controller = new AbortController()
  const running = t.rejects(run(dir, { signal: controller.signal }), { code: 'VIR_ERR_OPERATION_ABORTED' })
  await until(() => existsSync(join(dir, 'began')))
  controller.abort()
  await running
  t.notOk(existsSync(join(dir, 'ran')))
})

t.test('one that neither reads nor stops to write, and one that leaves a child with its pipes', async t => {
  const dir = hooks(t, {
    qemu: '#!/bin/sh\nhead -c 20000000 /dev/zero\nhead -c 200000 /dev/zero | tr "\\0" x >&2\nexit 1\n'
  })
  const failure = await run(dir, { input: 'x'.repeat(1_000_000) }).catch((error: Error) => error)
  t.ok(failure instanceof Error && failure.message.length < 5000, 'its words are cut')
  const leaver = hooks(t, { qemu: '#!/bin/sh\nsleep 1000 &\necho $! > "$(dirname "$0")/pid"\n' })
  await run(leaver)
  process.kill(Number(readFileSync(join(leaver, 'pid'), 'utf8')))
})
