// Core dumps that are asked for: what QEMU is told, states and events meanwhile, each failure, and a shim that is killed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Status } from '../../../../src/drivers/qemu/domain/status.ts'
import { settleDump } from '../../../../src/drivers/qemu/save/settle-dump.ts'
import { eightAtATime, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Answers, type Order, refuses } from '../../../helper/stand-in-qemu.ts'

const FORMATS = ['elf', 'kdump-zlib']
const whole = { status: 'completed', completed: 100, total: 100 }
const RAM = { total: 200, remaining: 0, transferred: 80, duplicate: 3, normal: 4, 'normal-bytes': 16384, mbps: 8 }

/** QEMU's part of a memory-only dump: it stops a guest that runs. */
function dumps(result: object = whole, error?: string) {
  return (order: Order) => {
    order.reply()
    order.peer.event('DUMP_COMPLETED', { result, ...(error !== undefined && { error }) })
  }
}

/** QEMU's part of a migration. */
function migrates(status: string, events = ['setup', 'active', status]) {
  return (order: Order) => {
    order.reply()
    for (const one of events) order.peer.event('MIGRATION', { status: one })
  }
}

const ANSWERS: Answers = {
  getfd: {},
  closefd: {},
  'query-dump-guest-memory-capability': { formats: FORMATS },
  'dump-guest-memory': dumps(),
  'query-dump': { status: 'none', completed: 0, total: 0 },
  'query-migrate-capabilities': [],
  'migrate-set-capabilities': {},
  'query-migrate-parameters': {},
  'migrate-set-parameters': {},
  migrate_cancel: {},
  migrate: migrates('completed'),
  'query-migrate': { status: 'completed', downtime: 7, 'setup-time': 2, ram: RAM }
}

async function running(t: Test, answers: Answers = {}): Promise<{ guest: StandInGuest; path: string }> {
  const guest = await StandInGuest.running(t, { persistent: true })
  Object.assign(guest.qemu.peer.answers, ANSWERS, answers)
  return { guest, path: join(guest.dir, 'core') }
}

/** The commands that change something. */
const told = ({ qemu }: StandInGuest) =>
  qemu.peer.orders
    .filter(({ command }) => !/^(query-|migrate-set|qom-)/.test(command))
    .map(({ command, args }) => (command === 'dump-guest-memory' ? `dump ${args.format ?? 'elf'}` : command))

const MEMORY = 'VIR_DUMP_MEMORY_ONLY'
const PAUSED = ['SUSPENDED PAUSED', 'RESUMED UNPAUSED']

t.test('what QEMU is told, by the flags', async t => {
  const ways: [flags: string[], format: number | undefined, told: string[], lifecycle: string[], state: string][] = [
    [[MEMORY], undefined, ['stop', 'getfd', 'dump elf', 'cont'], PAUSED, 'RUNNING UNPAUSED'],
    [[MEMORY], 0, ['stop', 'getfd', 'dump elf', 'cont'], PAUSED, 'RUNNING UNPAUSED'],
    [[MEMORY], 1, ['stop', 'getfd', 'dump kdump-zlib', 'cont'], PAUSED, 'RUNNING UNPAUSED'],
    [[MEMORY, 'VIR_DUMP_LIVE'], undefined, ['getfd', 'dump elf', 'cont'], [], 'RUNNING BOOTED'],
    [
      [MEMORY, 'VIR_DUMP_RESET'],
      undefined,
      ['stop', 'getfd', 'dump elf', 'system_reset', 'cont'],
      PAUSED,
      'RUNNING UNPAUSED'
    ],
    [
      [MEMORY, 'VIR_DUMP_CRASH'],
      undefined,
      ['stop', 'getfd', 'dump elf'],
      ['SUSPENDED PAUSED', 'STOPPED CRASHED'],
      'SHUTOFF CRASHED'
    ],
    [[MEMORY, 'VIR_DUMP_BYPASS_CACHE'], undefined, ['stop', 'getfd', 'dump elf', 'cont'], PAUSED, 'RUNNING UNPAUSED'],
    [[], undefined, ['stop', 'getfd', 'migrate', 'cont'], PAUSED, 'RUNNING UNPAUSED'],
    [['VIR_DUMP_LIVE'], undefined, ['getfd', 'migrate', 'cont'], [], 'RUNNING BOOTED'],
    [
      ['VIR_DUMP_CRASH'],
      undefined,
      ['stop', 'getfd', 'migrate'],
      ['SUSPENDED PAUSED', 'STOPPED CRASHED'],
      'SHUTOFF CRASHED'
    ]
  ]
  await eightAtATime(ways, async ([flags, dumpformat, orders, lifecycle, state]) => {
    const { guest, path } = await running(t)
    const api = dumpformat === undefined ? 'virDomainCoreDump' : 'virDomainCoreDumpWithFormat'
    const name = `${flags} ${dumpformat ?? ''}`
    t.equal(await guest.failureOf(api, { to: path, flags, ...(dumpformat !== undefined && { dumpformat }) }), '', name)
    t.same(told(guest), orders, name)
    t.same(guest.lifecycle, lifecycle, name)
    t.equal(await guest.state(), state, name)
    t.ok(existsSync(path), name)
    t.equal(guest.domain.run?.memoryFile, undefined, name)
  })
})

