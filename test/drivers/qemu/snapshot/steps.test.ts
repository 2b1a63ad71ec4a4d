// Each command of QEMU's that snapshots are made of fails once: afterwards all is what it was, and the same can be done.
import { existsSync } from 'node:fs'
import t from 'tap'
import { journalOf } from '../../../../src/state/moments.ts'
import { cutEach, type Fate, refuseEach, type Steps } from '../../../helper/each-step.ts'
import type { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { storageGuest } from '../../../helper/storage-guest.ts'

t.setTimeout(600_000)

const overlays = ['vda', 'vdb'].map(
  name => `<disk name='${name}' snapshot='external'><source file='@/${name}.overlay'/></disk>`
)
const snapshotXml = (inside: string) => `<domainsnapshot><name>s1</name>${inside}</domainsnapshot>`

const take =
  (inside: string, ...flags: string[]) =>
  (guest: StandInGuest): Promise<string> => {
    const xmlDesc = snapshotXml(inside).replaceAll('@', guest.dir)
    return guest.failureOf('virDomainSnapshotCreateXML', { xmlDesc, flags })
  }

const takeInternal = take('')
const takeDisks = take(`<disks>${overlays.join('')}</disks>`, 'VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY')
const takeMemory = take(`<memory snapshot='external' file='@/memory'/><disks>${overlays.join('')}</disks>`)
const remove = (guest: StandInGuest) => guest.failureOf('virDomainSnapshotDelete', { snap: { name: 's1' }, flags: [] })

/** What QEMU is left with does no harm. */
const TIDIES = /^(job-dismiss|closefd)$/

const CASES: Steps[] = [
  { name: 'disk-only', make: t => storageGuest(t), call: takeDisks, harmless: TIDIES },
  {
    name: 'with memory',
    make: t => storageGuest(t),
    call: takeMemory,
    harmless: TIDIES,
    late: /^cont$/,
    stays: /^ {2}"memory",\n/m
  },
  { name: 'internal', make: t => storageGuest(t), call: takeInternal, harmless: TIDIES, late: /^cont$/ },
  {
    name: 'deletion of an internal one',
    async make(t) {
      const storage = await storageGuest(t)
      t.equal(await takeInternal(storage.guest), '')
      return storage
    },
    call: remove,
    harmless: TIDIES,
    late: /^query-jobs$/
  },
  {
    name: 'deletion of an external one',
    async make(t) {
      const storage = await storageGuest(t, {}, ['vda'])
      const only = take(`<disks>${overlays[0]}</disks>`, 'VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY')
      t.equal(await only(storage.guest), '')
      return storage
    },
    call: remove,
    async settled({ guest }) {
      while (existsSync(journalOf(guest.root))) await new Promise(resolve => setTimeout(resolve, 5))
    },
    words: /^VIR_ERR_INTERNAL_ERROR .*finishing block job failed while deleting disk 'vda' snapshot: 'cancelled'/,
    // the disk is on the image below by then
    harmless: /^(job-dismiss|query-jobs|query-named-block-nodes|transaction|blockdev-del|query-block)$/
  }
]

/** The guest is ended before it is taken back: where that fails it stays so. */
const REVERT: Steps = {
  name: 'revert to an internal one',
  async make(t) {
    const storage = await storageGuest(t)
    t.equal(await takeInternal(storage.guest), '')
    return storage
  },
  call: guest => guest.failureOf('virDomainRevertToSnapshot', { snap: { name: 's1' }, flags: [] })
}

const FATES: Fate[] = ['killed', 'ended', 'both']

for (const given of CASES) t.test(`${given.name}: each step refused`, t => refuseEach(t, given))
t.test(`${REVERT.name}: each step refused`, t => cutEach(t, REVERT, 'refused'))

for (const given of [...CASES, REVERT]) {
  for (const fate of FATES) t.test(`${given.name}: ${fate} at each step`, t => cutEach(t, given, fate))
}
t.test('disk-only: neither the shim nor QEMU comes to the first step', t => cutEach(t, CASES[0]!, 'both', false))
