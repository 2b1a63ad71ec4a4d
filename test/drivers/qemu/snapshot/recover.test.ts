// What a shim, its QEMU or a failure have left of a guest's snapshots.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readJournal } from '../../../../src/drivers/qemu/process/journal.ts'
import type { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Order, silent } from '../../../helper/stand-in-qemu.ts'
import { storageGuest } from '../../../helper/storage-guest.ts'

t.setTimeout(120_000)

const AGENT = `<channel type='unix'><source mode='bind'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`
const DISK = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='@/vda.qcow2'/>
  <target dev='vda' bus='virtio'/></disk>`
const DISK_ONLY = 'VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY'
const QUIESCE = 'VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE'

const take = (guest: StandInGuest, name: string, ...flags: string[]) =>
  guest.failureOf('virDomainSnapshotCreateXML', {
    xmlDesc: `<domainsnapshot><name>${name}</name><disks><disk name='vda' snapshot='external'>
      <source file='${guest.dir}/${name}.overlay'/></disk></disks></domainsnapshot>`,
    flags: [DISK_ONLY, ...flags]
  })

/** A guest with one disk and an agent that counts what is frozen. */
async function guestWithAgent(t: Parameters<typeof storageGuest>[0]) {
  const storage = await storageGuest(t, { devices: DISK + AGENT }, ['vda'])
  const { agent } = storage.guest.qemu
  const said = { frozen: 0 }
  Object.assign(agent.answers, {
    'guest-fsfreeze-freeze'(order: Order) {
      said.frozen = 2
      order.reply(2)
    },
    'guest-fsfreeze-thaw'(order: Order) {
      said.frozen = 0
      order.reply(2)
    }
  })
  return { ...storage, agent, said }
}

t.test('file systems that were frozen for a snapshot are thawed by the next shim', async t => {
  for (const step of ['query-named-block-nodes', 'transaction']) {
    const { guest, said } = await guestWithAgent(t)
    guest.qemu.peer.instead = ({ command }) => (command === step ? silent : undefined)
    const lost = take(guest, 's1', QUIESCE)
    await guest.qemu.peer.told(step)
    t.match(await guest.status(), { frozen: true }, 'it is known on disk')
    guest.die()
    lost.catch(() => undefined)
    guest.qemu.peer.instead = undefined
    t.equal(said.frozen, 2, step)
    t.ok(await guest.takeOver())
    await guest.untilSaved({ frozen: undefined } as never)
    t.equal(said.frozen, 0, step)
  }
})

t.test('an agent that does not answer keeps nobody waiting, and is asked again', async t => {
  const { guest, agent, said } = await guestWithAgent(t)
  guest.qemu.peer.instead = ({ command }) => (command === 'transaction' ? silent : undefined)
  const lost = take(guest, 's1', QUIESCE)
  await guest.qemu.peer.told('transaction')
  guest.die()
  lost.catch(() => undefined)
  guest.qemu.peer.instead = undefined
  const thaw = agent.answers['guest-fsfreeze-thaw']
  agent.answers['guest-fsfreeze-thaw'] = silent
  t.ok(await guest.takeOver())
  await agent.told('guest-fsfreeze-thaw')
  t.match(await guest.status(), { frozen: true })
  guest.die()
  agent.answers['guest-fsfreeze-thaw'] = thaw
  t.ok(await guest.takeOver())
  await guest.untilSaved({ frozen: undefined } as never)
  t.equal(said.frozen, 0)
})

t.test('a snapshot that leaves nothing frozen says so', async t => {
  const { guest, said } = await guestWithAgent(t)
  t.equal(await take(guest, 's1', QUIESCE), '')
  t.equal(said.frozen, 0)
  t.equal((await guest.status())?.frozen, undefined)
  guest.qemu.agent.answers['guest-fsfreeze-freeze'] = (order: Order) => order.refuse('they are frozen')
  t.match(await take(guest, 's2', QUIESCE), /they are frozen/)
  t.equal((await guest.status())?.frozen, undefined)
})

t.test('what could not be saved is settled by the next call', async t => {
  const { guest } = await storageGuest(t, {}, ['vda'])
  const { root } = guest
  // nothing can be put in the place of a directory
  const blocked = join(root.snapshotDir, 's1.xml')
  mkdirSync(join(blocked, 'full'), { recursive: true })
  t.match(await take(guest, 's1'), /cannot write/)
  t.ok(readJournal(root)?.redo, 'QEMU has done it, which the journal knows')
  t.match(await take(guest, 's2'), /a former change of snapshots cannot be settled/)
  t.ok(readJournal(root)?.redo, 'it is not written over')
  rmSync(blocked, { recursive: true })
  t.equal(await take(guest, 's2'), '')
  t.equal(readJournal(root), undefined)
  t.match(readFileSync(join(root.snapshotDir, 's2.xml'), 'utf8'), /<parent>\s*<name>s1</)
  t.match(readFileSync(root.definition, 'utf8'), /s2\.overlay/)
  t.match(await guest.call('virDomainListAllSnapshots', { flags: [] }), { snapshots: [{ name: 's1' }, { name: 's2' }] })
})

t.test('a connection that is lost meanwhile: QEMU is asked what it has done', async t => {
  for (const isCarriedOut of [false, true]) {
    const { guest } = await storageGuest(t, {}, ['vda'])
    const { peer } = guest.qemu
    peer.instead = order => {
      if (order.command !== 'transaction') return undefined
      return () => {
        peer.instead = undefined
        if (isCarriedOut) peer.answer(Object.assign(Object.create(order) as Order, { reply() {} }))
        peer.hangUp()
      }
    }
    const failure = await take(guest, 's1')
    t.equal(failure === '', isCarriedOut, failure)
    t.equal(existsSync(join(guest.dir, 's1.overlay')), isCarriedOut)
    t.equal(/s1\.overlay/.test(readFileSync(guest.root.definition, 'utf8')), isCarriedOut)
    t.equal(readJournal(guest.root), undefined)
  }
})
