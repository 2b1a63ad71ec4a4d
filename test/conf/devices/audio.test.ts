import t from 'tap'
import { audioFields } from '../../../src/conf/devices/audio.ts'
import { define, errorOf, throughTable } from '../../helper/definition.ts'

const fixed = "mixingEngine='yes' fixedSettings='yes'"

t.test('each backend keeps its own attributes and no others', async t => {
  const every =
    "dev='d' bufferCount='3' tryPoll='yes' serverName='s' clientName='c' connectPorts='p' exactName='no' name='n' streamName='m' latency='7'"
  for (const [type, top, kept] of [
    ['none', '', ''],
    ['alsa', '', " dev='d'"],
    ['coreaudio', '', " bufferCount='3'"],
    ['jack', '', " serverName='s' clientName='c' connectPorts='p' exactName='no'"],
    ['oss', " tryMMap='yes' exclusive='no' dspPolicy='0'", " dev='d' bufferCount='3' tryPoll='yes'"],
    ['pulseaudio', " serverName='host'", " name='n' streamName='m' latency='7'"],
    ['sdl', " driver='alsa'", " bufferCount='3'"],
    ['spice', '', ''],
    ['file', " path='/tmp/x.wav'", ''],
    ['dbus', '', '']
  ] as const) {
    const given = `<audio type='${type}'${top}><input voices='2' ${every}/><output/></audio>`.replace(' ', " id='1' ")
    const expected = `<audio id='1' type='${type}'${top}><input voices='2'${kept}/></audio>`
    t.equal(throughTable(audioFields, given), expected)
  }
})

t.test('fixed settings are always written, loose ones refused', async t => {
  t.equal(
    throughTable(audioFields, `<audio id='1' type='none'><input ${fixed}/></audio>`),
    `<audio id='1' type='none'><input ${fixed}><settings/></input></audio>`
  )
  for (const [input, error] of [
    ["<input fixedSettings='yes'/>", 'fixed audio settings requires mixing engine'],
    ["<input><settings channels='1'/></input>", 'audio settings specified without fixed settings flag'],
    [
      `<input ${fixed}><settings channels='0'/></input>`,
      "attribute 'channels' in element 'settings': Zero is not permitted"
    ],
    [`<input ${fixed}><settings format='s24'/></input>`, "attribute 'format' in element 'settings': 's24'."]
  ] as const) {
    t.match(await errorOf(() => throughTable(audioFields, `<audio id='1' type='none'>${input}</audio>`)), error)
  }
})

t.test('the default backend follows the graphics', async t => {
  for (const [graphics, audios] of [
    ['', [{ id: 1, type: 'none' }]],
    ["<graphics type='vnc'/>", [{ id: 1, type: 'none' }]],
    ["<graphics type='vnc'/><graphics type='spice'/>", [{ id: 1, type: 'spice' }]],
    ["<graphics type='spice'/><graphics type='vnc'/>", [{ id: 1, type: 'none' }]],
    ["<graphics type='dbus' p2p='yes'/>", []],
    ["<graphics type='sdl'/>", []]
  ] as const) {
    t.same((await define(graphics)).devices.audios, audios, graphics)
  }
})

t.test('ids are used once', async t => {
  const twice = "<audio id='1' type='none'/><audio id='1' type='alsa'/>"
  t.match(await errorOf(() => define(twice)), 'audio ID 1 is used multiple times')
})
