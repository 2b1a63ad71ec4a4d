import t from 'tap'
import { typed } from '../../../../src/conf/wire.ts'
import {
  arrivedStatistics,
  COOKIE_FEATURES,
  type CookieReader,
  decodeCookie,
  encodeCookie,
  formatCookie,
  jobStats,
  type MigrationCookie,
  parseCookie
} from '../../../../src/drivers/qemu/migration/cookie.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const UUID = 'dcf47dbd-46d1-4d5b-b442-262a806a333a'
const HOST = '8b3f4dc4-6a8e-5f9b-94a5-4c35babd8d95'
const READER: CookieReader = { name: 'guest', uuid: UUID, hostUuid: '4a802f00-4cba-5df6-9679-a08c4c5b577f' }

const HEAD = `  <name>guest</name>
  <uuid>${UUID}</uuid>
  <hostname>one</hostname>
  <hostuuid>${HOST}</hostuuid>
`
const cookie = (inner = '', head = HEAD) => `<qemu-migration>\n${head}${inner}</qemu-migration>\n`
const parse = (inner: string, head?: string) => parseCookie(cookie(inner, head), READER, COOKIE_FEATURES)

/** All that a cookie may have, as libvirt writes it. */
const FULL = cookie(`  <feature name='lockstate'/>
  <feature name='persistent'/>
  <feature name='memory-hotplug'/>
  <graphics type='spice' port='5900' listen='10.0.0.1' tlsPort='-1'>
    <cert info='subject' value='C=GB,O=&quot;a&quot;,CN=one'/>
  </graphics>
  <lockstate driver='sanlock'>
    <leases>a:b</leases>
  </lockstate>
  <domain type='kvm'>
    <name>guest</name>
    <metadata>
      <app:x xmlns:app="http://a/">
        <app:y/>
      </app:x>
    </metadata>
  </domain>
  <network>
    <interface index='0' vporttype='openvswitch'>
      <portdata>a&lt;b</portdata>
    </interface>
    <interface index='2' vporttype='midonet'/>
  </network>
  <nbd port='49153'>
    <disk target='vda' capacity='18446744073709551615'/>
    <disk target='vdb' capacity='1235'/>
  </nbd>
  <statistics>
    <started>12345</started>
    <stopped>54321</stopped>
    <sent>986</sent>
    <delta>-7654</delta>
    <time_elapsed>1</time_elapsed>
    <downtime>11</downtime>
    <setup_time>12</setup_time>
    <memory_total>2</memory_total>
    <memory_processed>3</memory_processed>
    <memory_remaining>4</memory_remaining>
    <memory_bps>5</memory_bps>
    <memory_constant>51</memory_constant>
    <memory_normal>52</memory_normal>
    <memory_normal_bytes>53</memory_normal_bytes>
    <memory_dirty_rate>6</memory_dirty_rate>
    <memory_iteration>7</memory_iteration>
    <memory_postcopy_requests>8</memory_postcopy_requests>
    <memory_page_size>9</memory_page_size>
    <disk_total>10</disk_total>
    <disk_processed>11</disk_processed>
    <disk_remaining>12</disk_remaining>
    <disk_bps>13</disk_bps>
    <compression_cache>131</compression_cache>
    <compression_bytes>132</compression_bytes>
    <compression_pages>133</compression_pages>
    <compression_cache_misses>134</compression_cache_misses>
    <compression_overflow>135</compression_overflow>
    <auto_converge_throttle>14</auto_converge_throttle>
  </statistics>
  <cpu mode='host-passthrough' check='partial' migratable='on'/>
  <capabilities>
    <cap name='xbzrle' auto='no'/>
    <cap name='pause-before-switchover' auto='yes'/>
  </capabilities>
  <blockDirtyBitmaps>
    <disk target='vda'>
      <bitmap name='c1' alias='a1'/>
      <bitmap name='c2' alias='a2'/>
    </disk>
  </blockDirtyBitmaps>
  <later kind='new'>
    <thing/>
  </later>
`)

