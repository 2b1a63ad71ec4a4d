import t from 'tap'
import { filesystemFields } from '../../../src/conf/devices/filesystem.ts'
import { define, errorOf, throughTable } from '../../helper/definition.ts'

const fs = (inside: string, attributes = "type='mount'") => `<filesystem ${attributes}>${inside}</filesystem>`
const PLACE = "<source dir='/srv'/><target dir='tag'/>"

t.test('reads and writes every part', async t => {
  for (const xml of [
    fs(PLACE, "type='mount' accessmode='mapped' model='virtio' multidevs='remap' fmode='0644' dmode='0755'"),
    fs(`<driver type='path' wrpolicy='immediate' iommu='on'/>${PLACE}<readonly/>`),
    fs(
      `<driver type='virtiofs' queue='1024'/><binary path='/usr/bin/virtiofsd' xattr='on'><cache mode='none'/>` +
        `<sandbox mode='chroot'/><lock posix='on' flock='off'/><thread_pool size='0'/></binary>${PLACE}`
    ),
    fs(
      "<driver type='virtiofs'/><binary><openfiles max='122333'/></binary><idmap><uid start='0' target='1' count='1'/>" +
        `<uid start='1' target='9' count='2'/><gid start='0' target='5' count='1'/></idmap>${PLACE}<readonly/>`
    ),
    fs(`<driver type='mtp'/>${PLACE}<readonly/>`),
    fs("<driver type='virtiofs'/><source socket='/run/fs'/><target dir='tag'/>"),
    fs(`${PLACE}<space_hard_limit unit='bytes'>1024</space_hard_limit>`),
    fs("<source usage='4' units='KiB'/><target dir='/'/>", "type='ram'"),
    fs("<source pool='p' volume='v'/><target dir='/'/>", "type='volume'")
  ]) {
    t.equal(throughTable(filesystemFields, xml), xml)
  }
})

t.test('drops what libvirt drops', async t => {
  t.equal(
    throughTable(filesystemFields, fs(`<driver wrpolicy='immediate' ats='on'/>${PLACE}`)),
    fs(`<driver ats='on'/>${PLACE}`)
  )
  t.equal(throughTable(filesystemFields, fs(`<binary xattr='on'/>${PLACE}`)), fs(PLACE))
  const groups = "<idmap><gid start='0' target='5' count='1'/></idmap>"
  t.equal(
    throughTable(filesystemFields, fs(`<driver type='virtiofs'/>${groups}${PLACE}`)),
    fs(`<driver type='virtiofs'/>${PLACE}`)
  )
  t.equal(throughTable(filesystemFields, fs(`<idmap><uid start='x'/></idmap>${PLACE}`)), fs(PLACE))
  t.equal(throughTable(filesystemFields, fs(PLACE, "accessmode='' multidevs='default'")), fs(PLACE))
})

t.test('refuses with libvirt’s words', async t => {
  for (const [xml, error] of [
    [fs("<target dir='t'/>"), 'VIR_ERR_NO_SOURCE: missing source information for device t'],
    [fs(PLACE, "fmode='1000'"), "invalid fmode: '01000'"],
    [fs(PLACE, "fmode='9'"), "Invalid value for attribute 'fmode' in element 'filesystem': '9'."],
    [fs(`<driver format='x'/>${PLACE}`), "unknown driver format value 'x'"],
    [fs(`<driver type='virtiofs' queue='x'/>${PLACE}`), "cannot parse queue size 'x' for virtiofs"],
    [
      fs(`<driver type='virtiofs'/><binary><openfiles max='x'/></binary>${PLACE}`),
      "cannot parse openfiles 'x' for virtiofs"
    ],
    [
      fs(`<driver type='virtiofs'/><idmap><uid start='0'/></idmap>${PLACE}`),
      'invalid idmap start/target/count settings'
    ],
    [fs('<source/>', "type='ram'"), "missing 'usage' attribute for RAM filesystem"]
  ] as const) {
    t.match(await errorOf(() => throughTable(filesystemFields, xml)), error, xml)
  }
})

t.test('gives the access mode and checks target, boot order and tags', async t => {
  const [dev] = (await define(fs(PLACE))).devices.filesystems
  t.equal(dev?.accessmode, 'passthrough')
  const shared = { outside: "<memoryBacking><access mode='shared'/></memoryBacking>" }
  const virtiofs = fs(`<driver type='virtiofs'/>${PLACE}`)
  for (const [xml, error] of [
    [fs("<source dir='/srv'/>"), 'VIR_ERR_NO_TARGET: missing target information for device /srv'],
    [fs(`${PLACE}<boot order='1'/>`), 'boot order is only supported for virtiofs'],
    [virtiofs + virtiofs, "filesystem target 'tag' specified twice"]
  ] as const) {
    t.match(await errorOf(() => define(xml, shared)), error, xml)
  }
})
