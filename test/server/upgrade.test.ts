// Replacing the daemon under a running guest, as docs/upgrade.md says it: detach, start anew on the same root.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../helper/aggregator.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(120_000)

const RUNNING = 1
/** Members of the status that virshim 0.1.0 wrote. */
const OLDER = Object.keys(JSON.parse(readFileSync('test/data/status/0.1.0.json', 'utf8')))

const virshim = (...words: string[]) => spawnSync('bin/virshim', words, { encoding: 'utf8' })

t.test('the guest runs on, and the next shim takes over from the status of an older build', async t => {
  const shim = new Shim(bareGuest('t-upgrade'))
  t.teardown(() => shim.end())
  const exited = shim.start('--aggregator', 'none', '--define')
  await shim.untilState(RUNNING)
  const before = (await shim.call('report')).body
  const xml = (await shim.call('virDomainGetXMLDesc')).body.xml
  const detached = virshim('-c', join(shim.root, 'api.sock'), 'shim-detach', 't-upgrade')
  t.match(detached, { status: 0, stdout: /^Shim of domain 't-upgrade' detached\n/ }, detached.stderr)
  t.equal(await exited, 0)
  t.ok(process.kill(before.pids.qemu, 0), 'QEMU runs on')
  const file = join(shim.root, 'status.json')
  const status = Object.entries(JSON.parse(readFileSync(file, 'utf8')))
  writeFileSync(file, JSON.stringify(Object.fromEntries(status.filter(([name]) => OLDER.includes(name)))))
  const again = shim.start('--aggregator', 'none')
  await shim.untilState(RUNNING)
  const after = (await shim.call('report')).body
  t.match(after, { id: before.id, uuid: before.uuid, persistent: true, pids: { qemu: before.pids.qemu } })
  t.not(after.pids.shim, before.pids.shim)
  t.equal((await shim.call('virDomainGetXMLDesc')).body.xml, xml)
  t.match(await shim.call('domains/nobody/shim-detach', {}), { status: 404, body: { code: 42 } })
  t.match(await shim.call('virDomainSuspend', {}), { status: 200 })
  t.match(await shim.call('virDomainDestroy', {}), { status: 200 })
  t.equal(await again, 0)
})

t.test('through the aggregator: it starts the next shim itself', async t => {
  const host = new AggregatorRun()
  t.teardown(() => host.end())
  await host.start()
  await host.call('virDomainCreateXML', { xmlDesc: bareGuest('t-upgrade') })
  const { pids } = await host.until('t-upgrade', entry => entry?.state === RUNNING)
  const detached = virshim('-c', host.socket, 'shim-detach', 't-upgrade')
  t.equal(detached.status, 0, detached.stderr)
  const is = (entry: { pids: typeof pids; unreachableSince?: number } | undefined) =>
    entry !== undefined && entry.unreachableSince === undefined && ![null, pids.shim].includes(entry.pids.shim)
  t.equal((await host.until('t-upgrade', is)).pids.qemu, pids.qemu)
  t.match(await host.call('domains/t-upgrade/virDomainDestroy', {}), { status: 200 })
})