t.test('a guest that does not run stays so', async t => {
  const { guest, path } = await running(t)
  await guest.call('virDomainSuspend')
  guest.forget()
  const flags = [MEMORY, 'VIR_DUMP_RESET']
  t.equal(await guest.failureOf('virDomainCoreDump', { to: path, flags }), '')
  t.same(told(guest), ['getfd', 'dump elf', 'system_reset'])
  t.equal(await guest.state(), 'PAUSED USER')
  t.same(guest.lifecycle, [])
})

t.test('while it goes on: state, progress, who may do what', async t => {
  const active = { status: 'active', completed: 40, total: 100 }
  const { guest, path } = await running(t, { 'dump-guest-memory': {}, 'query-dump': active })
  const dumped = guest.failureOf('virDomainCoreDump', { to: path, flags: [MEMORY] })
  await guest.qemu.peer.told('dump-guest-memory')
  t.equal(await guest.state(), 'PAUSED DUMP')
  const status = (await guest.status())!
  t.match(status, { job: { kind: 'dump', api: 'virDomainCoreDump', flags: 16 }, memoryFile: { path, made: true } })
  t.match(await guest.call('virDomainGetJobInfo'), { type: 2, memTotal: 100, memProcessed: 40, memRemaining: 60 })
  t.match(await guest.failureOf('virDomainAbortJob'), /cannot abort memory-only dump/)
  guest.qemu.peer.event('DUMP_COMPLETED', { result: whole })
  t.equal(await dumped, '')
  t.same((await guest.call('virDomainGetJobStats', { flags: 1 })).type, 0, 'libvirt keeps nothing of a dump of memory')
})

t.test('downtime of a dump with devices: since its guest was stopped, or as QEMU has it', async t => {
  const seen = async (guest: StandInGuest, path: string) => {
    await guest.call('virDomainCoreDump', { to: path, flags: [] })
    return (await guest.call('virDomainGetJobStats', { flags: 1 })).params
  }
  const day = 24 * 60 * 60 * 1000
  const answers = { 'query-migrate': { status: 'completed', downtime: day, 'setup-time': 2, ram: RAM } }
  const { guest, path } = await running(t, answers)
  const params = await seen(guest, path)
  t.ok(params.downtime < day)
  const names = [
    'operation',
    'time_elapsed',
    'downtime',
    'setup_time',
    'data_total',
    'data_processed',
    'data_remaining'
  ]
  t.same(Object.keys(params).slice(0, 7), names)
  t.match(params, { operation: 8, setup_time: 2, memory_total: 200, memory_bps: 1_000_000, memory_constant: 3 })
  const [told] = guest.told.filter(([event]) => event === 'JOB_COMPLETED')
  t.match(told, ['JOB_COMPLETED', { params: { operation: { value: 8 } } }])
  await guest.call('virDomainSuspend')
  t.equal(Number((await seen(guest, path)).downtime), day)
})

t.test('a dump with devices can be given up, and counts as a save does', async t => {
  const { guest, path } = await running(t, {
    migrate: migrates('active', ['setup', 'active']),
    'query-migrate': (order: Order) =>
      order.reply({ status: 'active', 'expected-downtime': 300, ram: { ...RAM, remaining: 120 } })
  })
  const dumped = guest.failureOf('virDomainCoreDump', { to: path, flags: [] })
  await guest.qemu.peer.told('migrate')
  t.match(await guest.call('virDomainGetJobInfo'), { type: 2, dataTotal: 200, memProcessed: 80, dataRemaining: 120 })
  guest.qemu.peer.answers['query-migrate'] = { status: 'cancelled' }
  guest.qemu.peer.answers.migrate_cancel = migrates('cancelled', ['cancelling', 'cancelled'])
  t.equal(await guest.failureOf('virDomainAbortJob'), '')
  t.match(await dumped, /VIR_ERR_OPERATION_ABORTED/)
  t.notOk(existsSync(path))
  t.equal(await guest.state(), 'RUNNING UNPAUSED')
})

