// Thousands of devices of one kind: what each is given or checked against must not take a look at all the others. The
// numbers are such that it would take minutes.
import t from 'tap'
import { define, errorOf } from '../../helper/definition.ts'

const refusalOf = (devices: string) => errorOf(() => define(devices))

const COUNT = 10_000
const many = (device: (i: number) => string) => Array.from({ length: COUNT }, (_, i) => device(i)).join('')

t.test('ports are numbered: serial above all, parallel above those before', async t => {
  const { devices } = await define(
    many(i => (i === 5 ? "<serial type='null'><target port='7'/></serial>" : "<serial type='null'/>")) +
      many(i => (i === 5 ? "<parallel type='null'><target port='7'/></parallel>" : "<parallel type='null'/>"))
  )
  const ports = (list: { target: { port?: number } }[]) => list.map(({ target }) => target.port)
  t.same(ports(devices.serials.slice(0, 7)), [8, 9, 10, 11, 12, 7, 13])
  t.same(ports(devices.parallels.slice(0, 7)), [0, 1, 2, 3, 4, 7, 8])
  t.same(ports(devices.parallels).at(-1), COUNT + 1)
})

t.test('smartcards take the slots above the highest given', async t => {
  const cards = `<smartcard mode='host'><address type='ccid' controller='0' slot='3'/></smartcard>`
  const error = await refusalOf(cards + many(() => "<smartcard mode='host'/>"))
  t.match(error, /multiple smartcard/)
})

t.test('disks of a group', async t => {
  const disk = (i: number, limits: string) =>
    `<disk><source file='/${i}'/><target dev='sd${name(i)}' bus='scsi'/><iotune>${limits}<group_name>g</group_name></iotune><address type='drive' controller='0' bus='0' target='0' unit='${i}'/></disk>`
  const limits = '<read_iops_sec>7</read_iops_sec>'
  const model = "<controller type='scsi' model='virtio-scsi'/>"
  const { devices } = await define(model + many(i => disk(i, i === COUNT - 1 ? limits : '')))
  t.same(devices.disks[0]!.iotune, { read_iops_sec: 7n, group_name: 'g' })
  t.match(
    await refusalOf(model + many(i => disk(i, i === COUNT - 1 ? '<read_iops_sec>8</read_iops_sec>' : limits))),
    /different iotunes for disks sda and sd/
  )
  t.match(await refusalOf(model + many(i => disk(i, ''))), /group_name can be configured only together with settings/)
})

t.test('SCSI host devices take the places disks leave', async t => {
  const hostdev =
    "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host1'/><address bus='0' target='0' unit='0'/></source></hostdev>"
  const taken = "<disk><source file='/a'/><target dev='sdb' bus='scsi'/></disk>"
  t.match(await refusalOf(taken + many(() => hostdev)), /a PCI slot is needed/)
})

t.test('memory modules', async t => {
  const max = `<maxMemory slots='${COUNT}' unit='GiB'>64</maxMemory><cpu><numa><cell id='0' cpus='0' memory='1' unit='GiB'/></numa></cpu><memory unit='GiB'>20</memory>`
  const modules = many(
    i =>
      `<memory model='dimm'><target><size>1024</size><node>0</node></target>${i < COUNT - 1 ? '' : "<address type='dimm' slot='2'/>"}</memory>`
  )
  const { devices } = await define(modules, { outside: max })
  const slots = devices.memories.map(({ address }) => (address?.type === 'dimm' ? address.slot : undefined))
  t.same([...slots.slice(0, 4), slots.at(-1)], [0, 1, 3, 4, 2])
  const taken = modules.replace('</target>', "</target><address type='dimm' slot='2'/>")
  t.match(
    await errorOf(() => define(taken, { outside: max })),
    /slot '2' is already being used by another memory device/
  )
})

/** a, b … z, aa, ab … */
function name(i: number): string {
  const letter = String.fromCharCode(97 + (i % 26))
  return i < 26 ? letter : name(Math.floor(i / 26) - 1) + letter
}
