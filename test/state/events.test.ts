// Events in order, and what of them a listener who comes late is told.
import t from 'tap'
import { type DomainEvent, EventLog } from '../../src/state/events.ts'

const KEPT = 1000

/** Emits events numbered by their offset. */
function emit(log: EventLog, from: number, to: number): void {
  for (let offset = from; offset < to; offset++)
    log.emit('VIR_DOMAIN_EVENT_ID_RTC_CHANGE', { utcoffset: BigInt(offset) })
}

/** The ids of what is heard. */
function listen(log: EventLog, lastId?: number) {
  const ids: number[] = []
  const stop = log.listen(({ id }) => ids.push(id), lastId)
  return { ids, stop }
}

t.test('ids grow by one, from where another log had ended', async t => {
  const log = new EventLog(41)
  const { ids } = listen(log)
  emit(log, 0, 3)
  t.same(ids, [41, 42, 43])
})

t.test('who comes late', async t => {
  const log = new EventLog()
  emit(log, 0, 5)
  const cases: [lastId: number | undefined, told: number[]][] = [
    [undefined, []],
    [0, [1, 2, 3, 4, 5]],
    [3, [4, 5]],
    [5, []],
    [99, []],
    [-1, [1, 2, 3, 4, 5]]
  ]
  for (const [lastId, told] of cases) t.same(listen(log, lastId).ids, told, `after ${lastId}`)
  const { ids } = listen(log, 4)
  emit(log, 5, 7)
  t.same(ids, [5, 6, 7], 'what was kept, and then what comes, each once')
})

t.test('a thousand are kept', async t => {
  const log = new EventLog()
  emit(log, 0, KEPT + 10)
  const { ids } = listen(log, 0)
  t.equal(ids.length, KEPT)
  t.equal(ids[0], 11)
  t.equal(ids.at(-1), KEPT + 10)
})

t.test('listeners that come and go while they are told', async t => {
  const log = new EventLog()
  const heard: string[] = []
  const first = log.listen(({ id }) => {
    heard.push(`first ${id}`)
    first()
    log.listen(({ id }) => heard.push(`later ${id}`))
  })
  log.listen(({ id }) => heard.push(`second ${id}`))
  emit(log, 0, 2)
  t.same(heard, ['first 1', 'second 1', 'second 2', 'later 2'])
})

t.test('what an event says', async t => {
  const log = new EventLog()
  const heard: DomainEvent[] = []
  log.listen(event => heard.push(event))
  const before = Date.now() * 1000
  log.emit('VIR_DOMAIN_EVENT_ID_REBOOT', {})
  log.emit('VIR_DOMAIN_EVENT_ID_RTC_CHANGE', { utcoffset: 2n ** 62n }, 5)
  log.add('FROM_ELSEWHERE', { dom: { name: 'g', uuid: 'u', id: 1 } }, 6)
  const [now, ...others] = heard
  t.ok(now!.timestampUs >= before && now!.timestampUs <= Date.now() * 1000, 'now, if nothing else is said')
  t.same(others, [
    { id: 2, event: 'VIR_DOMAIN_EVENT_ID_RTC_CHANGE', timestampUs: 5, data: { utcoffset: 2n ** 62n } },
    { id: 3, event: 'FROM_ELSEWHERE', timestampUs: 6, data: { dom: { name: 'g', uuid: 'u', id: 1 } } }
  ])
})