t.test('each failure leaves no file that was made, and the guest as it was', async t => {
  const failed = { status: 'failed', completed: 10, total: 100 }
  const ways: [name: string, args: object, answers: Answers, error: RegExp][] = [
    [
      'no such directory',
      { to: '/nosuch/core' },
      {},
      /VIR_ERR_SYSTEM_ERROR .*Failed to create file '\/nosuch\/core': No such file/
    ],
    [
      'a format it has not',
      { dumpformat: 3 },
      {},
      /VIR_ERR_INVALID_ARG .*unsupported dumpformat 'kdump-snappy' for this QEMU binary/
    ],
    [
      'a format of memory with devices',
      { dumpformat: 1, flags: [] },
      {},
      /VIR_ERR_OPERATION_UNSUPPORTED .*kdump-compressed format is only supported with memory-only dump/
    ],
    ['no descriptor', {}, { getfd: refuses('no getfd') }, /no getfd/],
    ['refused', {}, { 'dump-guest-memory': refuses('in process') }, /in process/],
    [
      'past the cache, refused',
      { flags: [MEMORY, 'VIR_DUMP_BYPASS_CACHE'] },
      { 'dump-guest-memory': refuses('in process') },
      /in process/
    ],
    ['failed', {}, { 'dump-guest-memory': dumps(failed, 'no space') }, /memory-only dump failed: no space/],
    ['failed, unexplained', {}, { 'dump-guest-memory': dumps(failed) }, /failed for unknown reason/],
    ['cannot be asked', { dumpformat: 1 }, { 'query-dump-guest-memory-capability': refuses('no idea') }, /no idea/],
    ['not stopped', {}, { stop: refuses('no stop') }, /no stop/],
    ['migration refused', { flags: [] }, { migrate: refuses('no migration') }, /no migration/],
    [
      'migration failed',
      { flags: [] },
      { migrate: migrates('failed'), 'query-migrate': { status: 'failed', 'error-desc': 'no space' } },
      /VIR_ERR_OPERATION_FAILED .*no space/
    ],
    [
      'crash after a failure',
      { flags: [MEMORY, 'VIR_DUMP_CRASH'] },
      { 'dump-guest-memory': refuses('in process') },
      /in process/
    ]
  ]
  await eightAtATime(
    ways.flatMap(way => [[...way, false] as const, [...way, true] as const]),
    async ([name, args, answers, error, isThere]) => {
      const { guest, path } = await running(t, answers)
      if (isThere) writeFileSync(path, 'former')
      const given = { to: path, flags: [MEMORY], ...args }
      const api = 'dumpformat' in args ? 'virDomainCoreDumpWithFormat' : 'virDomainCoreDump'
      t.match(await guest.failureOf(api, given), error, name)
      t.equal(existsSync(path), isThere, name)
      t.match(await guest.state(), /^RUNNING/, name)
      t.equal(guest.domain.jobs.async, undefined, name)
      t.equal(guest.domain.run?.memoryFile, undefined, name)
      t.equal((await guest.status())?.job, undefined, name)
      t.notOk(told(guest).includes('system_reset'), name)
    }
  )
})

t.test('a guest that does not go on behind its dump', async t => {
  const { guest, path } = await running(t, { cont: refuses('no cont') })
  t.equal(await guest.failureOf('virDomainCoreDump', { to: path, flags: [MEMORY] }), '', 'the dump is good')
  t.equal(await guest.state(), 'PAUSED API_ERROR')
  t.same(guest.lifecycle, ['SUSPENDED PAUSED', 'SUSPENDED API_ERROR'])
})

t.test('a guest that is not reset goes on', async t => {
  const { guest, path } = await running(t, { system_reset: refuses('no reset') })
  const flags = [MEMORY, 'VIR_DUMP_RESET']
  t.match(await guest.failureOf('virDomainCoreDump', { to: path, flags }), /no reset/)
  t.equal(await guest.state(), 'RUNNING UNPAUSED')
})

