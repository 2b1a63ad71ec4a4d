import t from 'tap'
import { argvOf, define, errorOf } from '../../helper/definition.ts'

const UUID = '6f1e2d3c-4b5a-4978-8899-aabbccddeeff'
const entry = (name: string, value: string) => `<entry name='${name}'>${value}</entry>`
const sysinfo = (inner: string, type = 'smbios') => `<sysinfo type='${type}'>${inner}</sysinfo>`

/** The arguments of one option that come of it. */
async function args(option: string, outside: string, os = "<smbios mode='sysinfo'/>"): Promise<string[]> {
  const lines = await argvOf('', { outside, os })
  return lines.filter(line => line.startsWith(`${option} `)).map(line => line.slice(option.length + 1))
}

t.test('the uuid of the system block is the guest its own', async t => {
  const system = (uuid: string) => sysinfo(`<system>${entry('uuid', uuid)}</system>`)
  t.equal((await define('', { outside: system(UUID.toUpperCase()) })).uuid, UUID)
  t.match(
    await errorOf(() => define('', { outside: `<uuid>${UUID}</uuid>${system(UUID.replace('6', '7'))}` })),
    /XML_DETAIL: UUID mismatch between <uuid> and <sysinfo>/
  )
  t.match(await errorOf(() => define('', { outside: system('x') })), /XML_DETAIL: malformed <sysinfo> uuid element/)
})

t.test('dates of the BIOS', async t => {
  const dated = (date: string) => errorOf(() => define('', { outside: sysinfo(`<bios>${entry('date', date)}</bios>`) }))
  for (const date of ['1/2/03', '12/31/1999', '+1/ 2/2022']) t.equal(await dated(date), 'accepted', date)
  for (const date of ['13/1/2022', '1/32/2022', '1/1/101', '1/1', '1/1/2022/', 'x/1/2022']) {
    t.match(await dated(date), /XML_DETAIL: Invalid BIOS 'date' format/, date)
  }
})

t.test('blocks go to QEMU', async t => {
  const blocks =
    `<chassis>${entry('sku', 'k')}${entry('version', 'v')}</chassis><bios>${entry('vendor', 'A, B')}</bios>` +
    `<system>${entry('family', 'f')}${entry('uuid', UUID)}</system><baseBoard>${entry('asset', 'a')}</baseBoard>` +
    '<baseBoard/><oemStrings><entry>x,y</entry><entry>z</entry></oemStrings>'
  t.same(await args('-smbios', sysinfo(blocks)), [
    'type=0,vendor=A,, B',
    `type=1,uuid=${UUID},family=f`,
    'type=2,manufacturer=,asset=a',
    'type=3,manufacturer=,version=v,sku=k',
    'type=11,value=x,,y,value=z'
  ])
  t.same(await args('-smbios', sysinfo(blocks), "<smbios mode='emulate'/>"), [])
  t.match(await errorOf(() => args('-smbios', '')), /XML_ERROR: .*Domain 'guest' sysinfo are not available/)
  const two = `<baseBoard>${entry('asset', 'a')}</baseBoard>`.repeat(2)
  t.match(await errorOf(() => args('-smbios', sysinfo(two))), /not support more than one entry to Type 2/)
})

t.test('files for the firmware', async t => {
  const files = (inner: string) => args('-fw_cfg', sysinfo(inner, 'fwcfg'), '')
  t.same(await files(`${entry('opt/a', 'x, &lt;y>')}<entry name='opt/b' file='/srv//f/'/>`), [
    'name=opt/a,string=x, &lt;y&gt;',
    'name=opt/b,file=/srv/f'
  ])
  const refused: [inner: string, error: RegExp][] = [
    [entry('etc/a', 'x'), /CONFIG_UNSUPPORTED: .*Invalid firmware name/],
    [entry('opt/ovmf/a', 'x'), /CONFIG_UNSUPPORTED: .*That firmware name is reserved/],
    ['<entry>x</entry>', /XML_ERROR: .*Firmware entry is missing 'name' attribute/],
    [entry('opt/a', ' \n'), /XML_ERROR: .*must have either value or 'file' attribute/]
  ]
  for (const [inner, error] of refused) t.match(await errorOf(() => files(inner)), error)
  t.match(await errorOf(() => args('-fw_cfg', '<sysinfo/>')), /XML_ERROR: .*'type' in element 'sysinfo'/)
})
