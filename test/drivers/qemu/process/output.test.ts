// QEMU's words: read through a FIFO that never makes it wait, bounded on disk, found again by the next shim.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { QemuOutput } from '../../../../src/drivers/qemu/process/output.ts'
import { LOG_MAX_BYTES } from '../../../../src/host/log-file.ts'
import { guestRoot } from '../../../../src/state/root.ts'

const MIB = 1024 * 1024

/** A program in QEMU's place. */
function talk(output: QemuOutput, script: string) {
  const child = spawn('bash', ['-c', script], { stdio: ['ignore', output.descriptor, output.descriptor] })
  output.begin()
  return once(child, 'exit')
}

async function output(t: Test) {
  const root = guestRoot(t.testdir({}))
  const made = await QemuOutput.make(root)
  t.teardown(() => made.close())
  return { root, made }
}

const until = async (condition: () => boolean) => {
  while (!condition()) await sleep(5)
}

t.test('words of both outputs are in the log and at hand', async t => {
  const { root, made } = await output(t)
  mkdirSync(join(root.dir, 'log'), { recursive: true })
  writeFileSync(root.log, 'an earlier run\n')
  await talk(made, 'echo out; echo bad option >&2')
  made.drain()
  t.equal(made.words, 'out; bad option')
  t.equal(readFileSync(root.log, 'utf8'), 'an earlier run\nout\nbad option\n')
  t.equal(statSync(root.output).mode & 0o777, 0o600)
})

t.test('a flood is bounded on disk', async t => {
  const { root, made } = await output(t)
  await talk(made, `for i in {1..32}; do head -c ${MIB} /dev/zero || true; done 2>/dev/null; echo last >&2`)
  made.drain()
  const kept = readdirSync(join(root.dir, 'log')).map(name => statSync(join(root.dir, 'log', name)).size)
  t.ok(Math.max(...kept) <= LOG_MAX_BYTES, `${kept}`)
  t.ok(kept.length <= 2, 'the log and the one before it')
})

t.test('nobody waits for a reader that does not come', async t => {
  const { root, made } = await output(t)
  const exited = talk(made, `echo early; sleep 0.05; head -c ${MIB} /dev/zero; echo gone > ${join(root.dir, 'done')}`)
  made.close()
  await exited
  t.ok(existsSync(join(root.dir, 'done')), 'the program went on')
})

t.test('the next shim reads on', async t => {
  const { root, made } = await output(t)
  const exited = talk(made, `echo while nobody listened; until [ -e ${root.dir}/go ]; do sleep 0.01; done; echo later`)
  made.close()
  const next = QemuOutput.attach(root)
  t.teardown(() => next.close())
  writeFileSync(join(root.dir, 'go'), '')
  await exited
  await until(() => next.words.endsWith('later'))
  t.equal(next.words, 'while nobody listened; later')
  t.match(readFileSync(root.log, 'utf8'), 'while nobody listened')
})

t.test('without a FIFO, or with something else in its place, there are no words', async t => {
  const root = guestRoot(t.testdir({ secret: 'secret' }))
  for (const prepare of [() => undefined, () => symlinkSync(join(root.dir, 'secret'), root.output)]) {
    prepare()
    const attached = QemuOutput.attach(root)
    attached.drain()
    t.equal(attached.words, '')
    attached.close()
  }
})

t.test('a FIFO that cannot be made', async t => {
  const root = guestRoot(t.testdir({ 'qemu.out': { file: '' } }))
  await t.rejects(QemuOutput.make(root), { code: 'ERR_FS_EISDIR' })
})
