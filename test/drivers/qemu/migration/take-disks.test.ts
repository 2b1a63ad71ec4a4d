import t from 'tap'
import type { Capability } from '../../../../src/drivers/qemu/capabilities/signs.ts'
import type { QemuDomain } from '../../../../src/drivers/qemu/domain/domain.ts'
import { takeDisks } from '../../../../src/drivers/qemu/migration/take-disks.ts'
import { fakeQemu, testContext } from '../../../helper/definition.ts'
import { failureOf } from '../../../helper/stand-in-guest.ts'

const DRIVES = [
  { inserted: { 'node-name': 'libvirt-1-format' } },
  {},
  { inserted: { 'node-name': 'libvirt-2-format' } }
]

/** A guest with these drives, and what its QEMU is told. */
function guest(missing: Capability[], drives: object[] = DRIVES, refused = '') {
  const orders: string[] = []
  const execute = async (command: string, args: Record<string, unknown> = {}) => {
    orders.push([command, args['node-name'] ?? args.active].filter(Boolean).join(' '))
    if (command === refused) throw new Error('QEMU refuses')
    return command === 'query-block' ? drives : {}
  }
  const context = testContext({ qemu: fakeQemu(missing) })
  const domain = { context, running: { owner: {} }, qmp: { execute } } as unknown as QemuDomain
  return { domain, orders }
}

t.test('by its own command', async t => {
  const { domain, orders } = guest([])
  await takeDisks(domain)
  t.same(orders, ['blockdev-set-active true'])
})

t.test('by what a server shows', async t => {
  const { domain, orders } = guest(['blockdev-set-active'])
  await takeDisks(domain)
  t.same(orders, [
    'query-block',
    'nbd-server-start',
    'block-export-add libvirt-1-format',
    'block-export-add libvirt-2-format',
    'nbd-server-stop'
  ])
})

t.test('without disks there is nothing to do', async t => {
  const { domain, orders } = guest(['blockdev-set-active'], [{}])
  await takeDisks(domain)
  t.same(orders, ['query-block'])
})

t.test('a disk that somebody else has', async t => {
  const { domain, orders } = guest(['blockdev-set-active'], DRIVES, 'block-export-add')
  t.match(await failureOf(() => takeDisks(domain)), 'QEMU refuses')
  t.equal(orders.at(-1), 'nbd-server-stop', 'no server is left')
})
