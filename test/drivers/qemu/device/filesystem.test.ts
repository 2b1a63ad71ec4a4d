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

t.test('refuses what QEMU cannot do', async t => {
  const virtiofs = "<driver type='virtiofs'/>"
  for (const [xml, error] of [
    [fs('', "fmode='644'"), 'fmode and dmode must be used with accessmode=mapped'],
    [fs("<driver type='handle'/>", "accessmode='mapped'"), 'only supports passthrough accessmode'],
    [fs(`${virtiofs}<readonly/>`), 'virtiofs does not yet support read-only mode'],
    [fs(virtiofs, "model='virtio'"), 'virtiofs does not support model'],
    [fs(virtiofs, "multidevs='warn'"), 'virtiofs does not support multidevs'],
    [fs('').replace('mount', 'bind'), 'only supports mount filesystem type']
  ] as const) {
    t.match(await errorOf(() => argvOf(xml, SHARED)), error, xml)
  }
  t.match(await errorOf(() => argvOf(fs(virtiofs))), "'virtiofs' requires shared memory")
  const session = { ...SHARED, privileged: false }
  t.match(await errorOf(() => argvOf(fs(virtiofs), session)), 'virtiofs is not yet supported in session mode')
})
