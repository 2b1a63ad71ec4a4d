import t from 'tap'
import { virDomainMigrateFlags } from '../../../../src/conf/enums.ts'
import { type MigrationParams, migrationParams } from '../../../../src/drivers/migration.ts'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import {
  applySettings,
  CAPABILITIES,
  checkSettings,
  cookieCapabilities,
  currentParameters,
  destinationParams,
  resetSettings,
  setBitmapMapping,
  setCapabilities,
  settingsFor
} from '../../../../src/drivers/qemu/migration/params.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const FLAG = virDomainMigrateFlags
const { VIR_MIGRATE_PARALLEL, VIR_MIGRATE_POSTCOPY, VIR_MIGRATE_TUNNELLED } = FLAG
const MIB = 1024n * 1024n

/** Settings of a side without what does not change: `capability …; parameter=value …`. */
function told(params: MigrationParams, flags: number, party: 'source' | 'destination' = 'source'): string {
  const { capabilities, optional, parameters } = settingsFor(params, flags | VIR_MIGRATE_TUNNELLED, party)
  const names = [...capabilities, ...optional.map(({ capability }) => `${capability}?`)]
  return `${names.join(' ')}; ${Object.entries(parameters)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')}`.trim()
}

t.test('flags and parameters of either side', async t => {
  const cases: [params: MigrationParams, flags: number, source: string, destination?: string][] = [
    [{}, 0, ';'],
    [{}, FLAG.VIR_MIGRATE_RDMA_PIN_ALL, 'rdma-pin-all;'],
    [{}, FLAG.VIR_MIGRATE_AUTO_CONVERGE, 'auto-converge;', ';'],
    [{}, VIR_MIGRATE_POSTCOPY, 'postcopy-ram postcopy-preempt?;'],
    [{}, VIR_MIGRATE_PARALLEL, 'multifd;'],
    [{}, FLAG.VIR_MIGRATE_ZEROCOPY, 'zero-copy-send;', ';'],
    [{}, FLAG.VIR_MIGRATE_COMPRESSED, 'xbzrle;'],
    [{ compression: ['mt', 'xbzrle'] }, 0, 'compress xbzrle;'],
    [{ compression: ['zstd'] }, VIR_MIGRATE_PARALLEL, 'multifd; multifd-compression=zstd'],
    [
      { compression: ['mt'], 'compression.mt.level': 1, 'compression.mt.threads': 2, 'compression.mt.dthreads': 3 },
      FLAG.VIR_MIGRATE_COMPRESSED,
      'compress; compress-level=1 compress-threads=2 decompress-threads=3'
    ],
    [
      { compression: ['xbzrle'], 'compression.xbzrle.cache': 4096n },
      FLAG.VIR_MIGRATE_COMPRESSED,
      'xbzrle; xbzrle-cache-size=4096'
    ],
    [
      { compression: ['zlib'], 'compression.zlib.level': 9, 'parallel.connections': 4 },
      VIR_MIGRATE_PARALLEL,
      'multifd; multifd-channels=4 multifd-zlib-level=9 multifd-compression=zlib'
    ],
    [
      { 'auto_converge.initial': 20, 'auto_converge.increment': 0 },
      FLAG.VIR_MIGRATE_AUTO_CONVERGE,
      'auto-converge; cpu-throttle-initial=20 cpu-throttle-increment=0',
      ';'
    ],
    [{ 'bandwidth.postcopy': 3n, bandwidth: 7n }, 0, `; max-postcopy-bandwidth=${3n * MIB}`],
    [{ 'bandwidth.avail.switchover': 2n }, 0, `; avail-switchover-bandwidth=${2n * MIB}`, ';'],
    [{ 'tls.destination': 'two' }, 0, '; tls-hostname=two', ';']
  ]
  for (const [params, flags, source, destination = source] of cases) {
    const name = `${JSON.stringify(Object.keys(params))} ${flags}`
    t.equal(told(params, flags), source, name)
    t.equal(told(params, flags, 'destination'), destination, `${name}, destination`)
  }
  t.same(settingsFor({}, 0, 'source').optional, [{ capability: 'switchover-ack', remote: true }])
  t.ok(settingsFor({}, 0, 'destination').capabilities.has('return-path'))
})

