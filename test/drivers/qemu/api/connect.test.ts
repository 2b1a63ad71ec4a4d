// What a connection says of the host and of itself.
import t from 'tap'
import type { Connect } from '../../../../src/drivers/connection.ts'
import { connect } from '../../../../src/drivers/qemu/api/connect.ts'
import { errorOf } from '../../../helper/definition.ts'
import { onHost } from '../../../helper/host-tree.ts'

const maxVcpus = (type?: string) => connect.virConnectGetMaxVcpus.run({} as Connect, { type } as never, {} as never)

t.test('vCPUs a guest may have, by its type', async t => {
  await onHost({ 'dev/kvm': '' }, () => {
    t.same(maxVcpus(), { maxVcpus: 16 })
    t.same(maxVcpus('KVM'), { maxVcpus: 1024 })
  })
  await onHost({}, async () => {
    t.same(maxVcpus('qemu'), { maxVcpus: 16 })
    t.equal(
      await errorOf(async () => maxVcpus('kvm')),
      'VIR_ERR_SYSTEM_ERROR: Unable to open /dev/kvm: No such file or directory'
    )
  })
  t.equal(await errorOf(async () => maxVcpus('xen')), "VIR_ERR_INVALID_ARG: invalid argument: unknown type 'xen'")
})
