// The time for which a guest stands still: what is done about its files is done while it runs.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { journalOf } from '../../../../src/state/moments.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import type { Answers, Order } from '../../../helper/stand-in-qemu.ts'

const DISK = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='@/disk.qcow2'/>
  <target dev='vda' bus='virtio'/></disk>`

const ANSWERS: Answers = {
  'query-named-block-nodes': [{ 'node-name': 'libvirt-1-format', image: { 'virtual-size': 1024 * 1024 } }],
  'query-migrate': {},
  'snapshot-save'(order: Order) {
    const id = order.args['job-id']
    order.reply()
    order.peer.event('JOB_STATUS_CHANGE', { id, status: 'concluded' })
  },
  'query-jobs': [],
  'job-dismiss': {}
}

t.test('a snapshot with memory inside of an image', async t => {
  const guest = await StandInGuest.make(t, { devices: DISK, answers: ANSWERS })
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', join(guest.dir, 'disk.qcow2'), '1M'])
  await guest.start()
  const { domain, root } = guest
  const seen: [string, boolean, boolean][] = []
  const file = join(root.snapshotDir, 's.xml')
  domain.events.listen(({ data: { event } }) => {
    seen.push([String(event), existsSync(journalOf(root)), existsSync(file)])
  })
  guest.forget()
  await guest.call('virDomainSnapshotCreateXML', { xmlDesc: '<domainsnapshot><name>s</name></domainsnapshot>' })
  t.same(guest.lifecycle, ['SUSPENDED PAUSED', 'RESUMED UNPAUSED'])
  t.same(
    seen.map(([, journal, written]) => [journal, written]),
    [
      [true, false],
      [true, false]
    ],
    'it is known of before the guest stops, and written down once it runs'
  )
  t.same([existsSync(journalOf(root)), existsSync(file)], [false, true])
})
