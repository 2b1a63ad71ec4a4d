import t from 'tap'
import { argvOf, errorOf } from '../../../helper/definition.ts'

const SHARED = { outside: "<memoryBacking><access mode='shared'/></memoryBacking>" }
const fs = (inside: string, attributes = '', place = "<source dir='/srv'/>") =>
  `<filesystem type='mount' ${attributes}>${inside}${place}<target dir='tag'/></filesystem>`

const linesOf = async (xml: string) =>
  (await argvOf(xml, SHARED)).filter(line => /fsdev|9p|vu-fs/.test(line)).map(line => line.replace(/,"bus".*/, '}'))

t.test('9p', async t => {
  t.same(await linesOf(fs("<driver wrpolicy='immediate'/>", "accessmode='mapped' fmode='644' multidevs='warn'")), [
    '-fsdev local,security_model=mapped,multidevs=warn,fmode=0644,writeout=immediate,id=fsdev-fs0,path=/srv',
    '-device {"driver":"virtio-9p-pci","id":"fs0","fsdev":"fsdev-fs0","mount_tag":"tag"}'
  ])
  t.match(await linesOf(fs('<readonly/>', "accessmode='squash'", "<source dir='/a,b'/>")), [
    '-fsdev local,security_model=none,id=fsdev-fs0,path=/a,,b,readonly=on'
  ])
})

t.test('virtiofs: the socket is ours or the user’s', async t => {
  t.same(await linesOf(fs("<driver type='virtiofs' queue='16'/>")), [
    '-chardev socket,id=chr-vu-fs0,path=/lib/guest/fs0-fs.sock',
    '-device {"driver":"vhost-user-fs-pci","id":"fs0","chardev":"chr-vu-fs0","queue-size":16,"tag":"tag"}'
  ])
  t.match(await linesOf(fs("<driver type='virtiofs'/>", '', "<source socket='/run/x'/>")), [
    '-chardev socket,id=chr-vu-fs0,path=/run/x'
  ])
})

t.test('a directory as a media player is on USB', async t => {
  const mtp = fs("<driver type='mtp'/>", '', "<source dir='/srv'/><readonly/>")
  const keyboard = "<input type='keyboard' bus='usb'/>"
  const lines = (await argvOf(mtp + keyboard)).filter(line => /usb-(mtp|kbd)/.test(line))
  t.same(lines, [
    '-device {"driver":"usb-mtp","id":"fs0","rootdir":"/srv","desc":"tag","readonly":true,"bus":"usb.0","port":"2"}',
    '-device {"driver":"usb-kbd","id":"input0","bus":"usb.0","port":"1"}'
  ])
})

t.test('refuses what QEMU cannot do', async t => {
  const virtiofs = "<driver type='virtiofs'/>"
  for (const [xml, error] of [
    [fs('', "fmode='644'"), 'fmode and dmode must be used with accessmode=mapped'],
    [fs("<driver type='handle'/>", "accessmode='mapped'"), 'only supports passthrough accessmode'],
    [fs('<space_soft_limit>1</space_soft_limit>'), 'filesystem usage limits are not supported with QEMU'],
    [fs("<driver type='mtp'/>", "accessmode='squash'"), 'mtp only supports passthrough accessmode'],
    [
      fs(`${virtiofs}<boot order='1'/><address type='virtio-mmio'/>`),
      'setting virtiofs boot order is supported only with PCI bus'
    ],
    [fs(virtiofs, "model='virtio'"), 'virtiofs does not support model'],
    [fs(virtiofs, "multidevs='warn'"), 'virtiofs does not support multidevs'],
    [fs('').replace('mount', 'bind'), 'only supports mount filesystem type']
  ] as const) {
    t.match(await errorOf(() => argvOf(xml, SHARED)), error, xml)
  }
  t.match(await errorOf(() => argvOf(fs(virtiofs))), "'virtiofs' requires shared memory")
})
