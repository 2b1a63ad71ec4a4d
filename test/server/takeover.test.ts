// What a virshimd finds in its root: a status of another boot, of another form, of another guest, or that was cut short.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { endAll, processesNaming } from '../helper/processes.ts'
import { leftovers } from '../helper/refusal.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

const NAME = 't-takeover'
const RUNNING = 1

/** A guest whose virshimd was killed while it ran, its status changed since. */
async function abandoned(t: Test, change: (status: string) => string) {
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING, 60_000)
  shim.child!.kill('SIGKILL')
  await exited
  const file = join(shim.root, 'status.json')
  const status = readFileSync(file, 'utf8')
  writeFileSync(file, change(status))
  shim.stderr = ''
  const [qemu] = processesNaming(`path=${join(shim.root, 'qmp.sock')},`)
  return { shim, file, status, qemu: qemu! }
}

t.test('of another boot', async t => {
  const { shim, qemu } = await abandoned(t, status => status.replace(/"bootId": "[^"]*"/, '"bootId": "another"'))
  // what there was is gone with it
  await endAll(shim.root, NAME)
  const exited = shim.start()
  await shim.untilState(RUNNING, 60_000)
  t.not(processesNaming(`path=${join(shim.root, 'qmp.sock')},`)[0], qemu, 'it is started anew')
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.same(leftovers(shim.root, NAME), [])
})

t.test('that cannot be read, or is of another guest', async t => {
  const cases: [what: string, change: (status: string) => string, error: RegExp][] = [
    ['cut short', status => status.slice(0, status.length / 2), /status\.json' is not JSON: /],
    ['empty', () => '', /status\.json' is not JSON: /],
    [
      'of a later form',
      status => status.replace('"version": 1', '"version": 999'),
      /status\.json' is not of form 1: .*version/
    ],
    ['of another guest', status => status.replace(`"name": "${NAME}"`, '"name": "other"'), /belongs to domain 'other'/]
  ]
  for (const [what, change, error] of cases) {
    const { shim, file, status, qemu } = await abandoned(t, change)
    t.equal(await shim.start(), 1, what)
    t.match(shim.errors, error, what)
    t.notMatch(shim.errors, /^ {4}at /m, 'no stack trace')
    t.ok(existsSync(`/proc/${qemu}`), `${what}: QEMU runs on`)
    t.ok(existsSync(file), `${what}: nothing is removed`)
    writeFileSync(file, status)
    const exited = shim.start()
    await shim.untilState(RUNNING, 60_000)
    t.same(
      processesNaming(`path=${join(shim.root, 'qmp.sock')},`),
      [qemu],
      `${what}: it can be taken over once that is mended`
    )
    await shim.call('virDomainDestroy', {})
    await exited
    await shim.end()
  }
})
