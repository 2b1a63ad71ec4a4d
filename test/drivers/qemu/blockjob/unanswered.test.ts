// Jobs on disks of which QEMU does not say whether it has begun or ended them: its connection is lost instead of an
// answer, after the command was carried out or before. Nothing is forgotten that QEMU does, nor kept that it does not.
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { carriedOut, type Storage, traces } from '../../../helper/each-step.ts'
import type { StandInGuest } from '../../../helper/stand-in-guest.ts'
import type { Order } from '../../../helper/stand-in-qemu.ts'
import { storageGuest } from '../../../helper/storage-guest.ts'

t.setTimeout(240_000)

const [COMPLETED, FAILED, CANCELED] = [0, 1, 2]

/** A guest whose disk stands on another image. */
async function guestWithChain(t: Test): Promise<Storage> {
  const storage = await storageGuest(t, {}, ['vda'])
  const { guest } = storage
  await guest.call('virDomainSnapshotCreateXML', {
    xmlDesc: `<domainsnapshot><disks><disk name='vda'><source file='${guest.dir}/top'/></disk></disks></domainsnapshot>`,
    flags: ['VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY', 'VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA']
  })
  guest.forget()
  return storage
}

const pull = (guest: StandInGuest) => guest.failureOf('virDomainBlockPull', { disk: 'vda' })
const commit = (guest: StandInGuest) =>
  guest.failureOf('virDomainBlockCommit', { disk: 'vda', flags: ['VIR_DOMAIN_BLOCK_COMMIT_ACTIVE'] })
const copy = (guest: StandInGuest) =>
  guest.failureOf('virDomainBlockCopy', {
    disk: 'vda',
    destxml: `<disk type='file'><driver type='qcow2'/><source file='${guest.dir}/copy'/></disk>`,
    params: {},
    flags: ['VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB']
  })
const abort = (guest: StandInGuest, ...flags: string[]) =>
  guest.failureOf('virDomainBlockJobAbort', {
    disk: 'vda',
    flags: flags.map(one => `VIR_DOMAIN_BLOCK_JOB_ABORT_${one}`)
  })

/** The connection is lost instead of the next answer to that command. */
function loses({ guest }: Storage, command: string, isDone: boolean): void {
  const { peer } = guest.qemu
  peer.instead = order => {
    if (order.command !== command) return undefined
    peer.instead = undefined
    return (one: Order) => {
      if (isDone) carriedOut(one)
      peer.hangUp()
    }
  }
}

const BEGINS = [
  { name: 'a pull', begin: pull, command: 'block-stream' },
  { name: 'an active commit', begin: commit, command: 'block-commit' },
  { name: 'a copy', begin: copy, command: 'blockdev-mirror' }
]

for (const { name, begin, command } of BEGINS) {
  t.test(`${name} that QEMU has begun without saying so is followed`, async t => {
    const storage = await guestWithChain(t)
    const { guest, model } = storage
    loses(storage, command, true)
    t.equal(await begin(guest), '')
    t.equal(model.jobs.size, 1)
    const [job] = (await guest.status())!.blockJobs!
    t.match(job, { disk: 'vda', state: /running|ready/ })
    t.equal((await guest.status())!.looseImages, undefined)
    t.equal(await abort(guest), '')
    t.equal((await guest.status())!.blockJobs, undefined)
  })

  t.test(`${name} that QEMU has not begun leaves nothing, and can be begun`, async t => {
    const storage = await guestWithChain(t)
    const before = await traces(storage)
    loses(storage, command, false)
    t.match(await begin(storage.guest), /^VIR_ERR_INTERNAL_ERROR .*End of file from qemu monitor$/)
    t.equal(await traces(storage), before)
    t.equal(await begin(storage.guest), '')
  })
}

/** A job in step. */
async function ready(t: Test): Promise<Storage> {
  const storage = await guestWithChain(t)
  t.equal(await commit(storage.guest), '')
  await storage.guest.untilTold('BLOCK_JOB_2')
  storage.guest.forget()
  return storage
}

