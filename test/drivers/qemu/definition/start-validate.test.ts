import t from 'tap'
import { argvOf, errorOf } from '../../../helper/definition.ts'

const listens = "<graphics type='vnc'><listen type='address'/><listen type='address'/></graphics>"
const outside = "<cpu><model>qemu64</model><feature name='no-such-feature'/></cpu>"

t.test('what can only be told when a guest starts, in the order libvirt tells it', async t => {
  t.match(await errorOf(() => argvOf(listens, { outside })), 'multiple listens')
  t.match(await errorOf(() => argvOf('', { outside })), 'unknown CPU feature: no-such-feature')
  t.match(await errorOf(() => argvOf('')), 'accepted')
})

t.test('a topology of more vCPUs than can be counted is told after what comes before it', async t => {
  const topology = "<cpu><topology sockets='65536' cores='65536' threads='1'/></cpu>"
  const twice = "<disk><source file='/d'/><target dev='vda' bus='virtio'/></disk>".repeat(2)
  t.match(await errorOf(() => argvOf('', { outside: topology })), 'more than 4294967295 cpus')
  t.match(await errorOf(() => argvOf(twice, { outside: topology })), "target 'vda' duplicated")
})

t.test('a definition is checked again for what the user says QEMU lacks', async t => {
  const without = (...names: string[]) => ({
    attributes: " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'",
    outside: `<qemu:deprecation behavior='crash'/><qemu:capabilities>${names
      .map(name => `<qemu:del capability='${name}'/>`)
      .join('')}</qemu:capabilities>`
  })
  const rng = "<rng model='virtio'><backend model='random'/></rng>"
  t.match(await errorOf(() => argvOf(rng, without('rng-random'))), "doesn't support the rng-random backend")
  const hasCompat = async (...names: string[]) =>
    (await argvOf('', without(...names))).some(line => line.startsWith('-compat'))
  t.equal(await hasCompat('compat-deprecated'), true, 'brought back by another')
  t.equal(await hasCompat('compat-deprecated', 'object.qapified'), false)
})
