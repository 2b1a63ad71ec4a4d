// A guest that goes on with another image: whoever dies meanwhile, the definition that is kept names the image that has all
// the guest has written. QEMU finishes a pivot only once told, with both images the same: what was saved then says which.
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { cutEach, type Fate, type Steps } from '../../../helper/each-step.ts'
import type { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { refuses, silent } from '../../../helper/stand-in-qemu.ts'
import { storageGuest } from '../../../helper/storage-guest.ts'

t.setTimeout(600_000)

const pivot = (guest: StandInGuest) =>
  guest.failureOf('virDomainBlockJobAbort', { disk: 'vda', flags: ['VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT'] })
const giveUp = (guest: StandInGuest) => guest.failureOf('virDomainBlockJobAbort', { disk: 'vda', flags: [] })

/** A guest whose disk has two images, and a job on it that is in step. */
const ready =
  (begin: (guest: StandInGuest) => Promise<unknown>): Steps['make'] =>
  async t => {
    const storage = await storageGuest(t, {}, ['vda'])
    const { guest } = storage
    await guest.call('virDomainSnapshotCreateXML', {
      xmlDesc: `<domainsnapshot><disks><disk name='vda'><source file='${guest.dir}/top'/></disk></disks></domainsnapshot>`,
      flags: ['VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY', 'VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA']
    })
    guest.forget()
    await begin(guest)
    await guest.untilTold('BLOCK_JOB_2')
    guest.forget()
    return storage
  }

const commit = ready(guest =>
  guest.call('virDomainBlockCommit', { disk: 'vda', flags: ['VIR_DOMAIN_BLOCK_COMMIT_ACTIVE'] })
)
const copy = ready(guest =>
  guest.call('virDomainBlockCopy', {
    disk: 'vda',
    destxml: `<disk type='file'><driver type='qcow2'/><source file='${guest.dir}/copy'/></disk>`,
    params: {},
    flags: ['VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB']
  })
)

const CASES: (Steps & { to: RegExp })[] = [
  {
    name: 'active commit',
    make: commit,
    call: pivot,
    to: /name='qemu' type='qcow2'\/>\s*<source file='[^']*vda\.qcow2'/
  },
  { name: 'copy', make: copy, call: pivot, to: /copy'/ }
]

const FATES: Fate[] = ['ended', 'killed', 'both']

for (const given of CASES) {
  for (const fate of FATES) t.test(`${given.name}: ${fate} at each step`, t => cutEach(t, given, fate))
}

/** The disk of the definition that is kept. */
const diskOf = ({ root }: StandInGuest) => /<disk .*?<\/disk>/s.exec(readFileSync(root.definition, 'utf8'))![0]

async function cutAt(t: Test, { make, call, to }: (typeof CASES)[number], step: string, fate: Fate): Promise<boolean> {
  const { guest } = await make(t)
  t.notMatch(diskOf(guest), to)
  guest.qemu.peer.instead = ({ command }) => (command === step ? silent : undefined)
  const lost = call(guest)
  await guest.qemu.peer.told(step)
  if (fate === 'both') guest.die()
  guest.qemu.kill()
  await guest.qemu.gone()
  if (fate !== 'both') await lost
  if (fate === 'both') t.equal(await guest.takeOver(), false)
  else await guest.ended()
  return to.test(diskOf(guest))
}

for (const given of CASES) {
  t.test(`${given.name}: which image is the right one`, async t => {
    for (const fate of ['ended', 'both'] as const) {
      t.equal(await cutAt(t, given, 'job-complete', fate), false, `${fate}: not all of it is in the other one yet`)
      t.equal(await cutAt(t, given, 'job-finalize', fate), true, `${fate}: all of it is, and later writes too`)
    }
  })
  t.test(`${given.name}: given up, it names the image it had`, async t => {
    const { guest } = await given.make(t)
    const before = diskOf(guest)
    t.equal(await giveUp(guest), '')
    t.ok(guest.qemu.peer.commands.includes('job-finalize'))
    t.equal(diskOf(guest), before)
    guest.qemu.kill()
    await guest.ended()
    t.equal(diskOf(guest), before)
  })
}

t.test('a pivot that QEMU does not finish: the disk stays where it is, and the guest can write', async t => {
  for (const { make, call } of CASES) {
    const { guest, model } = await make(t)
    const before = diskOf(guest)
    guest.qemu.peer.instead = ({ command }) => (command === 'job-finalize' ? refuses() : undefined)
    t.match(await call(guest), /^VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: .* failed while pivoting$/)
    t.ok(guest.qemu.peer.commands.includes('job-cancel'))
    t.equal(diskOf(guest), before)
    t.equal((await guest.status())?.blockJobs, undefined)
    t.match(model.state, { jobs: [], tops: [['virtio-disk0', 'libvirt-2-format']] })
  }
})