t.test('a guest that goes meanwhile', async t => {
  const { guest, path } = await running(t, { 'dump-guest-memory': {} })
  const dumped = guest.failureOf('virDomainCoreDump', { to: path, flags: [MEMORY, 'VIR_DUMP_CRASH'] })
  await guest.qemu.peer.told('dump-guest-memory')
  t.equal(await guest.failureOf('virDomainDestroy'), '')
  t.match(await dumped, /domain is not running/)
  t.equal(await guest.state(), 'SHUTOFF DESTROYED')
  t.notOk(existsSync(path))
})

t.test('arguments that do not go together', async t => {
  const { guest, path } = await running(t)
  const call = (api: string, args: object) => guest.failureOf(api, { to: path, ...args })
  const both = (one: string, other: string) =>
    `VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: Flags '${one}' and '${other}' are mutually exclusive`
  const [CRASH, LIVE, RESET] = ['VIR_DUMP_CRASH', 'VIR_DUMP_LIVE', 'VIR_DUMP_RESET'] as const
  t.equal(await call('virDomainCoreDump', { flags: [LIVE, CRASH] }), both(CRASH, LIVE))
  t.equal(await call('virDomainCoreDump', { flags: [CRASH, RESET] }), both(CRASH, RESET))
  t.equal(await call('virDomainCoreDumpWithFormat', { dumpformat: 0, flags: [LIVE, RESET] }), both(LIVE, RESET))
  t.match(await call('virDomainCoreDumpWithFormat', { dumpformat: 5, flags: [] }), /dumpformat '5' is not supported/)
  t.match(await call('virDomainCoreDump', { flags: 32 }), /VIR_ERR_INVALID_ARG .*flags/)
  t.same(told(guest), [])
  await guest.call('virDomainDestroy')
  t.match(await call('virDomainCoreDump', { flags: [MEMORY] }), /domain is not running/)
})

/** The guest is left while `command` is under way, and nothing of the call that began it happens any more. */
async function leftAt(guest: StandInGuest, command: string, flags: string[], path: string): Promise<void> {
  guest.failureOf('virDomainCoreDump', { to: path, flags }).catch(() => undefined)
  await guest.qemu.peer.told(command)
  // answered behind it
  await guest.failureOf('virDomainGetJobInfo')
}

t.test('a shim that is killed while QEMU dumps memory: the next one goes on with it', async t => {
  const failed = { status: 'failed', completed: 10, total: 100 }
  const none = { status: 'none', completed: 0, total: 0 }
  const active = { status: 'active', completed: 40, total: 100 }
  const ways: [
    name: string,
    flags: string[],
    found: object,
    then: object | undefined,
    written: string,
    state: string,
    kept: boolean
  ][] = [
    ['still busy', [], active, whole, 'core', 'RUNNING UNPAUSED', true],
    ['still busy, and fails', [], active, failed, 'part', 'RUNNING SAVE_CANCELED', false],
    ['over', [], whole, undefined, 'core', 'RUNNING UNPAUSED', true],
    ['failed', [], failed, undefined, 'part', 'RUNNING SAVE_CANCELED', false],
    ['never begun', [], none, undefined, '', 'RUNNING SAVE_CANCELED', false],
    ['not begun, after an earlier one', [], whole, undefined, '', 'RUNNING SAVE_CANCELED', false],
    ['to be reset', ['VIR_DUMP_RESET'], active, whole, 'core', 'RUNNING UNPAUSED', true],
    ['to crash', ['VIR_DUMP_CRASH'], active, whole, 'core', 'SHUTOFF CRASHED', true],
    ['to crash, and fails', ['VIR_DUMP_CRASH'], active, failed, 'part', 'RUNNING SAVE_CANCELED', false]
  ]
  await eightAtATime(ways, async ([name, flags, found, then, written, state, kept]) => {
    const { guest, path } = await running(t, { 'dump-guest-memory': {}, 'query-dump': found })
    await leftAt(guest, 'dump-guest-memory', [MEMORY, ...flags], path)
    t.match(await guest.status(), { memoryFile: { path, made: true } }, name)
    guest.leave()
    guest.forget()
    writeFileSync(path, written)
    t.equal(await guest.takeOver(), true, name)
    const over = guest.domain.jobs.async?.ended.catch(() => undefined)
    if (then) {
      t.match(await guest.call('virDomainGetJobInfo'), { type: 2, memProcessed: 40 }, name)
      guest.qemu.peer.event('DUMP_COMPLETED', { result: then })
    }
    await over
    await guest.untilState(state)
    t.equal(told(guest).includes('system_reset'), flags.includes('VIR_DUMP_RESET'), name)
    t.equal(existsSync(path), kept, name)
    if (kept) t.equal(readFileSync(path, 'utf8'), written, name)
    t.equal(guest.domain.jobs.async, undefined, name)
    t.equal(guest.domain.run?.memoryFile, undefined, name)
  })
})

