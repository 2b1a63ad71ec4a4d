// Reports as a watched socket may send them: in no form of ours, or of a newer shim.
import t from 'tap'
import { fromReport, isInReport, withoutShim } from '../../../src/server/aggregator/from-report.ts'
import { readReport } from '../../../src/server/aggregator/read-report.ts'
import { type KnownGuest, Registry } from '../../../src/server/aggregator/registry.ts'
import { guestsJson } from '../../../src/server/aggregator/view.ts'
import { type Change, simulatedReport } from '../../helper/simulated-shims.ts'

const good = simulatedReport(1)
const read = (value: unknown) => {
  try {
    return readReport(typeof value === 'string' ? value : JSON.stringify(value))
  } catch (error) {
    return (error as Error).message
  }
}
const change = (path: string, value: unknown) => {
  const copy = structuredClone(good) as unknown as Record<string, unknown>
  const names = path.split('.')
  const last = names.pop()!
  const parent = names.reduce((at, name) => at[name] as Record<string, unknown>, copy)
  if (value === undefined) delete parent[last]
  else parent[last] = value
  return copy
}

t.test('reports', async t => {
  t.same(read(good), good)
  t.same(read({ ...good, later: [1] }), { ...good, later: [1] }, 'what a newer shim says beside is kept')
  const fields = Object.keys(good)
  for (const name of fields) t.match(read(change(name, undefined)), `must have required property '${name}'`)
  const cases: [path: string, values: unknown[]][] = [
    // beyond what libvirt's protocol can carry, or its names may be
    ['name', [1, null, {}, ['a'], '', 'a/b', '../b', 'a\0b']],
    ['uuid', [1, null, '', 'x', `${good.uuid}0`, good.uuid.replaceAll('-', '')]],
    ['id', ['1', 1.5, null, -2, 2 ** 31, 1e300]],
    ['state', ['1', 0.5, -1, 8, 2 ** 40]],
    ['reason', [true, -1, 2 ** 31]],
    ['persistent', [1, 'yes', null]],
    ['autostart', [0]],
    ['generation', ['1', 1.5, null, -1, 2 ** 53]],
    ['pids', [{}, { shim: 1 }, { shim: '1', qemu: null }, { shim: 1.5, qemu: null }, []]],
    ['versions', [{ virshim: 1 }, 'x', null]],
    ['sockets', [{ api: null }, ['x']]],
    ['allocations', [{}, [null], [[]], 'x', [{ kind: 'pci', mode: 'exclusive' }]]],
    [
      'allocations.0',
      [
        { kind: 1, key: 'k', mode: 'shared' },
        { kind: 'pci', key: 1, mode: 'shared' }
      ]
    ],
    ['allocations.0.mode', ['both', null, undefined]],
    ['allocations.0.more', ['x']],
    ['allocations.3.amount', ['5', 0.5, null, -1, 2 ** 53]],
    ['allocations.0.kind', ['', 'PCI', 'pci\0', 'a b']],
    ['allocations.0.key', [1, null, 'a\0b']],
    ['claims', ['x', [1], [null]]],
    ['namespaces', ['x', { net: 1 }]]
  ]
  for (const [path, values] of cases) {
    for (const value of values) {
      t.match(read(change(path, value)), /^not a guest's report: /, `${path}: ${JSON.stringify(value)}`)
    }
  }
  for (const text of ['', 'null', '[]', '"report"', '{', '{}', `${JSON.stringify(good)}x`, '\0']) {
    t.type(read(text), 'string', JSON.stringify(text).slice(0, 20))
  }
})

const OFF = { id: -1, state: 5, reason: 1 }
const known = (report: Change, more: Partial<KnownGuest> = {}): KnownGuest => ({
  place: '/a',
  socket: '/a/api.sock',
  unreachableSince: undefined,
  report: { ...good, ...report },
  ...more
})

t.test('what a report answers in place of its shim', async t => {
  const cases: [api: string, report: Change, answer: object | undefined][] = [
    ['virDomainGetState', { state: 3, reason: 7 }, { state: 3, reason: 7 }],
    ['virDomainIsActive', { id: 4 }, { active: 1 }],
    ['virDomainIsActive', OFF, { active: 0 }],
    ['virDomainIsPersistent', { persistent: true }, { persistent: 1 }],
    ['virDomainGetAutostart', { autostart: true }, { autostart: 1 }],
    ['virDomainHasManagedSaveImage', { managedSave: true }, { result: 1 }],
    ['virDomainGetInfo', {}, undefined],
    ['constructor', {}, undefined]
  ]
  for (const [api, report, answer] of cases) {
    const guest = known(report)
    t.equal(isInReport(api), answer !== undefined, api)
    t.same(fromReport(guest, api, false), answer, api)
    t.equal(withoutShim(guest, api), undefined, `${api}: its shim answers`)
    for (const more of [{ socket: undefined }, { unreachableSince: 1 }]) {
      t.same(withoutShim(known(report, more), api), answer, `${api}: ${JSON.stringify(more)}`)
    }
  }
})

t.test('of a guest that has just been changed its shim tells, not what was so before', async t => {
  t.equal(fromReport(known({}), 'virDomainGetState', true), undefined)
  const silent = known({}, { unreachableSince: 1 })
  t.same(fromReport(silent, 'virDomainGetState', true), { state: 1, reason: 1 }, 'unless there is none to tell')
})

t.test('the view: by name, uuid in any case, or id of one that runs', async t => {
  const registry = new Registry()
  const set = (place: string, report: Change, more: Partial<KnownGuest> = {}) =>
    registry.set(place, {
      socket: `${place}/api.sock`,
      unreachableSince: undefined,
      report: { ...simulatedReport(Number(place.slice(1))), ...report },
      ...more
    })
  set('/1', { name: 'a' })
  set('/2', { name: 'b', ...OFF }, { socket: undefined })
  set('/3', { name: 'a', ...OFF }, { unreachableSince: 5 })
  const names = (word?: string) => guestsJson(registry, word).guests.map(({ name, uuid }) => `${name} ${uuid.at(-1)}`)
  t.same(names(), ['a 1', 'b 2', 'a 3'])
  t.same(names('a'), ['a 1', 'a 3'])
  t.same(names('1'), ['a 1'])
  t.same(names('-1'), [], 'is no id')
  t.same(names(''), [])
  t.same(names(simulatedReport(2).uuid.toUpperCase()), ['b 2'])
  const [first, second, third] = guestsJson(registry).guests
  t.same([first!.socket, first!.flags, 'unreachableSince' in first!], ['/1/api.sock', ['same name'], false])
  t.same(['socket' in second!, second!.flags], [false, []])
  t.equal(third!.unreachableSince, 5)
})
