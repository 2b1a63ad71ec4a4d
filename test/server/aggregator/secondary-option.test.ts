// --secondary reaches the shims that the aggregator starts.
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { bareGuest } from '../../helper/shim.ts'

t.setTimeout(120_000)

const NETWORK = "<interface type='network'><source network='t-none'/></interface>"

t.test('a guest asks the daemons in that directory for its network', async t => {
  const host = new AggregatorRun()
  t.teardown(() => host.end())
  const dir = join(host.dir, 'daemons')
  mkdirSync(dir)
  let connected = 0
  const server = createServer(client => {
    connected++
    client.destroy()
  }).listen(join(dir, 'virtnetworkd-sock'))
  t.teardown(() => server.close())
  await host.start('--secondary', dir)
  t.match(host.stderr, /"network":"[^"]*\/daemons\/virtnetworkd-sock".*libvirt's other daemons/)
  t.notMatch(host.stderr, /"storage"/)
  const { status, body } = await host.call('virDomainCreateXML', { xmlDesc: bareGuest('t-second', NETWORK) })
  t.not(status, 200, body.message)
  t.ok(connected > 0, 'it was asked')
})

t.test('without any there is no network driver', async t => {
  const host = new AggregatorRun()
  t.teardown(() => host.end())
  await host.start()
  const answer = await host.call('virDomainCreateXML', { xmlDesc: bareGuest('t-second', NETWORK) })
  t.match(answer.body, { code: 3, message: /no network driver/ })
})
