// The memory of events does not grow with what QEMU, guests and clients put into them.
import t from 'tap'
import { type DomainEvent, EventLog } from '../../src/state/events.ts'

const MiB = 1024 * 1024
const since = (log: EventLog, id: number) => {
  const events: DomainEvent[] = []
  log.listen(event => events.push(event), id)()
  return events
}

t.test('a listener that comes back goes on where it was, with the last 1000', async t => {
  const log = new EventLog(5)
  for (let i = 0; i < 1200; i++) log.add('VIR_DOMAIN_EVENT_ID_REBOOT', {})
  t.same([since(log, 0).length, since(log, 0)[0]!.id, since(log, 1203).map(({ id }) => id)], [1000, 205, [1204]])
})

t.test('texts are cut, and events kept only as far as they have room', async t => {
  const log = new EventLog()
  const heard: DomainEvent[] = []
  const stop = log.listen(event => heard.push(event))
  const subject = [{ type: 'x509dname', name: 'é'.repeat(5000) }]
  log.add('VIR_DOMAIN_EVENT_ID_GRAPHICS', { phase: 0, authScheme: 'x'.repeat(MiB), subject })
  stop()
  t.same(heard[0]!.data, {
    phase: 0,
    authScheme: 'x'.repeat(4096),
    subject: [{ type: 'x509dname', name: 'é'.repeat(4096) }]
  })
  t.same(since(log, 0), heard)
  for (let i = 0; i < 1000; i++) log.add('VIR_DOMAIN_EVENT_ID_GRAPHICS', { authScheme: `${i}${'y'.repeat(MiB)}` })
  const kept = since(log, 0)
  t.ok(kept.length > 200 && kept.length < 260, `${kept.length} of them`)
  t.equal(kept.at(-1)!.id, 1001)
  log.add('VIR_DOMAIN_EVENT_ID_TUNABLE', { params: Array(2000).fill('z'.repeat(1000)) })
  t.same(since(log, 0), [], 'one that alone has no room is told and not kept')
})

t.test('memory of events of 1 MB each', async t => {
  const log = new EventLog()
  const before = process.memoryUsage().rss
  for (let i = 0; i < 1000; i++) {
    const text = Buffer.alloc(MiB, 'a').toString()
    log.add('VIR_DOMAIN_EVENT_ID_GRAPHICS', { local: { node: text.slice(i), service: text }, bytes: 2n ** 60n })
  }
  const grown = (process.memoryUsage().rss - before) / MiB
  t.ok(grown < 300, `${Math.round(grown)} MiB`)
  t.equal(since(log, 0).at(-1)!.data.bytes, 2n ** 60n)
})
