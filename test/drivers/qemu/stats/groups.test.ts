// Bulk statistics of a guest whose QEMU leaves members out, counts beyond all bounds, or answers something else: a
// group it spoils is left out, and the others are there.
import t, { type Test } from 'tap'
import { virDomainStatsTypes } from '../../../../src/conf/enums.ts'
import { recordOf } from '../../../../src/drivers/qemu/stats/record.ts'
import { codecOf } from '../../../../src/server/rpc/codec.ts'
import { XdrWriter } from '../../../../src/server/rpc/xdr.ts'
import { Clock } from '../../../helper/clock.ts'
import { type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { dies, refuses, silent } from '../../../helper/stand-in-qemu.ts'

const QDEV = '/machine/peripheral/virtio-disk0/virtio-backend'
/** For less than this long a balloon's report is as new. */
const FRESH_MS = 101
const MAX = 2n ** 64n - 1n
const PARTS: GuestParts = {
  files: { 'disk.img': 'x'.repeat(8192) },
  outside: '<iothreads>1</iothreads>',
  devices: `<disk type='file' device='disk'><source file='@/disk.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'/>`
}

/** The values of groups, 0 for all, as any client may be told them. */
async function valuesOf(guest: StandInGuest, groups: number): Promise<Record<string, unknown>> {
  const record = await recordOf(guest.domain, groups)
  codecOf('statsRecord').write(record, new XdrWriter())
  return Object.fromEntries(Object.entries(record.params).map(([name, { value }]) => [name, value]))
}

const { VIR_DOMAIN_STATS_BALLOON, VIR_DOMAIN_STATS_BLOCK, VIR_DOMAIN_STATS_IOTHREAD } = virDomainStatsTypes
const { VIR_DOMAIN_STATS_DIRTYRATE, VIR_DOMAIN_STATS_STATE, VIR_DOMAIN_STATS_VCPU } = virDomainStatsTypes

/** What is told of every running guest, whatever its QEMU says. */
const ALWAYS = {
  'state.state': 1,
  'state.reason': 1,
  'balloon.current': 65536n,
  'balloon.maximum': 65536n,
  'vcpu.current': 1,
  'vcpu.maximum': 1,
  'vcpu.0.state': 1,
  'net.count': 1,
  'block.count': 1,
  'block.0.name': 'vda',
  'block.0.capacity': 8192n,
  'block.0.physical': 8192n
}

t.test('what is told of a guest that runs', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  t.match(await valuesOf(guest, 0), { ...ALWAYS, 'dirtyrate.calc_status': 0, 'balloon.last-update': 0n })
  t.same(guest.qemu.peer.commands.sort(), [
    'qom-get',
    'query-blockstats',
    'query-blockstats',
    'query-dirty-rate',
    'query-iothreads',
    'query-named-block-nodes'
  ])
})

const QUESTIONS = ['qom-get', 'query-blockstats', 'query-named-block-nodes', 'query-dirty-rate', 'query-iothreads']

t.test('a QEMU that does not tell', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  for (const command of QUESTIONS) guest.qemu.answers[command] = refuses('no')
  t.match(await valuesOf(guest, 0), { ...ALWAYS, 'dirtyrate.calc_status': undefined })
  const clock = new Clock(t)
  clock.pass(FRESH_MS)
  for (const command of QUESTIONS) guest.qemu.answers[command] = silent
  guest.forget()
  const late = valuesOf(guest, 0)
  for (const command of QUESTIONS) await guest.qemu.peer.told(command)
  clock.pass(2000)
  t.match(await late, ALWAYS, 'in two seconds')
  const ended = guest.ended()
  guest.qemu.answers['query-named-block-nodes'] = dies(guest.qemu)
  t.match(await valuesOf(guest, VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_BLOCK), { 'block.count': 1 }, 'any more')
  await ended
})