t.test('what does not go together', async t => {
  const cases: [params: MigrationParams, flags: number, message: string][] = [
    [{ 'auto_converge.initial': 1 }, 0, 'Turn auto convergence on to tune it'],
    [{ 'parallel.connections': 1 }, 0, 'Turn parallel migration on to tune it'],
    [{ compression: ['lz4'] }, 0, "Unsupported compression method 'lz4'"],
    [{ compression: ['constructor'] }, 0, "Unsupported compression method 'constructor'"],
    [{ compression: ['xbzrle', 'xbzrle'] }, 0, "Compression method 'xbzrle' is specified twice"],
    [{ compression: ['mt'] }, VIR_MIGRATE_PARALLEL, "Compression method 'mt' isn't supported with parallel migration"],
    [{ compression: ['zlib'] }, 0, "Compression method 'zlib' is only supported with parallel migration"],
    [
      { compression: ['zlib', 'zstd'] },
      VIR_MIGRATE_PARALLEL,
      'Only one compression method could be specified with parallel compression'
    ],
    [{ 'compression.mt.dthreads': 1 }, 0, 'Turn multithread compression on to tune it'],
    [{ 'compression.xbzrle.cache': 1n }, 0, 'Turn xbzrle compression on to tune it'],
    [{ 'compression.zlib.level': 1 }, VIR_MIGRATE_PARALLEL, 'Turn zlib compression on to tune it'],
    [
      { compression: ['zlib'], 'compression.zstd.level': 1 },
      VIR_MIGRATE_PARALLEL,
      'Turn zstd compression on to tune it'
    ],
    [{}, FLAG.VIR_MIGRATE_COMPRESSED | VIR_MIGRATE_PARALLEL, 'No compression algorithm selected for parallel migration']
  ]
  for (const [params, flags, message] of cases) {
    t.equal(
      await failureOf(() => settingsFor(params, flags, 'source')),
      `VIR_ERR_INVALID_ARG VIR_FROM_QEMU: invalid argument: ${message}`,
      message
    )
  }
  t.match(
    await failureOf(() => settingsFor({ 'bandwidth.postcopy': 2n ** 44n }, 0, 'source')),
    "VIR_ERR_OVERFLOW VIR_FROM_QEMU: numerical overflow: migration parameter 'bandwidth.postcopy' must be less than 17592186044416"
  )
})

t.test('parameters for the other side', async t => {
  const forOther = (params: MigrationParams, flags = 0) =>
    destinationParams(settingsFor(params, flags, 'source'), params, flags)
  t.same(forOther({ destination_name: 'x', 'tls.destination': 'y' }), { params: {}, flags: 0 })
  const compressed = FLAG.VIR_MIGRATE_COMPRESSED
  t.same(forOther({}, compressed), { params: { compression: ['xbzrle'] }, flags: compressed })
  t.same(forOther({ compression: ['xbzrle'] }), { params: { compression: ['xbzrle'] }, flags: compressed })
  const tuned = { compression: ['xbzrle'], 'compression.xbzrle.cache': 4096n, 'bandwidth.postcopy': 1n }
  t.same(forOther(tuned), { params: tuned, flags: 0 })
})

t.test('parameters have types', async t => {
  t.same(migrationParams.fromJson({ bandwidth: 7, compression: ['mt'] }, 'params'), {
    bandwidth: 7n,
    compression: ['mt']
  })
  t.match(await failureOf(() => migrationParams.fromJson({ bandwith: 7 }, 'params')), "parameter 'bandwith' not supp")
})

/** A guest whose QEMU has these capabilities, and what it is told. */
function guest(names: readonly string[], on: readonly string[] = [], isActive = true) {
  const orders: [command: string, args?: unknown][] = []
  const warnings: string[] = []
  const answers: Record<string, unknown> = {
    'query-migrate-capabilities': names.map(capability => ({ capability, state: on.includes(capability) })),
    'query-migrate-parameters': {
      'tls-creds': '',
      'max-bandwidth': 134217728,
      'xbzrle-cache-size': 67108864n,
      'direct-io': false,
      'multifd-channels': 'two',
      announce: 7
    }
  }
  const execute = async (command: string, args?: unknown) => {
    if (Object.hasOwn(answers, command)) return answers[command]
    orders.push([command, args])
    if (command === 'migrate-set-parameters' && Object.hasOwn(args as object, 'fails')) throw new Error('no')
    return {}
  }
  const log = { warn: (_: object, message: string) => warnings.push(message) }
  return { domain: { qmp: { execute }, isActive, log } as unknown as QemuDomain, orders, warnings }
}

const set = (...states: [name: string, state: boolean][]) => [
  'migrate-set-capabilities',
  { capabilities: states.map(([capability, state]) => ({ capability, state })) }
]