t.test('a shim that is killed before there is a file, or behind a dump that is whole', async t => {
  const job = { kind: 'dump', api: 'virDomainCoreDump', sinceMs: 1 } as const
  const paused = { state: 3, reason: 4 }
  const ways: [name: string, flags: number, phase: string | undefined, state: string, told: string[]][] = [
    ['memory, no file yet', 16 + 1, undefined, 'RUNNING SAVE_CANCELED', ['cont']],
    ['memory, whole', 16, 'written', 'RUNNING UNPAUSED', ['cont']],
    ['memory, whole, to be reset', 16 + 8, 'written', 'RUNNING UNPAUSED', ['system_reset', 'cont']],
    ['memory, whole, to crash', 16 + 1, 'written', 'SHUTOFF CRASHED', []],
    ['no file yet', 1, undefined, 'RUNNING SAVE_CANCELED', ['cont']],
    ['whole', 0, 'written', 'RUNNING UNPAUSED', ['cont']],
    ['whole, to crash', 1, 'written', 'SHUTOFF CRASHED', []]
  ]
  await eightAtATime(ways, async ([name, flags, phase, state, orders]) => {
    const { guest } = await running(t, { 'query-dump': whole })
    guest.qemu.peer.answers.closefd = refuses('no such descriptor')
    await guest.call('virDomainSuspend')
    guest.leave()
    guest.forget()
    await guest.takeOver({ ...paused, job: { ...job, flags, ...(phase !== undefined && { phase }) } })
    await settleDump(guest.domain, (await guest.status()) ?? ({} as Status))
    await guest.untilState(state)
    const done = told(guest).filter(command => ['cont', 'system_reset', 'migrate_cancel'].includes(command))
    t.same(done, orders, name)
    t.equal(guest.domain.jobs.async, undefined, name)
  })
})

t.test('a shim that is killed before it knows that its guest has stopped', async t => {
  for (const flags of [0, 16]) {
    const { guest } = await running(t)
    await guest.call('virDomainSuspend')
    guest.leave()
    guest.forget()
    guest.qemu.peer.answers.closefd = refuses('no such descriptor')
    const job = { kind: 'dump', api: 'virDomainCoreDump', sinceMs: 1, flags } as const
    await guest.takeOver({ state: 1, reason: 1, job })
    await settleDump(guest.domain, (await guest.status())!)
    await guest.untilState('RUNNING')
    t.ok(told(guest).includes('cont'))
  }
})

t.test('a shim that is killed while QEMU migrates: the next one gives it up', async t => {
  for (const made of [true, false] as const) {
    const { guest, path } = await running(t, { migrate: migrates('active', ['setup', 'active']) })
    if (!made) writeFileSync(path, 'former')
    guest.qemu.peer.answers['query-migrate'] = { status: 'active', ram: RAM }
    await leftAt(guest, 'migrate', ['VIR_DUMP_CRASH'], path)
    guest.leave()
    guest.forget()
    guest.qemu.peer.answers.migrate_cancel = (order: Order) => {
      guest.qemu.peer.answers['query-migrate'] = { status: 'cancelled' }
      order.reply()
    }
    const status = (await guest.status())!
    await guest.takeOver()
    await settleDump(guest.domain, status)
    t.ok(told(guest).includes('migrate_cancel'))
    t.equal(await guest.state(), 'RUNNING SAVE_CANCELED')
    t.equal(existsSync(path), !made)
    t.equal(guest.domain.jobs.async, undefined)
  }
})

t.test('a guest that ended with its shim while it was dumped', async t => {
  const { guest, path } = await running(t, { 'dump-guest-memory': {} })
  await leftAt(guest, 'dump-guest-memory', [MEMORY], path)
  guest.leave()
  const status = (await guest.status())!
  await guest.qemu.end()
  t.equal(await guest.takeOver(), false)
  await settleDump(guest.domain, status)
  t.notOk(existsSync(path))
})
