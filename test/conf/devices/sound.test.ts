import t from 'tap'
import { soundFields } from '../../../src/conf/devices/sound.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

t.test('codecs are those of Intel HDA', async t => {
  const inside = "<codec type='micro'/><codec type='duplex'/><audio id='2'/>"
  const hda = `<sound model='ich9'>${inside}</sound>`
  t.equal(throughTable(soundFields, hda), hda)
  t.equal(
    throughTable(soundFields, `<sound model='ac97'>${inside}</sound>`),
    "<sound model='ac97'><audio id='2'/></sound>"
  )
})

t.test('refuses with libvirt’s words', async t => {
  for (const [xml, error] of [
    ['<sound/>', "Missing required attribute 'model' in element 'sound'"],
    ["<sound model='adlib'/>", "Invalid value for attribute 'model' in element 'sound': 'adlib'."],
    ["<sound model='ich6'><codec/></sound>", "unknown codec type '(null)'"],
    ["<sound model='ac97'><audio id='0'/></sound>", "attribute 'id' in element 'audio': Zero is not permitted"]
  ] as const) {
    t.match(await errorOf(() => throughTable(soundFields, xml)), error)
  }
})