t.test('is read and written in the same form', async t => {
  const parsed = parseCookie(FULL, READER, COOKIE_FEATURES)!
  t.equal(formatCookie(parsed), FULL)
  t.match(parsed, {
    name: 'guest',
    uuid: UUID,
    hostname: 'one',
    hostUuid: HOST,
    mandatory: ['lockstate', 'persistent', 'memory-hotplug'],
    graphics: { type: 'spice', port: 5900, tlsPort: -1, listen: '10.0.0.1', tlsSubject: 'C=GB,O="a",CN=one' },
    lockState: { driver: 'sanlock', leases: 'a:b' },
    persistent: /^<domain type='kvm'>\n {2}<name>guest</,
    network: [
      { index: 0, portType: 'openvswitch', portData: 'a<b' },
      { index: 2, portType: 'midonet' }
    ],
    nbd: {
      port: 49153,
      disks: [
        { target: 'vda', capacity: 2n ** 64n - 1n },
        { target: 'vdb', capacity: 1235n }
      ]
    },
    statistics: { started: 12345n, stopped: 54321n, sent: 986n, delta: -7654n, elapsed: 1n },
    cpu: { mode: 'host-passthrough' },
    capabilities: [
      { name: 'xbzrle', auto: false },
      { name: 'pause-before-switchover', auto: true }
    ],
    bitmaps: [{ target: 'vda', bitmaps: [{ name: 'c1', alias: 'a1' }, { name: 'c2' }] }],
    unknown: [{ name: 'later' }]
  })
})

t.test('has nothing that there is nothing to say of', async t => {
  t.equal(formatCookie(parse('')!), cookie())
  const bare: MigrationCookie = { name: 'guest', uuid: UUID, hostname: 'one', hostUuid: HOST }
  t.equal(
    formatCookie({ ...bare, lockState: { driver: 'nop' }, mandatory: ['cpu-hotplug', 'cpu-hotplug'] }),
    cookie("  <feature name='lockstate'/>\n  <feature name='cpu-hotplug'/>\n")
  )
  t.equal(formatCookie({ ...bare, nbd: { disks: [] }, network: [], bitmaps: [] }), cookie('  <nbd/>\n'))
  t.equal(formatCookie({ ...bare, bitmaps: [{ target: 'vda', bitmaps: [] }] }), cookie())
  t.match(formatCookie({ ...bare, name: '<&>' }), '<name>&lt;&amp;&gt;</name>')
  const vnc = { type: 'vnc', port: 5901, listen: '::1' } as const
  t.equal(formatCookie({ ...bare, graphics: vnc }), cookie("  <graphics type='vnc' port='5901' listen='::1'/>\n"))
})

t.test('what its reader does not look at is left out', async t => {
  const given = parseCookie(FULL.replace(/ {2}<feature .*\n/g, ''), READER, ['nbd', 'cpu'])!
  t.same(Object.keys(given).sort(), ['cpu', 'hostUuid', 'hostname', 'mandatory', 'name', 'nbd', 'unknown', 'uuid'])
  t.same(given.mandatory, [])
})

t.test('the CPU comes without NUMA cells', async t => {
  const xml = "  <cpu mode='host-model'>\n    <numa>\n      <cell id='0' memory='1'/>\n    </numa>\n  </cpu>\n"
  const parsed = parse(xml)!
  t.equal(parsed.cpu?.numa, undefined)
  t.equal(formatCookie(parsed), cookie("  <cpu mode='host-model'/>\n"))
})

t.test('statistics as those of a job', async t => {
  const { statistics } = parseCookie(FULL, READER, COOKIE_FEATURES)!
  // clocks that are too far apart tell nothing of the network
  t.notOk('time_elapsed_net' in jobStats({ ...statistics!, elapsed: 10n }))
  const stats = jobStats({ ...statistics!, elapsed: 10n, delta: 3n })
  t.same(Object.keys(stats).slice(0, 8), [
    'time_elapsed_net',
    'downtime',
    'downtime_net',
    'setup_time',
    'data_total',
    'data_processed',
    'data_remaining',
    'memory_total'
  ])
  t.match(stats, {
    time_elapsed_net: typed.ullong(7),
    downtime_net: typed.ullong(8),
    data_total: typed.ullong(12),
    auto_converge_throttle: typed.int(14)
  })
  const few = parse('  <statistics>\n    <memory_total>x</memory_total>\n  </statistics>\n')!.statistics!
  t.same(Object.keys(jobStats(few)), [
    'data_total',
    'data_processed',
    'data_remaining',
    'memory_total',
    'memory_processed',
    'memory_remaining',
    'memory_dirty_rate',
    'memory_iteration',
    'memory_postcopy_requests',
    'disk_total',
    'disk_processed',
    'disk_remaining'
  ])
  t.match(few, { started: 0n, elapsed: 0n, counts: { memory_total: typed.ullong(0) } })
})

