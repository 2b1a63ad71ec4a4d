import t from 'tap'
import { argvOf, errorOf } from '../../../helper/definition.ts'

const soundOf = async (xml: string, pretend = true) =>
  (await argvOf(xml, { pretend }))
    .filter(line => /"sound|pcspk|audiodev /.test(line))
    .map(line => line.replace(/,"bus":"pcie?\.\d+","addr":"0x[^"]*"/, ''))

t.test('cards, codecs and backends', async t => {
  t.same(
    await soundOf(
      "<sound model='sb16'/><sound model='ich6'/><sound model='ich9'><codec type='output'/><codec type='micro'/><audio id='5'/></sound>" +
        "<sound model='pcspk'/><audio id='3' type='none'/><audio id='5' type='file' path='/tmp/x'/>"
    ),
    [
      '-machine pc-i440fx-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram,pcspk-audiodev=audio3',
      '-audiodev {"id":"audio3","driver":"none"}',
      '-audiodev {"id":"audio5","driver":"wav","path":"/tmp/x"}',
      '-device {"driver":"sb16","id":"sound0","audiodev":"audio3"}',
      '-device {"driver":"intel-hda","id":"sound1"}',
      '-device {"driver":"hda-duplex","id":"sound1-codec0","bus":"sound1.0","cad":0,"audiodev":"audio3"}',
      '-device {"driver":"ich9-intel-hda","id":"sound2"}',
      '-device {"driver":"hda-output","id":"sound2-codec0","bus":"sound2.0","cad":0,"audiodev":"audio5"}',
      '-device {"driver":"hda-micro","id":"sound2-codec1","bus":"sound2.0","cad":1,"audiodev":"audio5"}'
    ]
  )
})

t.test('directions go below in and out', async t => {
  const xml =
    "<audio id='1' type='alsa'><input dev='hw:0'/><output mixingEngine='yes' fixedSettings='yes'><settings format='u8'/></output></audio>"
  t.same(await soundOf(xml), [
    '-audiodev {"id":"audio1","driver":"alsa","in":{"dev":"hw:0"},"out":{"mixing-engine":true,"fixed-settings":true,"format":"u8"}}'
  ])
})

t.test('a card needs a backend, and a model QEMU has', async t => {
  const noBackend = "<graphics type='sdl'/><sound model='ac97'/>"
  t.match(await errorOf(() => argvOf(noBackend)), 'unable to find audio backend for sound device')
  t.match(
    await errorOf(() => argvOf("<audio id='1' type='spice'/>")),
    'Spice audio is not supported without spice graphics'
  )
})
