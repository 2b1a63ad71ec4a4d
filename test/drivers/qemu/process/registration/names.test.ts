import t from 'tap'
import { groupName } from '../../../../../src/drivers/qemu/process/registration/cgroup.ts'
import { machineName } from '../../../../../src/drivers/qemu/process/registration/machine-name.ts'
import {
  partitionGroups,
  scopeName,
  sliceName
} from '../../../../../src/drivers/qemu/process/registration/partition.ts'
import { errorOf } from '../../../../helper/definition.ts'

t.test('partitions as control groups', async t => {
  const cases: [partition: string, groups: string][] = [
    ['/machine', 'machine'],
    ['/machine/production', 'machine/production.partition'],
    ['/virtualmachines/production', 'virtualmachines.partition/production.partition'],
    ['/foo/machine', 'foo.partition/machine.partition'],
    ['/foo/cpu.a', 'foo.partition/_cpu.a'],
    ['/foo.slice/.hidden', 'foo.slice/_.hidden'],
    ['/', '']
  ]
  for (const [partition, groups] of cases) t.equal(partitionGroups(partition).join('/'), groups, partition)
  const refused = /CONFIG_UNSUPPORTED: .*Resource partition 'machine' must start with '\/'/
  t.match(await errorOf(async () => partitionGroups('machine')), refused)
  t.match(await errorOf(async () => partitionGroups('/machine/../system')), /must not lead upwards/)
})

t.test('units of systemd', async t => {
  t.equal(sliceName('/machine'), 'machine.slice')
  t.equal(sliceName('/machine/eng-dept'), 'machine-eng\\x2ddept.slice')
  t.equal(sliceName('/machine/eng-dept/testing!stuff'), 'machine-eng\\x2ddept-testing\\x21stuff.slice')
  t.equal(scopeName('qemu-3-demo'), 'machine-qemu\\x2d3\\x2ddemo.scope')
  t.equal(scopeName('qemu-3-ü'), 'machine-qemu\\x2d3\\x2d\\xc3\\xbc.scope')
})

t.test('machines', async t => {
  const root = process.getuid?.() === 0
  if (root) t.equal(machineName({ id: 1, name: 'demo' }), 'qemu-1-demo')
  if (root) t.equal(machineName({ id: 12, name: '-a..b--c_d é.' }), 'qemu-12-a.b-cd')
  t.match(machineName({ id: 1, name: 'demo', root: '/tmp/a' }), /^qemu-embed-[0-9a-f]{8}-1-demo$/)
  t.not(machineName({ id: 1, name: 'demo', root: '/tmp/a' }), machineName({ id: 1, name: 'demo', root: '/tmp/b' }))
  t.equal(machineName({ id: 1, name: 'x'.repeat(100), root: '/a' }).length, 64)
})

t.test('a group is the guest’s by its QEMU', async t => {
  t.equal(groupName('a guest/with-all.sorts', 42), 'qemu-42-a_guest_with-all.sorts.virshim')
  t.ok(groupName('x'.repeat(300), 42).length < 100)
})
