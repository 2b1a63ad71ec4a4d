// Listeners that fail: nobody else notices, and the log does.
import t from 'tap'
import { Changes } from '../../src/server/aggregator/changes.ts'
import { GuestEvents } from '../../src/server/aggregator/events.ts'
import { HostEvents } from '../../src/server/aggregator/host-events.ts'
import { Registry } from '../../src/server/aggregator/registry.ts'
import { EventLog } from '../../src/state/events.ts'
import { Listeners } from '../../src/state/listeners.ts'
import { simulatedReport } from '../helper/simulated-shims.ts'

/** A log that keeps what failed. */
function failureLog() {
  const failures: unknown[] = []
  return { failures, error: ({ err }: { err?: unknown }) => failures.push((err as Error).message) }
}

const broken = () => {
  throw new Error('broken')
}

t.test('the others hear all the same', async t => {
  const log = failureLog()
  const listeners = new Listeners<[number]>(log)
  const heard: number[] = []
  listeners.add(broken)
  const stop = listeners.add(value => heard.push(value))
  listeners.tell(1)
  stop()
  listeners.tell(2)
  t.same([heard, log.failures, listeners.size], [[1], ['broken', 'broken'], 1])
})

t.test('who stops listening while others are told hears no more', async t => {
  const listeners = new Listeners<[]>(failureLog())
  let stop = () => {}
  listeners.add(() => stop())
  stop = listeners.add(() => t.fail('it has stopped'))
  listeners.tell()
  t.equal(listeners.size, 1)
})

t.test('events of a guest', async t => {
  const log = failureLog()
  const events = new EventLog(1, log)
  const heard: number[] = []
  events.listen(broken)
  events.listen(({ id }) => heard.push(id))
  events.emit('VIR_DOMAIN_EVENT_ID_REBOOT', {})
  t.same([heard, log.failures], [[1], ['broken']])
})

t.test('guests of an aggregator that come, change and go', async t => {
  const log = failureLog()
  const registry = new Registry(log)
  const heard: string[] = []
  registry.on('guest', broken)
  registry.on('gone', broken)
  registry.on('guest', ({ place }) => heard.push(`guest ${place}`))
  registry.on('gone', ({ place }) => heard.push(`gone ${place}`))
  const guest = { socket: undefined, report: simulatedReport(1), unreachableSince: undefined }
  registry.set('/a', guest)
  registry.set('/a', { ...guest, unreachableSince: 1 })
  registry.remove('/a')
  t.same(heard, ['guest /a', 'guest /a', 'gone /a'])
  t.same(log.failures, ['broken', 'broken', 'broken'])
})

t.test('events of all guests, for RPC and for HTTP', async t => {
  const log = failureLog()
  const source = new GuestEvents(new Registry(log), new Changes(async () => undefined), log)
  t.doesNotThrow(source.listen(broken), 'it can stop')
  let emit: (...told: Parameters<Parameters<GuestEvents['listen']>[0]>) => void = () => {}
  const guests = {
    listen(listener: typeof emit) {
      emit = listener
      return () => {}
    },
    listening: async () => {}
  } as unknown as GuestEvents
  const host = new HostEvents(guests, log)
  const heard: string[] = []
  await host.listen(broken, undefined)
  const stop = await host.listen(({ event }) => heard.push(event), undefined)
  emit({ name: 't', uuid: simulatedReport(1).uuid, id: 1 }, { event: 'E', data: {}, timestampUs: 1 })
  stop()
  t.same([heard, log.failures], [['E'], ['broken']])
})
