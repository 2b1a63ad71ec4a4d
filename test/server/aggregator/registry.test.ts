import t from 'tap'
import { type KnownGuest, Registry } from '../../../src/server/aggregator/registry.ts'
import { simulatedReport } from '../../helper/simulated-shims.ts'

const at = (place: string): Pick<KnownGuest, 'socket' | 'unreachableSince'> => ({
  socket: `${place}/api.sock`,
  unreachableSince: undefined
})

t.test('two guests of one name are both there, flagged', t => {
  const registry = new Registry()
  registry.set('/a', { ...at('/a'), report: simulatedReport(1, 'twin') })
  registry.set('/b', { ...at('/b'), report: simulatedReport(2, 'twin') })
  registry.set('/c', { ...at('/c'), report: simulatedReport(3) })
  t.same(
    Array.from(registry.all(), guest => registry.flags(guest)),
    [['same name'], ['same name'], []]
  )
  t.equal([...registry.guests()].length, 3)
  t.equal(registry.byName('twin')?.place, '/a', 'the one found first')
  registry.remove('/a')
  t.same(registry.flags(registry.at('/b')!), [])
  t.equal(registry.byName('twin')?.place, '/b')
  t.end()
})

t.test('two processes with one uuid are two guests', t => {
  const registry = new Registry()
  registry.set('/a', { ...at('/a'), report: simulatedReport(1) })
  registry.set('/b', { ...at('/b'), report: { ...simulatedReport(2), uuid: simulatedReport(1).uuid } })
  t.same(
    Array.from(registry.all(), guest => registry.flags(guest)),
    [['same uuid'], ['same uuid']]
  )
  t.equal([...registry.guests()].length, 2)
  t.end()
})

t.test('one process behind two sockets is listed once, by the socket that answers', t => {
  const registry = new Registry()
  const report = simulatedReport(1)
  registry.set('/a', { ...at('/a'), report })
  registry.set('/b', { ...at('/b'), report })
  t.same(
    Array.from(registry.all(), guest => registry.flags(guest)),
    [['two sockets'], ['two sockets']]
  )
  t.same(
    Array.from(registry.guests(), ({ place }) => place),
    ['/a']
  )
  registry.markUnreachable('/a')
  t.same(
    Array.from(registry.guests(), ({ place }) => place),
    ['/b']
  )
  t.equal(registry.find(report.uuid.toUpperCase())?.place, '/b')
  t.equal(registry.find(report.name)?.place, '/b')
  t.end()
})

t.test('a guest that is renamed is found by its new name alone', t => {
  const registry = new Registry()
  registry.set('/a', { ...at('/a'), report: simulatedReport(1, 'old') })
  registry.set('/a', { ...at('/a'), report: simulatedReport(1, 'new') })
  t.equal(registry.byName('old'), undefined)
  t.equal(registry.byName('new')?.place, '/a')
  t.equal(registry.size, 1)
  t.end()
})

t.test('the first notice of a silent shim counts', t => {
  const registry = new Registry()
  registry.set('/a', { ...at('/a'), report: simulatedReport(1) })
  registry.markUnreachable('/a')
  const { unreachableSince } = registry.at('/a')!
  t.type(unreachableSince, 'number')
  registry.markUnreachable('/a')
  t.equal(registry.at('/a')?.unreachableSince, unreachableSince)
  registry.markUnreachable('/nowhere')
  t.equal(registry.size, 1)
  t.end()
})