t.test('a QEMU that answers something else', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  const values = [
    null,
    true,
    'x',
    7,
    -1,
    2n ** 80n,
    1.5,
    [],
    {},
    [null],
    ['x'],
    [[]],
    [{}],
    { stats: null },
    { status: 7 }
  ]
  const qdev = QDEV
  const near = [[{ qdev, stats: null }], [{ qdev: 7 }], [{ qdev, inserted: {} }], [{ id: 7 }], [{ id: 'iothread1' }]]
  const clock = new Clock(t)
  for (const command of QUESTIONS) {
    for (const value of [...values, ...near]) {
      guest.qemu.answers[command] = value
      clock.pass(FRESH_MS)
      const told = await valuesOf(guest, 0).catch(error => error)
      const shown = String(JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}` : v)))
      t.match(told, ALWAYS, `${command}: ${shown}`)
    }
    delete guest.qemu.answers[command]
  }
})

/** Integers no counter of libvirt's can have are left out; those it can have are told with all digits. */
const COUNTS: [said: unknown, told: bigint | undefined][] = [
  [0, 0n],
  [7, 7n],
  [2n ** 53n + 1n, 2n ** 53n + 1n],
  [MAX, MAX],
  [MAX + 1n, undefined],
  [-1, undefined],
  [-(2n ** 63n), undefined],
  [1.5, undefined],
  ['7', undefined],
  [null, undefined],
  [{}, undefined]
]

t.test('counters of disks', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  for (const [said, told] of COUNTS.filter(([count]) => typeof count !== 'string')) {
    guest.qemu.answers['query-blockstats'] = [{ qdev: QDEV, stats: { rd_operations: said, wr_bytes: 5 } }]
    const values = await valuesOf(guest, VIR_DOMAIN_STATS_BLOCK)
    t.equal(values['block.0.rd.reqs'], said === null ? 0n : told, `rd_operations ${said}`)
    if (told !== undefined) t.equal(values['block.0.wr.bytes'], 5n)
  }
  guest.qemu.answers['query-blockstats'] = [{ qdev: QDEV, stats: {} }]
  t.match(await valuesOf(guest, VIR_DOMAIN_STATS_BLOCK), { 'block.0.rd.reqs': 0n, 'block.0.fl.times': 0n })
  guest.qemu.answers['query-blockstats'] = [{ qdev: '/machine/peripheral/virtio-disk1/virtio-backend', stats: {} }]
  t.notOk('block.0.rd.reqs' in (await valuesOf(guest, VIR_DOMAIN_STATS_BLOCK)), 'of another disk')
})

const NODE = 'libvirt-1-storage'

t.test('sizes of images, by their nodes', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  const nodes = (image: unknown, more: object = {}) => {
    guest.qemu.answers['query-named-block-nodes'] = [{ 'node-name': NODE, image, ...more }, {}]
  }
  const told = () => valuesOf(guest, VIR_DOMAIN_STATS_BLOCK)
  const size = (name: string) => async () => (await told())[`block.0.${name}`]
  guest.qemu.answers['query-blockstats'] = [{ 'node-name': NODE, stats: { wr_highest_offset: 512 } }, {}]
  nodes({ 'virtual-size': 4096, 'actual-size': 1024 }, { write_threshold: 2048 })
  t.match(await told(), {
    'block.0.allocation': 512n,
    'block.0.capacity': 4096n,
    'block.0.physical': 1024n,
    'block.0.threshold': 2048n
  })
  nodes({ 'virtual-size': 4096 }, { write_threshold: 0 })
  t.match(await told(), { 'block.0.physical': 4096n, 'block.0.threshold': undefined }, 'an image that is all there')
  nodes({ 'virtual-size': 0, 'actual-size': 0 })
  t.match(await told(), { 'block.0.capacity': undefined, 'block.0.physical': 8192n }, 'what is 0 is not known')
  for (const [said, told] of COUNTS) {
    nodes({ 'virtual-size': said, 'actual-size': 1 })
    t.equal(await size('capacity')(), told || undefined, `virtual-size ${said}`)
  }
  nodes(null)
  t.match(await told(), { 'block.0.allocation': 512n, 'block.0.capacity': undefined, 'block.0.physical': 8192n })
})

t.test('what a balloon has reported', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  const clock = new Clock(t)
  for (const [said, told] of COUNTS) {
    clock.pass(FRESH_MS)
    guest.qemu.answers['qom-get'] = { stats: { 'stat-major-faults': said, 'stat-free-memory': 4096 }, 'last-update': 9 }
    const values = await valuesOf(guest, VIR_DOMAIN_STATS_BALLOON)
    // QEMU's word for what is not known is the greatest there is
    t.equal(values['balloon.major_fault'], told === MAX ? undefined : told, `stat-major-faults ${said}`)
    t.match(values, { 'balloon.current': 65536n })
    if (told !== undefined && told !== MAX) t.match(values, { 'balloon.unused': 4n, 'balloon.last-update': 9n })
  }
})

t.test('I/O threads and dirty rates', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  const thread = { id: 'iothread1', 'thread-id': 1, 'poll-max-ns': MAX, 'poll-grow': 0, 'poll-shrink': 2 ** 32 - 1 }
  const answers: [said: object[], told: Record<string, unknown>][] = [
    [[], {}],
    [
      [thread],
      {
        'iothread.count': 1,
        'iothread.1.poll-max-ns': MAX,
        'iothread.1.poll-grow': 0,
        'iothread.1.poll-shrink': 2 ** 32 - 1
      }
    ],
    [[{ ...thread, id: 'mine' }], { 'iothread.count': 1 }],
    [[{ ...thread, 'poll-grow': undefined }], { 'iothread.count': 1 }],
    [
      [{ ...thread, 'poll-grow': 2 ** 32, 'poll-weight': 3 }],
      {
        'iothread.count': 1,
        'iothread.1.poll-max-ns': MAX,
        'iothread.1.poll-grow': 2n ** 32n,
        'iothread.1.poll-shrink': 2 ** 32 - 1,
        'iothread.1.poll-weight': 3
      }
    ]
  ]
  for (const [said, told] of answers) {
    guest.qemu.answers['query-iothreads'] = said
    t.same(await valuesOf(guest, VIR_DOMAIN_STATS_IOTHREAD), told)
  }
  const measured = { status: 'measured', 'start-time': 5, 'calc-time': 1, 'dirty-rate': 12 }
  const head = { 'dirtyrate.calc_status': 2, 'dirtyrate.calc_start_time': 5n, 'dirtyrate.calc_period': 1 }
  const rates: [said: object, told: Record<string, unknown>][] = [
    [measured, { ...head, 'dirtyrate.calc_mode': 'page-sampling', 'dirtyrate.megabytes_per_second': 12n }],
    [
      { ...measured, mode: 'dirty-ring', 'vcpu-dirty-rate': [{ id: 3, 'dirty-rate': 4 }] },
      {
        ...head,
        'dirtyrate.calc_mode': 'dirty-ring',
        'dirtyrate.megabytes_per_second': 12n,
        'dirtyrate.vcpu.3.megabytes_per_second': 4n
      }
    ],
    [
      { ...measured, status: 'measuring' },
      { ...head, 'dirtyrate.calc_status': 1, 'dirtyrate.calc_mode': 'page-sampling' }
    ]
  ]
  for (const [said, told] of rates) {
    guest.qemu.answers['query-dirty-rate'] = said
    t.same(await valuesOf(guest, VIR_DOMAIN_STATS_DIRTYRATE), told)
  }
})

t.test('a guest that does not run', async t => {
  const guest = await StandInGuest.make(t, PARTS)
  t.same(await valuesOf(guest, VIR_DOMAIN_STATS_VCPU), { 'vcpu.current': 1, 'vcpu.maximum': 1 })
  t.match(await valuesOf(guest, 0), { 'state.state': 5, 'block.0.capacity': 8192n, 'net.count': undefined })
  t.equal(guest.qemu.launches, 0)
})

t.test('groups there are not', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  const stats = 2 ** 30
  t.equal(await guest.failureOf('virDomainListGetStats', { stats }), '')
  t.equal(
    await guest.failureOf('virDomainListGetStats', {
      stats,
      flags: ['VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS']
    }),
    'VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_QEMU: argument unsupported: Stats types bits 0x40000000 are not supported by this daemon or QEMU'
  )
})

/** Fails unless each call of the table gives what it says. */
async function gives(
  t: Test,
  guest: StandInGuest,
  calls: [api: string, args: object, gives: unknown][]
): Promise<void> {
  for (const [api, args, expected] of calls) {
    if (expected instanceof RegExp) t.match(await guest.failureOf(api, args), expected, api)
    else t.match(await guest.call(api, args), expected as object, api)
  }
}

t.test('the same numbers, by the calls that are older', async t => {
  const guest = await StandInGuest.running(t, PARTS)
  const stats = { rd_operations: 1, rd_bytes: MAX, wr_operations: 3, wr_bytes: 4, flush_operations: 5 }
  guest.qemu.answers['query-blockstats'] = [{ qdev: QDEV, stats }]
  guest.qemu.answers['query-block'] = [{ qdev: QDEV, 'io-status': 'nospace' }]
  guest.qemu.answers['qom-get'] = { stats: { 'stat-free-memory': 4096, 'stat-swap-in': MAX }, 'last-update': 9 }
  const disk = `${guest.dir}/disk.img`
  await gives(t, guest, [
    ['virDomainBlockStats', { path: disk }, { rd_req: 1n, wr_req: 3n, wr_bytes: 4n, errs: -1n }],
    ['virDomainBlockStatsFlags', { path: 'vda' }, { params: { rd_operations: 1n, flush_operations: 5n } }],
    ['virDomainBlockStats', { path: 'vdz' }, /^VIR_ERR_INVALID_ARG .* invalid path: vdz$/],
    ['virDomainGetBlockInfo', { disk: 'vda' }, { capacity: 8192n, physical: 8192n }],
    ['virDomainGetBlockInfo', { disk: 'vdz' }, /^VIR_ERR_INVALID_ARG .* invalid path vdz not assigned to domain$/],
    ['virDomainGetDiskErrors', {}, { errors: [{ disk: 'vda', error: 2 }] }],
    [
      'virDomainMemoryStats',
      {},
      { stats: [{ tag: 6, val: 65536n }, { tag: 4, val: 4n }, { tag: 9, val: 9n }, { tag: 7 }] }
    ],
    ['virDomainGetMaxMemory', {}, { memory: 65536n }],
    [
      'virDomainInterfaceStats',
      { device: 'vnet99' },
      /^VIR_ERR_INVALID_ARG VIR_FROM_DOMAIN: .*'vnet99' is not a known interface$/
    ],
    ['virDomainGetMaxVcpus', {}, { num: 1 }],
    ['virDomainGetVcpusFlags', { flags: 4 }, { num: 1 }],
    ['virDomainGetVcpusFlags', { flags: 2 }, /transient domains do not have any persistent config$/],
    ['virDomainGetVcpusFlags', { flags: 3 }, /mutually exclusive$/],
    ['virDomainGetVcpus', {}, { info: [{ number: 0, state: 1 }] }],
    ['virDomainGetCPUStats', { startCpu: -1, ncpus: 1 }, { params: [{ cpu_time: 0n }] }]
  ])
  guest.qemu.answers['query-blockstats'] = []
  await gives(t, guest, [
    [
      'virDomainBlockStats',
      { path: 'vda' },
      /^VIR_ERR_INTERNAL_ERROR .* cannot find statistics for device 'virtio-disk0'$/
    ],
    ['virDomainBlockStats', { path: '' }, { rd_req: 0n, wr_bytes: 0n }]
  ])
  guest.qemu.answers['query-block'] = [{ qdev: QDEV, 'io-status': 'failed' }]
  t.same((await guest.call('virDomainGetDiskErrors')).errors, [{ disk: 'vda', error: 1 }])
  guest.qemu.answers['query-block'] = [{ qdev: QDEV, 'io-status': 'ok' }, { qdev: 'other', 'io-status': 'failed' }, {}]
  t.same((await guest.call('virDomainGetDiskErrors')).errors, [])
})