t.test('times go on until the guest has come', async t => {
  const counts = { downtime: typed.ullong(13), memory_total: typed.ullong(1) }
  const source = { started: 1000n, stopped: 1500n, sent: 1520n, elapsed: 520n, counts }
  t.same(arrivedStatistics(source, 1521, 1530), {
    ...source,
    delta: 1n,
    elapsed: 530n,
    counts: { ...counts, downtime: typed.ullong(30) }
  })
  t.same(arrivedStatistics({ ...source, stopped: 0n, sent: 0n }, 1, 1530), {
    ...{ ...source, stopped: 0n, sent: 0n, elapsed: 530n }
  })
  t.match(arrivedStatistics(source, 700, 710), { started: 0n, stopped: 0n, delta: -820n, elapsed: 520n, counts })
})

t.test('what cannot be read', async t => {
  const head = (name: string, value: string) => HEAD.replace(new RegExp(`<${name}>.*</`), `<${name}>${value}</`)
  const without = (name: string) => HEAD.replace(new RegExp(` *<${name}>.*\n`), '')
  const other = UUID.replace('d', 'e')
  const cases: [inner: string, message: string, head?: string][] = [
    ['', 'missing name element in migration data', without('name')],
    ['', 'missing name element in migration data', head('name', '')],
    ['', 'Incoming cookie data had unexpected name other vs guest', head('name', 'other')],
    ['', 'missing uuid element in migration data', without('uuid')],
    ['', `Incoming cookie data had unexpected UUID ${other} vs ${UUID}`, head('uuid', other)],
    ['', 'missing hostname element in migration data', without('hostname')],
    ['', 'missing hostuuid element in migration data', without('hostuuid')],
    ['', 'malformed hostuuid element in migration data', head('hostuuid', 'x')],
    ['', `Attempt to migrate guest to the same host ${READER.hostUuid}`, head('hostuuid', READER.hostUuid!)],
    ['<feature/>', 'missing feature name'],
    ["<feature name='later'/>", 'Unknown migration cookie feature later'],
    ['<graphics/>', 'missing type attribute in migration data'],
    ["<graphics type='x'/>", 'unknown graphics type x'],
    ["<graphics type='vnc'/>", 'missing port attribute in migration data'],
    ["<graphics type='vnc' port='x'/>", 'missing port attribute in migration data'],
    ["<graphics type='spice' port='1'/>", 'missing tlsPort attribute in migration data'],
    ["<graphics type='vnc' port='1'/>", 'missing listen attribute in migration data'],
    ['<lockstate/>', 'Missing lock driver name in migration cookie'],
    ['<domain/><domain/>', 'Too many domain elements in migration cookie'],
    ['<network><interface/></network>', 'missing vporttype attribute in migration data'],
    ["<nbd port='x'/>", "Malformed nbd port 'x'"],
    ['<nbd><disk/></nbd>', 'Malformed disk target'],
    ["<nbd><disk target='vda' capacity='x'/></nbd>", "Malformed disk capacity: 'x'"],
    ["<nbd><disk target='vda'/></nbd>", "Malformed disk capacity: '<null>'"],
    ['<capabilities><cap/></capabilities>', 'missing migration capability name'],
    [
      "<blockDirtyBitmaps><disk target='a'><bitmap name='b'/></disk></blockDirtyBitmaps>",
      'malformed <blockDirtyBitmaps> in migration cookie'
    ],
    ['<blockDirtyBitmaps><disk/></blockDirtyBitmaps>', 'malformed <blockDirtyBitmaps> in migration cookie']
  ]
  for (const [inner, message, head] of cases) {
    t.equal(
      await failureOf(() => parse(inner, head)),
      `VIR_ERR_INTERNAL_ERROR VIR_FROM_QEMU: internal error: ${message}`,
      message
    )
  }
  const some = (text: string) => failureOf(() => parseCookie(text, READER, ['nbd']))
  t.match(await some(cookie("<feature name='cpu'/>")), 'Unsupported migration cookie feature cpu')
  t.match(await some('<qemu-migration>'), 'VIR_ERR_XML_DETAIL')
  t.match(await some(' '.repeat(5 * 1024 * 1024)), 'document is larger than')
})

t.test('the same host is no other', async t => {
  t.match(parseCookie(cookie(), { name: 'guest', uuid: UUID }, []), { hostUuid: HOST })
})

t.test('the protocol brings it with a NUL', async t => {
  t.equal(decodeCookie(undefined), undefined)
  t.equal(decodeCookie(Buffer.alloc(0)), undefined)
  t.equal(decodeCookie(encodeCookie('<ä/>')), '<ä/>')
  t.equal(decodeCookie(Buffer.from('a\0b\0')), 'a')
  t.match(await failureOf(() => decodeCookie(Buffer.from('a'))), 'Migration cookie was not NULL terminated')
  t.equal(parseCookie(undefined, READER, []), undefined)
})
