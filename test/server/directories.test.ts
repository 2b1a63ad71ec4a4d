// Directories of guests that are no more: none but those with something in them.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { chooseRoot } from '../../src/state/root.ts'
import { AggregatorRun } from '../helper/aggregator.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

const RUNNING = 1
const REMOVE_LOGS = 2
t.setTimeout(120_000)

const CHANNEL = `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
const tree = (dir: string) => readdirSync(dir, { recursive: true }).map(String).sort()

t.test('a transient guest in this user’s directories', async t => {
  const name = `t-dirs-${process.pid}`
  const root = chooseRoot(undefined, name)
  const kept = join(root.managedSave, '..')
  const shim = new Shim(bareGuest(name, CHANNEL))
  // where Shim finds its sockets
  Object.assign(shim, { root: root.dir })
  t.teardown(async () => {
    await shim.end()
    for (const path of [root.dir, kept, root.log, root.shimLog]) rmSync(path, { recursive: true, force: true })
  })
  for (const left of [false, true]) {
    const exited = shim.run('bin/virshimd', ['--aggregator', 'none', shim.xmlFile])
    await shim.untilState(RUNNING)
    if (left) {
      mkdirSync(kept, { recursive: true })
      writeFileSync(join(kept, 'of-someone-else'), '')
    }
    await shim.call('virDomainDestroy', {})
    t.equal(await exited, 0)
    t.notOk(existsSync(root.dir), root.dir)
    t.equal(existsSync(kept), left, 'what is not empty stays')
    t.ok(existsSync(root.log), 'and logs')
  }
})

t.test('a transient guest with a root of its own, whose shim was killed before its end', async t => {
  const shim = new Shim(bareGuest('t-dirs-root', CHANNEL))
  t.teardown(() => shim.end())
  for (const killed of [false, true]) {
    let exited = shim.start('--aggregator', 'none')
    await shim.untilState(RUNNING)
    if (killed) {
      const { pids } = (await shim.call('/v1/report')).body
      shim.child?.kill('SIGKILL')
      await exited
      process.kill(pids.qemu, 'SIGKILL')
      exited = shim.start('--aggregator', 'none', '--inactive')
      t.type(await exited, 'number', 'there is nothing to serve')
    } else {
      await shim.call('virDomainDestroy', {})
      t.equal(await exited, 0)
    }
    t.same(tree(shim.root), ['log', 'log/qemu.log'])
  }
  const exited = shim.start('--aggregator', 'none')
  await shim.untilState(RUNNING)
  await shim.call('virDomainDestroyFlags', { flags: REMOVE_LOGS })
  t.equal(await exited, 0)
  t.same(tree(shim.root), [], 'the user’s own directory stays')
})

t.test('guests of an aggregator: transient ones, and what was undefined', async t => {
  const host = new AggregatorRun()
  t.teardown(() => host.end())
  await host.start()
  const transient = { xmlDesc: bareGuest('t-dirs-transient', CHANNEL) }
  const gone = (name: string) => host.untilSo(`no ${name}`, async () => (await host.entry(name)) === undefined)
  t.equal((await host.call('virDomainCreateXML', transient)).status, 200)
  await host.call('domains/t-dirs-transient/virDomainDestroy', {})
  await gone('t-dirs-transient')
  const left = (name: string) => (existsSync(host.guest(name)) ? readdirSync(host.guest(name)) : undefined)
  await host.untilSo('logs alone', async () => String(left('t-dirs-transient')) === 'log')

  t.equal((await host.call('virDomainCreateXML', transient)).status, 200)
  await host.call('domains/t-dirs-transient/virDomainDestroyFlags', { flags: REMOVE_LOGS })
  await gone('t-dirs-transient')
  await host.untilSo('only the shim’s log', async () => !tree(host.guest('t-dirs-transient')).includes('log/qemu.log'))

  await host.call('virDomainDefineXML', { xml: bareGuest('t-dirs-kept', CHANNEL) })
  await host.call('domains/t-dirs-kept/virDomainCreate', {})
  await host.until('t-dirs-kept', entry => entry?.state === RUNNING)
  await host.call('domains/t-dirs-kept/virDomainDestroy', {})
  await host.call('domains/t-dirs-kept/virDomainUndefine', {})
  await gone('t-dirs-kept')
  await host.untilSo('logs alone', async () => String(left('t-dirs-kept')) === 'log')
  t.same(left('t-dirs-kept'), ['log'])

  await host.call('virDomainDefineXML', { xml: bareGuest('t-dirs-never', CHANNEL) })
  await host.call('domains/t-dirs-never/virDomainUndefine', {})
  await gone('t-dirs-never')
  await host.untilSo('nothing', async () => (left('t-dirs-never') ?? []).every(name => name === 'log'))
  t.notOk(left('t-dirs-never')?.some(name => name !== 'log'))
})
