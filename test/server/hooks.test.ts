// Hook scripts around the life of real guests: called in libvirt's order, with its XML; their refusals count.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { AggregatorRun } from '../helper/aggregator.ts'
import { leftovers, refuses } from '../helper/refusal.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

const NAME = 't-hooks'
const [RUNNING, PAUSED] = [1, 3]
const LIMIT_MS = 60_000

t.setTimeout(180_000)

/** A directory with a script that writes down how it was called, then does `more`. */
function hooks(t: Test, more = ''): { dir: string; options: string[]; calls(): string[]; xml(call: string): string } {
  const dir = t.testdir({})
  mkdirSync(join(dir, 'qemu.d'))
  const script = join(dir, 'qemu.d/10-test')
  writeFileSync(script, `#!/bin/sh\ncat > ${dir}/$2.xml\necho "$@" >> ${dir}/calls\n${more}\n`)
  chmodSync(script, 0o755)
  const read = (file: string) => (existsSync(join(dir, file)) ? readFileSync(join(dir, file), 'utf8') : '')
  return {
    dir,
    options: ['--hooks', dir],
    calls: () => read('calls').split('\n').filter(Boolean),
    xml: call => read(`${call}.xml`)
  }
}

const named = (...calls: string[]) => calls.map(call => `${NAME} ${call} -`)
const START = named('prepare begin', 'start begin', 'started begin')
const END = named('stopped end', 'release end')

async function until(isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; !isSo(); await sleep(10)) {
    if (Date.now() > deadline) throw new Error('not so in time')
  }
}

t.test('a guest from its start to its end', async t => {
  const script = hooks(t)
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  const exited = shim.start('--paused', ...script.options)
  await until(() => script.calls().length === START.length)
  t.same(script.calls(), START)
  t.match(script.xml('prepare'), /^<domain type='qemu' id='1'>/)
  t.notMatch(script.xml('prepare'), /<alias|dev\/pts/, 'nothing is settled yet')
  t.match(script.xml('start'), /<alias name='serial0'\/>/)
  t.notMatch(script.xml('start'), /\/dev\/pts/)
  t.match(script.xml('started'), /<source path='\/dev\/pts\/\d+'\/>/)
  t.equal((await shim.call('virDomainDestroy', {})).status, 200)
  await exited
  t.same(script.calls(), [...START, ...END])
  t.match(script.xml('release'), /^<domain type='qemu'>/)
})

t.test('a refusal ends the start and leaves nothing; the scripts hear of it', async t => {
  for (const operation of ['prepare', 'start', 'started']) {
    const script = hooks(t, `[ $2 = ${operation} ] && { echo the card is in use >&2; exit 3; }; exit 0`)
    await refuses(t, {
      xml: bareGuest(NAME),
      options: script.options,
      status: 1,
      message: new RegExp(
        `Hook script execution failed: .*/10-test ${NAME} ${operation} begin -\\) unexpected exit status 3: the card is in use`
      )
    })
    const reached = START.slice(0, START.findIndex(call => call.startsWith(`${NAME} ${operation} `)) + 1)
    t.same(script.calls(), [...reached, ...END], operation)
  }
})

t.test('a start that is refused before it begins is not told', async t => {
  const script = hooks(t)
  const xml = bareGuest(NAME, "<graphics type='vnc'><listen type='address'/><listen type='address'/></graphics>")
  await refuses(t, { xml, options: script.options, status: 2, message: /multiple listens/ })
  t.same(script.calls(), [])
})

t.test('what a script does at the end changes nothing', async t => {
  const script = hooks(t, '[ $3 = begin ]')
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  const exited = shim.start(...script.options)
  await shim.untilState(RUNNING)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.same(leftovers(shim.root, NAME), [])
})

t.test('a script that hangs is ended with the start', async t => {
  const script = hooks(t, '[ $2 = prepare ] && exec sleep 1000; exit 0')
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  const exited = shim.start(...script.options)
  await until(() => script.calls().length > 0)
  shim.child?.kill('SIGTERM')
  t.equal(await exited, 1)
  t.match(shim.errors, /start was cancelled by SIGTERM/)
  t.same(script.calls(), [START[0], ...END])
  t.same(leftovers(shim.root, NAME), [])
})