t.test('capabilities of the binary', async t => {
  const { domain, orders } = guest(['events', 'later', 'multifd', 'xbzrle', 'late-block-activate'])
  t.same(await cookieCapabilities(domain, 'destination'), [
    { name: 'xbzrle', auto: false },
    { name: 'late-block-activate', auto: true },
    { name: 'multifd', auto: false }
  ])
  t.same(
    (await cookieCapabilities(domain, 'source')).filter(({ auto }) => auto),
    []
  )
  t.same(await currentParameters(domain), {
    'tls-creds': '',
    'max-bandwidth': 134217728,
    'xbzrle-cache-size': 67108864n,
    'direct-io': false
  })
  t.same(orders, [])
  t.notOk((CAPABILITIES as readonly string[]).includes('events'))
})

t.test('checks them, and adds what both sides have', async t => {
  const all = ['return-path', 'pause-before-switchover', 'switchover-ack', 'postcopy-ram', 'postcopy-preempt']
  const { domain } = guest([...all, 'events'])
  const check = async (flags: number, remote?: string[]) => {
    const settings = settingsFor({}, flags, 'source')
    const original = await checkSettings(
      domain,
      settings,
      remote?.map(name => ({ name, auto: false }))
    )
    t.match(original, { 'max-bandwidth': 134217728 })
    return [...settings.capabilities].sort()
  }
  t.same(await check(0), ['pause-before-switchover', 'return-path'])
  t.same(await check(0, ['switchover-ack']), ['pause-before-switchover', 'return-path', 'switchover-ack'])
  t.same(await check(VIR_MIGRATE_POSTCOPY, all), [...all].sort())
  t.equal(
    await failureOf(() => check(VIR_MIGRATE_PARALLEL)),
    "VIR_ERR_ARGUMENT_UNSUPPORTED VIR_FROM_QEMU: argument unsupported: Migration option 'multifd' is not supported by QEMU binary"
  )
})

t.test('tells QEMU what changes, and puts it back', async t => {
  const { domain, orders } = guest(['xbzrle', 'events', 'multifd', 'return-path', 'later'], ['multifd', 'later'])
  const settings = settingsFor({ 'bandwidth.postcopy': 1n }, FLAG.VIR_MIGRATE_COMPRESSED, 'source')
  settings.parameters['max-bandwidth'] = 5n * MIB
  await applySettings(domain, settings)
  t.same(orders.splice(0), [
    set(['xbzrle', true], ['events', true], ['multifd', false], ['return-path', true]),
    ['migrate-set-parameters', { 'max-postcopy-bandwidth': MIB, 'max-bandwidth': 5n * MIB }]
  ])
  await applySettings(domain, settings, FLAG.VIR_MIGRATE_POSTCOPY_RESUME)
  t.same(orders.splice(0), [['migrate-set-parameters', { 'max-postcopy-bandwidth': MIB }]])
  await resetSettings(domain, { 'max-bandwidth': 7 })
  t.same(orders.splice(0), [
    set(['events', true], ['multifd', false]),
    ['migrate-set-parameters', { 'max-bandwidth': 7 }]
  ])
})

t.test('nothing is told where nothing changes', async t => {
  const { domain, orders } = guest(['events', 'xbzrle'], ['events'])
  await setCapabilities(domain, new Set())
  await applySettings(domain, { ...settingsFor({}, 0, 'source'), capabilities: new Set() })
  t.same(orders, [])
  const gone = guest(['events'], [], false)
  await resetSettings(gone.domain, { 'max-bandwidth': 7 })
  t.same(gone.orders, [])
})

t.test('what cannot be put back is logged', async t => {
  const { domain, warnings } = guest(['events'], ['events'])
  await resetSettings(domain, { fails: 1 } as object)
  t.same(warnings, ['settings of a migration could not be put back'])
})

t.test('bitmaps go along', async t => {
  const { domain, orders } = guest(['events', 'dirty-bitmaps'], ['events'])
  const settings = { ...settingsFor({}, VIR_MIGRATE_TUNNELLED, 'source') }
  const mapping = [{ 'node-name': 'n', alias: 'vda', bitmaps: [] }]
  setBitmapMapping(settings, mapping)
  await applySettings(domain, settings)
  t.same(orders.splice(0), [
    set(['dirty-bitmaps', true]),
    ['migrate-set-parameters', { 'block-bitmap-mapping': mapping }]
  ])
  setBitmapMapping(settings, [])
  await applySettings(domain, settings)
  t.same(orders, [])
})
