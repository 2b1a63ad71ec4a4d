import t from 'tap'
import type { DomainDef } from '../../../src/conf/domain-def.ts'
import {
  alignSnapshotDisks,
  formatSnapshot,
  isExternalSnapshot,
  parseSnapshot
} from '../../../src/conf/moment/snapshot.ts'
import { completeDomain } from '../../../src/drivers/qemu/definition/passes.ts'
import { define, errorOf, guestXml, testContext } from '../../helper/definition.ts'

const DISKS = `
  <disk type='file'><driver type='qcow2'/><source file='/srv/a.qcow2'/><target dev='vda'/></disk>
  <disk type='file' snapshot='no'><source file='/srv/b'/><target dev='vdb'/></disk>
  <disk type='file' device='cdrom'><target dev='hdc'/></disk>`

const HEAD = '<name>first</name><description>a &amp; b</description>'
const context = testContext()
const complete = (def: DomainDef) => completeDomain(def, context)
const redefined = (inner: string, state = 'shutoff', domain = '') =>
  `<domainsnapshot>${HEAD}<state>${state}</state><creationTime>5</creationTime>${inner}${domain}</domainsnapshot>`

t.test('a new snapshot gets the time and that as its name', async t => {
  const def = parseSnapshot('<domainsnapshot/>')
  t.equal(def.name, String(def.creationTime))
  t.ok(Math.abs(Number(def.creationTime) - Date.now() / 1000) < 10)
  t.same(def.disks, [])
  t.equal(parseSnapshot(`<domainsnapshot>${HEAD}</domainsnapshot>`).name, 'first')
})

t.test('a redefined snapshot comes out as it went in', async t => {
  const text = redefined(
    `<parent><name>root</name></parent><memory snapshot='external' file='/srv/memory'/>
     <disks><disk name='vda' snapshot='external' type='file'><driver type='qcow2'><metadata_cache>
     <max_size unit='KiB'>4</max_size></metadata_cache></driver><source file='/srv/a.first'/></disk></disks>
     <cookie><cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model></cpu><slirpHelper/></cookie>`,
    'running',
    guestXml(DISKS)
  )
  const def = parseSnapshot(text, { redefine: true, complete })
  t.equal(def.dom?.devices.disks.length, 3)
  t.ok(isExternalSnapshot(def))
  const { dom, ...bare } = def
  t.equal(
    formatSnapshot(bare, { uuid: '6f1e2d3c-4b5a-4978-8899-aabbccddeeff' }),
    `<domainsnapshot>
  <name>first</name>
  <description>a &amp; b</description>
  <state>running</state>
  <parent>
    <name>root</name>
  </parent>
  <creationTime>5</creationTime>
  <memory snapshot='external' file='/srv/memory'/>
  <disks>
    <disk name='vda' snapshot='external' type='file'>
      <driver type='qcow2'>
        <metadata_cache>
          <max_size unit='bytes'>4096</max_size>
        </metadata_cache>
      </driver>
      <source file='/srv/a.first'/>
    </disk>
  </disks>
  <domain>
    <uuid>6f1e2d3c-4b5a-4978-8899-aabbccddeeff</uuid>
  </domain>
  <cookie>
    <cpu mode='custom' match='exact'>
      <model fallback='forbid'>qemu64</model>
    </cpu>
    <slirpHelper/>
  </cookie>
</domainsnapshot>
`
  )
  t.match(formatSnapshot(def), "<disk type='file' device='cdrom'>")
})

t.test('what cannot be a snapshot', async t => {
  const cases: [inner: string, error: RegExp, state?: string][] = [
    ["<memory snapshot='manual'/>", /XML_ERROR: .*'manual' memory snapshot mode not supported/],
    ["<memory snapshot='internal'/>", /XML_ERROR: .*memory state cannot be saved with offline or disk-only snapshot/],
    ["<memory snapshot='external'/>", /XML_ERROR: .*external memory snapshots require a filename/, 'running'],
    ["<memory snapshot='internal' file='/m'/>", /memory filename '\/m' requires external snapshot/, 'running'],
    ["<memory file='m'/>", /memory snapshot file path \(m\) must be absolute/, 'running'],
    ['', /CONFIG_UNSUPPORTED: .*Invalid state 'asleep' in domain snapshot XML/, 'asleep'],
    ['<disks><disk/></disks>', /INTERNAL_ERROR: .*missing name from disk snapshot element/],
    ["<disks><disk name='vda' type='volume'/></disks>", /unsupported disk snapshot type 'volume'/],
    ["<disks><disk name='vda'><source file='x'/></disk></disks>", /disk snapshot image path 'x' must be absolute/],
    ["<disks><disk name='vda'><driver type='x'/></disk></disks>", /unknown disk snapshot driver 'x'/]
  ]
  for (const [inner, error, state] of cases) {
    t.match(await errorOf(() => parseSnapshot(redefined(inner, state), { redefine: true })), error)
  }
  t.match(
    await errorOf(() => parseSnapshot('<domainsnapshot><state>x</state></domainsnapshot>', { redefine: true })),
    /XML_ERROR: .*a redefined snapshot must have a name/
  )
  t.match(
    await errorOf(() => parseSnapshot('<domainsnapshot><what/></domainsnapshot>', { validate: true })),
    /XML_INVALID_SCHEMA/
  )
})

const aligned = async (disks: string, fallback: 'internal' | 'external', uniformInternal = true) => {
  const def = parseSnapshot(`<domainsnapshot><name>s</name><disks>${disks}</disks></domainsnapshot>`)
  const options = { fallback, uniformInternal, isRegularFile: (path: string) => path.startsWith('/srv/') }
  alignSnapshotDisks(def, await define(DISKS), options)
  return Object.fromEntries(
    def.disks.map(({ name, snapshot, source }) => [
      name,
      'path' in source && source.path ? `${snapshot} ${source.path}` : snapshot
    ])
  )
}

t.test('disks follow the domain', async t => {
  t.same(await aligned('', 'internal'), { vda: 'internal', vdb: 'no', hdc: 'no' })
  t.same(await aligned("<disk name='/srv/b' snapshot='internal'/>", 'internal'), {
    vda: 'internal',
    vdb: 'internal',
    hdc: 'no'
  })
  t.same(await aligned("<disk name='vdb' snapshot='external'/>", 'external'), {
    vda: 'external /srv/a.s',
    vdb: 'external /srv/b.s',
    hdc: 'no'
  })
  t.same(await aligned("<disk name='vda' snapshot='no'/>", 'internal', false), { vda: 'no', vdb: 'no', hdc: 'no' })
  const refused: [disks: string, error: RegExp][] = [
    ["<disk name='vdz'/>", /no disk named 'vdz'/],
    ["<disk name='vda'/><disk name='/srv/a.qcow2'/>", /disk '\/srv\/a.qcow2' specified twice/],
    ["<disk name='vda' snapshot='no'/>", /disk 'vda' must use snapshot mode 'internal'/],
    ["<disk name='vda' snapshot='internal'><source file='/x'/></disk>", /requires use of external snapshot mode/],
    ["<disk name='vda' snapshot='external' type='block'/>", /disk 'vda' must use snapshot mode 'internal'/],
    [`${"<disk name='vda'/>".repeat(4)}`, /too many disk snapshot requests for domain/]
  ]
  for (const [disks, error] of refused) t.match(await errorOf(() => aligned(disks, 'internal')), error)
  t.match(
    await errorOf(() => aligned("<disk name='vda' snapshot='external' type='block'/>", 'external')),
    /cannot generate external snapshot name for disk 'vda' on a 'block' device/
  )
})
