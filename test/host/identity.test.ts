import t from 'tap'
import { hasIommu, hostUuid, SUSPEND_TARGETS } from '../../src/host/identity.ts'
import { groupId, primaryGroupId, userId, userName } from '../../src/host/ids.ts'
import { ownerIds } from '../../src/host/owner.ts'
import { errorOf } from '../helper/definition.ts'
import { onHost } from '../helper/host-tree.ts'

const UUID = '4c4c4544-0042-3510-8053-b4c04f4b3932'
const DMI = '/sys/class/dmi/id/product_uuid'

t.test('the host’s UUID', async t => {
  await onHost({ [DMI]: `${UUID.toUpperCase()}\n` }, () => t.equal(hostUuid(), UUID))
  await onHost({ '/sys/devices/virtual/dmi/id/product_uuid': `${UUID}\n`, [DMI]: 'x\n' }, () =>
    t.equal(hostUuid(), UUID)
  )
  await onHost({}, () => t.equal(hostUuid(), undefined))
  let fromMachine: string | undefined
  await onHost({ '/etc/machine-id': '0123456789abcdef0123456789abcdef\n' }, () => {
    fromMachine = hostUuid()
    t.match(fromMachine, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
    t.equal(hostUuid(), fromMachine, 'the same for every shim')
  })
  for (const none of ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'Not Settable']) {
    await onHost({ [DMI]: `${none}\n`, '/etc/machine-id': '0123456789abcdef0123456789abcdef\n' }, () =>
      t.equal(hostUuid(), fromMachine, `${none} is none`)
    )
  }
})

t.test('an IOMMU is in use where there are groups', async t => {
  await onHost({}, () => t.equal(hasIommu(), false))
  await onHost({ '/sys/kernel/iommu_groups/0/type': 'DMA\n' }, () => t.equal(hasIommu(), true))
})

t.test('ways to sleep are in libvirt’s order', async t => {
  t.same(
    SUSPEND_TARGETS.map(({ name }) => name),
    ['suspend_mem', 'suspend_disk', 'suspend_hybrid']
  )
})

const USERS = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nqemu:x:107:108::/:/bin/false\n42:x:1042:1043::/:/bin/false\n',
  '/etc/group': 'root:x:0:\nkvm:x:109:qemu\n'
}

t.test('users and groups by name and number', () =>
  onHost(USERS, async () => {
    t.same(['qemu', '107', '+107', '42', '+42', '0'].map(userId), [107, 107, 107, 1042, 42, 0])
    t.same(['kvm', '5', '+5'].map(groupId), [109, 5, 5])
    t.equal(
      await errorOf(() => userId('nobody')),
      "VIR_ERR_INVALID_ARG: invalid argument: Failed to parse user 'nobody'"
    )
    t.equal(await errorOf(() => userId('+qemu')), "VIR_ERR_INVALID_ARG: invalid argument: Failed to parse user 'qemu'")
    t.equal(await errorOf(() => userId('-1')), "VIR_ERR_INVALID_ARG: invalid argument: Failed to parse user '-1'")
    t.equal(await errorOf(() => groupId('')), "VIR_ERR_INVALID_ARG: invalid argument: Failed to parse group ''")
    t.same([107, 1042, 5].map(userName), ['qemu', '42', undefined])
    t.same([107, 1042, 5].map(primaryGroupId), [108, 1043, 5])
  })
)

t.test('who QEMU runs as', () =>
  onHost(USERS, async () => {
    t.equal(ownerIds({}), undefined)
    t.same(ownerIds({ user: 'qemu' }), { uid: 107, gid: 108 })
    t.same(ownerIds({ user: 'qemu', group: 'kvm' }), { uid: 107, gid: 109 })
    t.same(ownerIds({ group: 'kvm' }), { uid: process.getuid?.(), gid: 109 })
    t.match(await errorOf(() => ownerIds({ user: 'nobody' })), 'VIR_ERR_INVALID_ARG')
  })
)

t.test('a host without users has numbers', () =>
  onHost({}, () => {
    t.equal(userId('107'), 107)
    t.equal(userName(107), undefined)
    t.equal(primaryGroupId(107), 107)
  })
)
