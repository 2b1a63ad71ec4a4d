// Each command of QEMU's that backups and checkpoints are made of fails once, and is the last that a shim or its QEMU sees.
import t from 'tap'
import { carriedOut, cutEach, refuseEach, type Steps } from '../../../helper/each-step.ts'
import type { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { dies, type Order } from '../../../helper/stand-in-qemu.ts'
import { storageGuest } from '../../../helper/storage-guest.ts'

t.setTimeout(600_000)

const checkpointXml = (name: string) => `<domaincheckpoint><name>${name}</name></domaincheckpoint>`

const mark =
  (name: string) =>
  (guest: StandInGuest): Promise<string> =>
    guest.failureOf('virDomainCheckpointCreateXML', { xmlDesc: checkpointXml(name), flags: [] })

const store = (kind: string) =>
  ['vda', 'vdb'].map(name => `<disk name='${name}' type='file'><${kind} file='@/${name}.store'/></disk>`).join('')

const begin = (inside: string, mode: string) => (guest: StandInGuest) =>
  guest.failureOf('virDomainBackupBegin', {
    backupXML: `<domainbackup mode='${mode}'>${inside}</domainbackup>`.replaceAll('@', guest.dir),
    checkpointXML: checkpointXml('c2')
  })

const PUSH = `<disks>${store('target')}</disks>`
const PULL = `<server transport='unix' socket='@/nbd'/><disks>${store('scratch')}</disks>`

const marked: Steps['make'] = async t => {
  const storage = await storageGuest(t)
  t.equal(await mark('c1')(storage.guest), '')
  return storage
}

/** What QEMU is left with does no harm. */
const TIDIES = /^job-dismiss$/

const CASES: Steps[] = [
  { name: 'checkpoint', make: t => storageGuest(t), call: mark('c1') },
  {
    name: 'deletion of a checkpoint',
    make: marked,
    call: guest => guest.failureOf('virDomainCheckpointDelete', { checkpoint: { name: 'c1' }, flags: [] })
  },
  { name: 'push', make: t => storageGuest(t), call: begin(PUSH, 'push'), harmless: TIDIES },
  {
    name: 'incremental push',
    make: marked,
    call: begin(`<incremental>c1</incremental>${PUSH}`, 'push'),
    harmless: TIDIES
  },
  { name: 'pull', make: t => storageGuest(t), call: begin(PULL, 'pull'), harmless: TIDIES },
  {
    name: 'incremental pull',
    make: marked,
    call: begin(`<incremental>c1</incremental>${PULL}`, 'pull'),
    harmless: TIDIES
  }
]

for (const given of CASES) {
  t.test(`${given.name}: each step refused`, t => refuseEach(t, given))
  t.test(`${given.name}: the shim is killed at each step`, t => cutEach(t, given, 'killed'))
}

t.test('a connection that is lost meanwhile: what QEMU has begun is taken back', async t => {
  for (const { name, make, call } of CASES.filter(one => !one.name.startsWith('deletion'))) {
    const { guest, model } = await make(t)
    const before = model.state
    const { peer } = guest.qemu
    peer.instead = order => (order.command === 'transaction' ? loses : undefined)
    const loses = (order: Order) => {
      peer.instead = undefined
      carriedOut(order)
      peer.hangUp()
    }
    t.not(await call(guest), '', name)
    t.same(model.state, before, `${name}: nothing is left in QEMU`)
    t.equal(await call(guest), '', `${name}: it can be done then`)
  }
})

t.test(
  'a connection that is lost while a checkpoint is deleted: it is gone, whether QEMU has heard of that or not',
  async t => {
    for (const isDone of [true, false]) {
      const { guest, model } = await marked(t)
      const { peer } = guest.qemu
      peer.instead = ({ command }) => (command === 'transaction' ? loses : undefined)
      const loses = (order: Order) => {
        peer.instead = undefined
        if (isDone) carriedOut(order)
        peer.hangUp()
      }
      t.equal(await guest.failureOf('virDomainCheckpointDelete', { checkpoint: { name: 'c1' }, flags: [] }), '')
      t.same(
        [...model.nodes.values()].flatMap(({ bitmaps }) => bitmaps),
        []
      )
      t.equal((await guest.status())!.checkpoint, undefined)
      t.same(await guest.call('virDomainListAllCheckpoints', { flags: [] }), { checkpoints: [] })
    }
  }
)

t.test('a shim that dies while it deletes a checkpoint: lower images are only read again', async t => {
  const { guest } = await marked(t)
  await guest.call('virDomainSnapshotCreateXML', {
    xmlDesc: `<domainsnapshot><disks><disk name='vda'><source file='${guest.dir}/top'/></disk>
      <disk name='vdb' snapshot='no'/></disks></domainsnapshot>`,
    flags: ['VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY', 'VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA']
  })
  const { peer } = guest.qemu
  const isLast = ({ command, args }: Order) => command === 'blockdev-reopen' && args.options[0]['read-only'] === true
  const met = new Promise<void>(resolve => {
    peer.instead = order => (isLast(order) ? () => resolve() : undefined)
  })
  void guest.failureOf('virDomainCheckpointDelete', { checkpoint: { name: 'c1' }, flags: [] })
  await met
  guest.die()
  peer.instead = undefined
  guest.forget()
  t.ok(await guest.takeOver())
  const nodes = peer.orders.filter(isLast).map(({ args }) => args.options[0]['node-name'])
  t.same(nodes, ['libvirt-2-format'])
  t.same(await guest.call('virDomainListAllCheckpoints', { flags: [] }), { checkpoints: [] })
})

t.test('a backup that does not begin, as QEMU has ended, leaves no checkpoint', async t => {
  const { guest } = await storageGuest(t)
  guest.qemu.peer.instead = ({ command }) => (command === 'block-export-add' ? dies(guest.qemu) : undefined)
  t.not(await begin(PULL, 'pull')(guest), '')
  await guest.ended()
  t.same(await guest.call('virDomainListAllCheckpoints', { flags: [] }), { checkpoints: [] })
})
