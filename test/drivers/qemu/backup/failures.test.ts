// Backups and checkpoints that fail half-way: each command of QEMU's refused in turn. Afterwards all is what it was, and
// the same backup can be begun.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Answers, type Order, refuses } from '../../../helper/stand-in-qemu.ts'

t.setTimeout(240_000)

/** QEMU makes an image at once; jobs of a transaction are there from then on, and concluded when they are cancelled. */
function answers(): Answers {
  const jobs = new Map<string, object>()
  const told = (order: Order, id: string) => {
    jobs.set(id, { id, type: 'create', status: 'concluded' })
    order.reply()
    order.peer.event('JOB_STATUS_CHANGE', { id, status: 'concluded' })
  }
  return {
    'blockdev-create': (order: Order) => told(order, order.args['job-id']),
    'job-dismiss'(order: Order) {
      jobs.delete(order.args.id)
      order.reply()
    },
    'query-jobs': (order: Order) => order.reply([...jobs.values()]),
    'job-cancel': (order: Order) => told(order, order.args.id),
    transaction(order: Order) {
      for (const { type, data } of order.args.actions)
        if (type === 'blockdev-backup')
          jobs.set(data['job-id'], { id: data['job-id'], type: 'backup', status: 'running' })
      order.reply()
    },
    'nbd-server-start': {},
    'nbd-server-stop': {},
    'block-export-add': {},
    'block-dirty-bitmap-remove': {},
    'query-named-block-nodes': [
      { 'node-name': 'libvirt-1-format', image: { 'virtual-size': 1048576, 'actual-size': 4096 }, 'dirty-bitmaps': [] }
    ]
  }
}

