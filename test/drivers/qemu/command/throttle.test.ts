import t from 'tap'
import { argvOf, errorOf } from '../../../helper/definition.ts'

const outside =
  '<throttlegroups><throttlegroup><write_bytes_sec>5</write_bytes_sec><read_iops_sec_max_length>3</read_iops_sec_max_length><group_name>a</group_name></throttlegroup><throttlegroup><group_name>b</group_name></throttlegroup></throttlegroups>'
const disk = (rest: string) =>
  `<disk>${rest}<throttlefilters><throttlefilter group='a'/><throttlefilter group='b'/></throttlefilters></disk>`

t.test('an object for each group that limits anything', async t => {
  const objects = (await argvOf('', { outside })).filter(line => line.includes('throttle-group'))
  t.equal(objects.length, 1)
  const { limits, ...object } = JSON.parse(objects[0]!.slice('-object '.length)) as { limits: Record<string, number> }
  t.same(object, { 'qom-type': 'throttle-group', id: 'throttle-a' })
  t.match(limits, { 'bps-write': 5, 'bps-total': 0, 'iops-read-max-length': 3, 'iops-size': 0 })
  t.notMatch(limits, { 'bps-total-max-length': Number })
})

t.test('a node for each filter, the last one the device’s', async t => {
  const xml = disk("<driver type='qcow2' copy_on_read='on'/><source file='/a'/><target dev='vda'/>")
  const lines = await argvOf(xml, { outside })
  const nodes = lines.filter(line => line.includes('"driver":"throttle"')).map(line => JSON.parse(line.slice(10)))
  t.same(nodes, [
    { driver: 'throttle', 'node-name': 'libvirt-2-filter', 'throttle-group': 'throttle-a', file: 'libvirt-CoR-vda' },
    { driver: 'throttle', 'node-name': 'libvirt-3-filter', 'throttle-group': 'throttle-b', file: 'libvirt-2-filter' }
  ])
  t.ok(lines.some(line => line.includes('"drive":"libvirt-3-filter"')))
})

t.test('an SD card has no nodes to limit', async t => {
  const xml = disk("<source file='/a'/><target dev='sda' bus='sd'/>")
  t.match(await errorOf(() => argvOf(xml, { outside })), "argument key 'node-name' must not have null value")
})