t.test('a pivot that QEMU carries out without saying so', async t => {
  const storage = await ready(t)
  const { guest, model } = storage
  loses(storage, 'job-complete', true)
  t.match(await abort(guest, 'PIVOT'), /End of file from qemu monitor$/)
  await guest.untilTold('BLOCK_JOB_2')
  t.match(guest.told.at(-1), ['BLOCK_JOB_2', { status: COMPLETED }])
  t.match(model.state, { tops: [['virtio-disk0', 'libvirt-1-format']], jobs: [] })
  t.match(readFileSync(guest.root.definition, 'utf8'), /vda\.qcow2'/)
})

t.test('a pivot that QEMU has not heard of can be tried again', async t => {
  const storage = await ready(t)
  const { guest } = storage
  loses(storage, 'job-complete', false)
  t.match(await abort(guest, 'PIVOT'), /End of file from qemu monitor$/)
  t.match((await guest.status())!.blockJobs, [{ state: 'pivoting' }], 'nobody knows yet')
  while ((await guest.status())!.blockJobs![0]!.state !== 'ready') await new Promise(resolve => setImmediate(resolve))
  t.equal(await abort(guest, 'PIVOT'), '')
})

t.test('a job that is to be given up is given up though QEMU has not heard of it', async t => {
  const storage = await ready(t)
  const { guest, model } = storage
  loses(storage, 'block-job-cancel', false)
  t.match(await abort(guest), /End of file from qemu monitor$/)
  await guest.untilTold('BLOCK_JOB_2')
  t.match(guest.told.at(-1), ['BLOCK_JOB_2', { status: CANCELED }])
  t.match(model.state, { tops: [['virtio-disk0', 'libvirt-2-format']], jobs: [] })
})

t.test('a pivot that cannot be noted: the disk stays where it is', async t => {
  const { guest, model } = await ready(t)
  const blocked = join(dirname(guest.root.status), '.status.json.new')
  const { peer } = guest.qemu
  peer.instead = order => {
    if (order.command === 'job-complete') mkdirSync(blocked)
    if (order.command === 'job-cancel') rmSync(blocked, { recursive: true })
    return undefined
  }
  t.match(await abort(guest, 'PIVOT'), /failed while pivoting/)
  t.notOk(peer.commands.includes('job-finalize'))
  t.match(model.state, { tops: [['virtio-disk0', 'libvirt-2-format']], jobs: [] })
  t.match(readFileSync(guest.root.definition, 'utf8'), /top'/)
})

const ENDS: [name: string, isPulled: boolean, status: number][] = [
  ['all of it pulled', true, COMPLETED],
  ['broken off', false, FAILED]
]

for (const [name, isPulled, status] of ENDS) {
  for (const fate of ['no shim ran', 'the monitor was lost'] as const) {
    t.test(`a pull that QEMU has forgotten while ${fate}: ${name}`, async t => {
      const { guest, model } = await guestWithChain(t)
      t.equal(await pull(guest), '')
      t.match(guest.qemu.peer.orders.at(-1), { args: { 'auto-finalize': false, 'auto-dismiss': true } })
      if (fate === 'no shim ran') guest.leave()
      model.jobs.clear()
      if (isPulled) model.nodes.get('libvirt-2-format')!.below = undefined
      if (fate === 'no shim ran') t.ok(await guest.takeOver())
      else guest.qemu.peer.hangUp()
      while ((await guest.status())!.blockJobs) await new Promise(resolve => setImmediate(resolve))
      if (fate === 'the monitor was lost') {
        await guest.untilTold('BLOCK_JOB_2')
        t.match(guest.told.at(-1), ['BLOCK_JOB_2', { status }])
      }
      const { xml } = await guest.call('virDomainGetXMLDesc', { flags: [] })
      t.equal(/vda\.qcow2/.test(xml), !isPulled, 'the definition is as QEMU is')
    })
  }
}

const TOLD: [event: string, data: object, status: number][] = [
  ['BLOCK_JOB_COMPLETED', {}, COMPLETED],
  ['BLOCK_JOB_COMPLETED', { error: 'No space left on device' }, FAILED],
  // by others than its shim: not all of it is there
  ['BLOCK_JOB_CANCELLED', {}, FAILED]
]

t.test('a pull whose end is told by its event alone', async t => {
  for (const [event, data, status] of TOLD) {
    const { guest, model } = await guestWithChain(t)
    t.equal(await pull(guest), '')
    model.jobs.clear()
    const { peer } = guest.qemu
    const id = 'pull-vda-libvirt-2-format'
    peer.event(event, { device: id, type: 'stream', ...data })
    for (const one of ['concluded', 'null']) peer.event('JOB_STATUS_CHANGE', { id, status: one })
    await guest.untilTold('BLOCK_JOB_2')
    t.match(guest.told.at(-1), ['BLOCK_JOB_2', { status }])
    t.notOk(peer.commands.includes('job-dismiss'))
    t.equal((await guest.status())!.blockJobs, undefined)
    const { xml } = await guest.call('virDomainGetXMLDesc', { flags: [] })
    t.equal(/vda\.qcow2/.test(xml), status !== COMPLETED)
  }
})