const DISK = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='@/disk.qcow2'/>
  <target dev='vda' bus='virtio'/></disk>`

async function guestWithDisk(t: Test): Promise<StandInGuest> {
  const guest = await StandInGuest.make(t, { devices: DISK, answers: answers() })
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', join(guest.dir, 'disk.qcow2'), '1M'])
  await guest.start()
  guest.forget()
  return guest
}

const checkpointXML = '<domaincheckpoint><name>c1</name></domaincheckpoint>'
const storeOf = (guest: StandInGuest) => join(guest.dir, 'store.qcow2')
const backup = (guest: StandInGuest, mode: string) => ({
  backupXML:
    mode === 'pull'
      ? `<domainbackup mode='pull'><server transport='unix' socket='${join(guest.dir, 'nbd')}'/><disks>
          <disk name='vda' type='file'><scratch file='${storeOf(guest)}'/></disk></disks></domainbackup>`
      : `<domainbackup><disks><disk name='vda' type='file'><target file='${storeOf(guest)}'/></disk></disks></domainbackup>`,
  checkpointXML
})

/** Nothing is left in what the next shim would find. */
async function checkNothingLeft(t: Test, guest: StandInGuest, step: string): Promise<void> {
  const status = await guest.status()
  const left = [status?.backup, status?.checkpoint, status?.looseImages, status?.job]
  t.same(left, [undefined, undefined, undefined, undefined], `${step}: the status`)
  t.notOk(existsSync(storeOf(guest)), `${step}: no file`)
  const { checkpointDir } = guest.root
  t.same(existsSync(checkpointDir) ? readdirSync(checkpointDir) : [], [], `${step}: no checkpoint`)
  t.match(await guest.failureOf('virDomainBackupGetXMLDesc'), /^VIR_ERR_NO_DOMAIN_BACKUP/, step)
  t.same(await guest.call('virDomainListAllCheckpoints'), { checkpoints: [] }, step)
}

const ADD = ['query-named-block-nodes', 'blockdev-add', 'blockdev-create', 'query-jobs', 'job-dismiss', 'blockdev-add']

/** The commands of a backup, and what undoes it once all of them but the last have been told. */
const CASES = [
  {
    mode: 'push',
    steps: ['query-named-block-nodes', ...ADD, 'query-named-block-nodes', 'transaction'],
    undone: ['blockdev-del', 'blockdev-del']
  },
  {
    mode: 'pull',
    steps: [
      'query-named-block-nodes',
      ...ADD,
      'query-named-block-nodes',
      'nbd-server-start',
      'transaction',
      'block-export-add'
    ],
    undone: [
      'nbd-server-stop',
      'job-cancel',
      'query-jobs',
      'query-jobs',
      'job-dismiss',
      'transaction',
      'blockdev-del',
      'blockdev-del'
    ]
  }
]

for (const { mode, steps, undone } of CASES) {
  t.test(`${mode}: each step refused`, async t => {
    const guest = await guestWithDisk(t)
    const { peer } = guest.qemu
    for (const [at, command] of steps.entries()) {
      // a job that QEMU does not let go of stays, and does no harm
      if (command === 'job-dismiss') continue
      const usual = peer.answers[command]
      const nth = steps.slice(0, at).filter(step => step === command).length
      let count = 0
      peer.answers[command] = (order: Order) => {
        if (count++ === nth) return refuses()(order)
        if (typeof usual === 'function') return usual(order)
        order.reply(usual ?? {})
      }
      guest.forget()
      const failed = await guest.failureOf('virDomainBackupBegin', backup(guest, mode))
      t.match(failed, /the stand-in refuses/, `${at}: ${command}`)
      t.same(peer.commands.slice(0, at + 1), steps.slice(0, at + 1), `${at}: ${command}: as far as that`)
      if (at === steps.length - 1) t.same(peer.commands.slice(at + 1).sort(), [...undone].sort(), 'all is undone')
      if (usual === undefined) delete peer.answers[command]
      else peer.answers[command] = usual
      await checkNothingLeft(t, guest, `${at}: ${command}`)
    }
    guest.forget()
    t.equal(await guest.failureOf('virDomainBackupBegin', backup(guest, mode)), '', 'it can be begun')
    t.same(peer.commands.slice(0, steps.length), steps)
    t.match(await guest.status(), { backup: { begun: true }, job: { kind: 'backup' } })
    await guest.call('virDomainDestroy')
    t.notOk(existsSync(storeOf(guest)), 'it ends with the guest')
  })
}

t.test('a backup that ends while the monitor is lost', async t => {
  const guest = await guestWithDisk(t)
  const { peer } = guest.qemu
  await guest.call('virDomainBackupBegin', backup(guest, 'push'))
  peer.answers['query-jobs'] = [{ id: 'backup-vda-libvirt-2-format', type: 'backup', status: 'concluded' }]
  peer.hangUp()
  await guest.untilTold('JOB_COMPLETED')
  t.match(await guest.failureOf('virDomainBackupGetXMLDesc'), /^VIR_ERR_NO_DOMAIN_BACKUP/)
  t.match(await guest.call('virDomainGetJobStats', { flags: 1 }), { type: 3 })
  t.ok(existsSync(storeOf(guest)), 'the copy is whole')
})

t.test('a backup that is given up: saved before QEMU is told, which is told again where it was not heard', async t => {
  const guest = await guestWithDisk(t)
  const { peer } = guest.qemu
  await guest.call('virDomainBackupBegin', backup(guest, 'push'))
  const id = 'backup-vda-libvirt-2-format'
  const saved: string[] = []
  peer.answers['block-job-cancel'] = (order: Order) => {
    saved.push(readFileSync(guest.root.status, 'utf8'))
    if (saved.length === 1) return peer.hangUp()
    order.reply()
    peer.answers['query-jobs'] = [{ id, type: 'backup', status: 'concluded', error: 'Operation canceled' }]
    peer.event('JOB_STATUS_CHANGE', { id, status: 'concluded' })
  }
  t.equal(await guest.failureOf('virDomainAbortJob'), '')
  await guest.untilTold('JOB_COMPLETED')
  t.equal(saved.length, 2)
  for (const one of saved) t.match(one, /cancelling/)
  t.match(await guest.failureOf('virDomainBackupGetXMLDesc'), /^VIR_ERR_NO_DOMAIN_BACKUP/)
})

t.test('a checkpoint: each step refused', async t => {
  const guest = await guestWithDisk(t)
  const { peer } = guest.qemu
  const create = () => guest.failureOf('virDomainCheckpointCreateXML', { xmlDesc: checkpointXML })
  for (const command of ['query-named-block-nodes', 'transaction']) {
    const usual = peer.answers[command]
    peer.answers[command] = refuses()
    t.match(await create(), /the stand-in refuses/, command)
    peer.answers[command] = usual
    await checkNothingLeft(t, guest, command)
  }
  t.equal(await create(), '')
  t.same(readdirSync(guest.root.checkpointDir), ['c1.xml'])
})

t.test('a guest that is shut down stays until its backup is over, where that is wanted', async t => {
  const guest = await guestWithDisk(t)
  const { peer } = guest.qemu
  peer.answers['block-job-cancel'] = (order: Order) => {
    order.reply()
    peer.answers['query-jobs'] = [{ id: order.args.device, type: 'backup', status: 'concluded', error: 'cancelled' }]
    peer.event('JOB_STATUS_CHANGE', { id: order.args.device, status: 'concluded' })
  }
  const PRESERVE = 2
  await guest.call('virDomainBackupBegin', { ...backup(guest, 'pull'), flags: PRESERVE })
  guest.forget()
  peer.event('SHUTDOWN', { guest: true, reason: 'guest-shutdown' })
  await guest.untilState('SHUTDOWN')
  t.match(await guest.call('virDomainGetJobInfo'), { type: 2 })
  await guest.call('virDomainAbortJob')
  await guest.ended()
  t.match(guest.lifecycle.at(-1), /^STOPPED/)
  t.match(await guest.call('virDomainGetJobStats', { flags: 1 }), { type: 3 })
  t.notOk(existsSync(storeOf(guest)))
})