t.test('a shim that is killed while a script runs: the next one tells the scripts of the end', async t => {
  const script = hooks(t, `[ $2 = prepare ] && [ ! -e "$0.once" ] && { touch "$0.once"; exec sleep 1000; }; exit 0`)
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  const killed = shim.start(...script.options)
  await until(() => script.calls().length > 0)
  shim.child?.kill('SIGKILL')
  await killed
  const exited = shim.start(...script.options)
  await until(() => script.calls().length === 1 + END.length + START.length)
  t.same(script.calls(), [START[0], ...END, ...START])
  await shim.untilState(RUNNING)
  await shim.call('virDomainDestroy', {})
  await exited
})

t.test('a guest that is taken over; a refusal ends it', async t => {
  const script = hooks(t, `[ $2 = reconnect ] && [ -e "$0.no" ] && exit 1; exit 0`)
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  const restart = async () => {
    shim.child?.kill('SIGKILL')
    return shim.start(...script.options)
  }
  void shim.start(...script.options)
  await shim.untilState(RUNNING)
  void restart()
  await until(() => script.calls().includes(`${NAME} reconnect begin -`))
  await shim.untilState(RUNNING)
  writeFileSync(join(script.dir, 'qemu.d/10-test.no'), '')
  t.equal(await restart(), 1)
  t.match(shim.errors, /Hook script execution failed: .* reconnect begin -/)
  t.same(script.calls().slice(-3), [...named('reconnect begin'), ...END])
  t.same(leftovers(shim.root, NAME), [])
})

t.test('saved memory goes on with the definition that scripts make of it', async t => {
  const script = hooks(t, `[ $2 = restore ] && exec sed "$(cat $0.sed)" \${0%/qemu.d*}/restore.xml; exit 0`)
  const edit = (command: string) => writeFileSync(join(script.dir, 'qemu.d/10-test.sed'), command)
  const shim = new Shim(bareGuest(NAME))
  t.teardown(() => shim.end())
  void shim.start('--define', '--paused', '--linger', ...script.options)
  await shim.untilState(PAUSED)
  const image = join(shim.dir, 'image')
  const saved = async () => (await shim.call('virDomainSave', { to: image })).status
  const shown = async () => (await shim.call('virDomainGetXMLDesc')).body.xml
  const taints = async () => (await shim.call('virDomainGetMessages', { flags: 2 })).body.msgs
  t.equal(await saved(), 200)

  edit('')
  t.equal((await shim.call('virDomainRestore', { from: image })).status, 200)
  t.same(script.calls().slice(-4), [...named('restore begin'), ...START])
  t.match(script.xml('restore'), /^<domain type='qemu'>/, 'a definition, and no live one')
  t.notMatch(await taints(), [/hook/], 'a script that gives what it got has changed nothing')
  t.equal(await saved(), 200)

  edit('s/<name>.*/&<title>by a script<\\/title>/')
  t.equal((await shim.call('virDomainRestore', { from: image })).status, 200)
  t.match(await shown(), /<title>by a script</)
  t.match(await taints(), ['tainted: configuration potentially modified by hook script'])

  t.equal((await shim.call('virDomainManagedSave', {})).status, 200)
  edit('s/<title>.*/<title>by another<\\/title>/')
  t.equal((await shim.call('virDomainCreate', {})).status, 200)
  t.match(await shown(), /<title>by another</)

  t.equal(await saved(), 200)
  const calls = script.calls().length
  for (const [command, message] of [
    ['s/<vcpu.*/<vcpu>9<\\/vcpu>/', /Target domain vCPU max 9 does not match source 1/],
    ['s/<domain/</', /XML document failed|Extra content|StartTag|invalid/],
    ['nonsense', /unexpected exit status 1|unknown command/]
  ] as const) {
    edit(command)
    t.match((await shim.call('virDomainRestore', { from: image })).body.message, message, command)
  }
  t.ok(
    script
      .calls()
      .slice(calls)
      .every(call => call === `${NAME} restore begin -`),
    'no start has begun'
  )
  edit('')
  t.equal((await shim.call('virDomainRestore', { from: image })).status, 200)
})

t.test("an aggregator's option is its shims', and the error is libvirt's", async t => {
  const script = hooks(t, 'exit 1')
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start(...script.options)
  const { body } = await aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest(NAME) })
  t.match(body, { code: 70, codeName: 'VIR_ERR_HOOK_SCRIPT_FAILED', domainName: 'VIR_FROM_HOOK' })
})
