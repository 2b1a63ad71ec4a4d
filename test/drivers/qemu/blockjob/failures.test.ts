// Jobs on disks that fail half-way: each command of QEMU's refused in turn, and each unanswered while the shim dies.
// Afterwards all is what it was, and the same job can be begun.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type GuestParts, StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Answers, type Order, refuses, silent } from '../../../helper/stand-in-qemu.ts'

t.setTimeout(240_000)

const TRANSIENT_JOB = 4
const [SHALLOW, REUSE, ACTIVE, PIVOT, ZEROED] = [1, 2, 4, 2, 16]
const READY = 3

/** What `query-jobs` tells, by the monitor that is asked. */
const jobs = new WeakMap<object, object[]>()

/** QEMU's job ends at once; `query-jobs` says how. */
const ends =
  (error?: string) =>
  (order: Order): void => {
    const id = order.args['job-id']
    jobs.set(order.peer, [{ id, type: 'create', status: 'concluded', ...(error && { error }) }])
    order.reply()
    order.peer.event('JOB_STATUS_CHANGE', { id, status: 'concluded' })
  }

const NODE = (name: string) => ({ 'node-name': name, image: { 'virtual-size': 1024 * 1024, 'actual-size': 4096 } })

/** The answers of a QEMU whose disk has two images. */
const ANSWERS = (): Answers => ({
  'block-stream': {},
  'block-commit': {},
  'blockdev-mirror': {},
  'blockdev-reopen': {},
  'blockdev-create': ends(),
  'job-dismiss': {},
  'query-jobs': (order: Order) => order.reply(jobs.get(order.peer) ?? []),
  'job-complete': {},
  'block-job-cancel': {},
  transaction: {},
  'query-named-block-nodes': [NODE('libvirt-1-format'), NODE('libvirt-2-format')]
})

const DISK = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='@/top.qcow2'/>
  <target dev='vda' bus='virtio'/></disk>`

async function guestWithChain(t: Test, parts: GuestParts = {}): Promise<StandInGuest> {
  const guest = await StandInGuest.make(t, { devices: DISK, answers: ANSWERS(), persistent: true, ...parts })
  const base = join(guest.dir, 'base.qcow2')
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', base, '1M'])
  for (const name of ['top.qcow2', 'reused.qcow2']) {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, join(guest.dir, name)])
  }
  await guest.start()
  guest.forget()
  return guest
}

const xmlOf = async (guest: StandInGuest): Promise<string> =>
  (await guest.call('virDomainGetXMLDesc', { flags: 0 })).xml

/** Nothing of a job is left in what the next shim would find. */
async function checkNothingLeft(t: Test, guest: StandInGuest, before: string, step: string): Promise<void> {
  const status = await guest.status()
  t.equal(await xmlOf(guest), before, `${step}: the definition`)
  t.same([status?.blockJobs, status?.looseImages], [undefined, undefined], `${step}: the status`)
  t.notOk(existsSync(join(guest.dir, 'copy.qcow2')), `${step}: no file`)
}

const copyTo = (guest: StandInGuest, name: string, flags: number) => ({
  disk: 'vda',
  destxml: `<disk type='file'><driver type='qcow2'/><source file='${join(guest.dir, name)}'/></disk>`,
  params: {},
  flags: flags | TRANSIENT_JOB
})

interface Case {
  name: string
  api: string
  args(guest: StandInGuest): object
  /** the commands it is made of */
  steps: string[]
  /** those that take them back once all were told but the last */
  undone: string[]
}

const ADD = ['blockdev-add', 'blockdev-create', 'query-jobs', 'job-dismiss', 'blockdev-add']
const DELETE = ['blockdev-del', 'blockdev-del']

const CASES: Case[] = [
  { name: 'a pull', api: 'virDomainBlockPull', args: () => ({ disk: 'vda' }), steps: ['block-stream'], undone: [] },
  {
    name: 'an active commit',
    api: 'virDomainBlockCommit',
    args: () => ({ disk: 'vda', flags: ACTIVE }),
    steps: ['block-commit'],
    undone: []
  },
  {
    name: 'a copy',
    api: 'virDomainBlockCopy',
    args: guest => copyTo(guest, 'copy.qcow2', 0),
    steps: ['query-named-block-nodes', ...ADD, 'blockdev-mirror'],
    undone: DELETE
  },
  {
    name: 'a shallow copy',
    api: 'virDomainBlockCopy',
    args: guest => copyTo(guest, 'copy.qcow2', SHALLOW),
    steps: ['query-named-block-nodes', ...ADD, 'blockdev-mirror'],
    undone: DELETE
  },
  {
    name: 'a copy to what is there',
    api: 'virDomainBlockCopy',
    args: guest => copyTo(guest, 'reused.qcow2', SHALLOW | REUSE),
    steps: ['blockdev-add', 'blockdev-add', 'blockdev-mirror'],
    undone: DELETE
  }
]

/** Refuses the nth of a command's orders. */
function refuseNth(answers: Answers, command: string, nth: number, how = refuses()): () => void {
  const usual = answers[command]
  let count = 0
  answers[command] = (order: Order) => {
    if (count++ === nth) return how(order)
    if (typeof usual === 'function') return usual(order)
    order.reply(usual ?? {})
  }
  return () => {
    if (usual === undefined) delete answers[command]
    else answers[command] = usual
  }
}

/** How often a command comes before that step. */
const nthOf = (steps: string[], at: number) => steps.slice(0, at).filter(step => step === steps[at]).length

t.test('clients hear that all is copied before they are told so', async t => {
  const guest = await guestWithChain(t)
  const { answers } = guest.qemu.peer
  const id = 'commit-vda-libvirt-1-format'
  let isReady = false
  answers['query-block-jobs'] = (order: Order) => {
    order.reply([{ device: id, len: 0, offset: 0, speed: 0, ready: isReady }])
    if (!isReady) order.peer.event('JOB_STATUS_CHANGE', { id, status: 'ready' })
    isReady = true
  }
  await guest.call('virDomainBlockCommit', { disk: 'vda', flags: ACTIVE })
  guest.forget()
  t.match(await guest.call('virDomainGetBlockJobInfo', { disk: 'vda' }), { found: 1, cur: 1n, end: 1n })
  t.match(guest.told, [
    ['BLOCK_JOB', { status: READY }],
    ['BLOCK_JOB_2', { dst: 'vda', status: READY }]
  ])
  t.match(await guest.status(), { blockJobs: [{ state: 'ready' }] })
})

for (const { name, api, args, steps, undone } of CASES) {
  t.test(`${name}: each step refused`, async t => {
    const guest = await guestWithChain(t)
    const { answers } = guest.qemu.peer
    const before = await xmlOf(guest)
    // a job that cannot be dismissed has been done all the same
    for (const [at, step] of steps.entries()) {
      if (step === 'job-dismiss') continue
      const restore = refuseNth(answers, step, nthOf(steps, at))
      guest.forget()
      t.match(await guest.failureOf(api, args(guest)), /^VIR_ERR_INTERNAL_ERROR .*the stand-in refuses/, step)
      await checkNothingLeft(t, guest, before, `${at}: ${step}`)
      if (at === steps.length - 1) t.same(guest.qemu.peer.commands, [...steps, ...undone], 'all is taken back')
      t.same(guest.told, [], 'nobody hears of it')
      restore()
    }
    t.equal(await guest.failureOf(api, args(guest)), '')
    t.match(await guest.status(), { blockJobs: [{ state: 'running', disk: 'vda' }] })
  })

  t.test(`${name}: the shim dies at each step`, async t => {
    const guest = await guestWithChain(t)
    const { answers } = guest.qemu.peer
    const before = await xmlOf(guest)
    for (const [at, step] of steps.entries()) {
      const nth = nthOf(steps, at)
      const restore = refuseNth(answers, step, nth, silent)
      guest.forget()
      const lost = guest.failureOf(api, args(guest))
      for (let i = 0; i <= nth; i++) await guest.qemu.peer.told(step)
      guest.leave()
      await lost
      restore()
      jobs.delete(guest.qemu.peer)
      t.ok(await guest.takeOver())
      await checkNothingLeft(t, guest, before, `${at}: ${step}`)
    }
  })
}

t.test('a copy of a disk whose last job is not yet acted upon', async t => {
  const guest = await guestWithChain(t)
  const before = await xmlOf(guest)
  const { blockJobs } = guest.domain.running
  const words = { completed: 'already in active block job', pending: 'has a blockjob assigned' }
  for (const state of ['completed', 'pending'] as const) {
    blockJobs.set('pull-vda', { name: 'pull-vda', kind: 'pull', disk: 'vda', state, flags: 0 })
    const failed = await guest.failureOf('virDomainBlockCopy', copyTo(guest, 'copy.qcow2', 0))
    t.ok(failed.endsWith(words[state]), failed)
  }
  blockJobs.clear()
  guest.domain.changed()
  await checkNothingLeft(t, guest, before, 'the copy')
})

t.test('a copy to what reads as zeroes', async t => {
  const guest = await guestWithChain(t)
  await guest.call('virDomainBlockCopy', copyTo(guest, 'copy.qcow2', ZEROED))
  t.match(guest.qemu.peer.orders.at(-1), { command: 'blockdev-mirror', args: { 'target-is-zero': true } })
  const older = await guestWithChain(t, { missing: ['blockdev-mirror.target-is-zero'] })
  const refused = await older.failureOf('virDomainBlockCopy', copyTo(older, 'copy.qcow2', ZEROED))
  t.match(refused, /^VIR_ERR_OPERATION_UNSUPPORTED VIR_FROM_QEMU/)
  t.same(older.qemu.peer.commands, [])
})

t.test('an image that cannot be made', async t => {
  const guest = await guestWithChain(t)
  const before = await xmlOf(guest)
  guest.qemu.peer.answers['blockdev-create'] = ends('No space left')
  t.equal(
    await guest.failureOf('virDomainBlockCopy', copyTo(guest, 'copy.qcow2', 0)),
    "VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: failed to format image: 'No space left'"
  )
  await checkNothingLeft(t, guest, before, 'blockdev-create')
})

const JOB = (status: string, error?: string) => [
  { id: 'commit-vda-libvirt-1-format', type: 'commit', status, ...(error && { error }) }
]
const onNode = (node: string) => [
  { qdev: '/machine/peripheral/virtio-disk0/virtio-backend', removable: false, inserted: { 'node-name': node } }
]

/** The job that was begun is in step. */
async function untilReady(guest: StandInGuest, job: { id: string; type: string }): Promise<void> {
  guest.qemu.peer.answers['query-jobs'] = [{ ...job, status: 'ready' }]
  guest.qemu.peer.event('JOB_STATUS_CHANGE', { id: job.id, status: 'ready' })
  await guest.untilTold('BLOCK_JOB_2')
  guest.forget()
}

/** An active commit that is in step. */
async function readyCommit(t: Test): Promise<StandInGuest> {
  const guest = await guestWithChain(t)
  await guest.call('virDomainBlockCommit', { disk: 'vda', flags: ACTIVE })
  await untilReady(guest, { id: 'commit-vda-libvirt-1-format', type: 'commit' })
  return guest
}

const PIVOTED = (guest: StandInGuest) => new RegExp(`<source file='${guest.dir}/base.qcow2' index='2'/>`)

t.test('a pivot that QEMU refuses', async t => {
  const guest = await readyCommit(t)
  const before = await xmlOf(guest)
  guest.qemu.peer.answers['job-complete'] = refuses()
  t.match(await guest.failureOf('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT }), /the stand-in refuses/)
  t.equal(await xmlOf(guest), before)
  t.match(await guest.status(), { blockJobs: [{ state: 'ready' }] })
})

t.test('a pivot to an image that is reused, which QEMU refuses at first', async t => {
  const guest = await guestWithChain(t)
  const { peer } = guest.qemu
  await guest.call('virDomainBlockCopy', copyTo(guest, 'reused.qcow2', SHALLOW | REUSE))
  await untilReady(guest, { id: 'copy-vda-libvirt-1-format', type: 'mirror' })
  const opened = ['blockdev-add', 'blockdev-add', 'transaction']
  const pivot = async () => {
    guest.forget()
    t.match(await guest.failureOf('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT }), /the stand-in refuses/)
    return peer.commands
  }
  peer.answers['job-complete'] = refuses()
  t.same(await pivot(), [...opened, 'transaction', 'job-complete'])
  // QEMU has them, but not below the image
  t.same(await pivot(), ['query-named-block-nodes', ...DELETE, ...opened, 'transaction', 'job-complete'])
  peer.answers['query-named-block-nodes'] = [{ ...NODE('libvirt-3-format'), backing_file_depth: 1 }]
  t.same(await pivot(), ['query-named-block-nodes', 'transaction', 'job-complete'])
})

t.test('a pivot of which QEMU tells an error', async t => {
  const guest = await readyCommit(t)
  const { peer } = guest.qemu
  peer.answers['job-complete'] = (order: Order) => {
    order.reply()
    peer.answers['query-jobs'] = JOB('concluded', 'Input/output error')
    peer.event('JOB_STATUS_CHANGE', { id: order.args.id, status: 'concluded' })
  }
  t.equal(
    await guest.failureOf('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT }),
    "VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: block job 'commit-vda-libvirt-1-format' failed while pivoting: Input/output error"
  )
  t.notMatch(await xmlOf(guest), /<mirror/)
  t.match(await xmlOf(guest), /top\.qcow2/)
  t.match(guest.told.at(-1), ['BLOCK_JOB_2', { dst: 'vda', type: 4, status: 1 }])
})

t.test('an end that comes while the monitor is lost', async t => {
  const guest = await guestWithChain(t)
  const { peer } = guest.qemu
  await guest.call('virDomainBlockPull', { disk: 'vda' })
  peer.answers['query-jobs'] = [{ id: 'pull-vda-libvirt-1-format', type: 'stream', status: 'concluded' }]
  peer.hangUp()
  await guest.untilTold('BLOCK_JOB_2')
  t.match(guest.told.at(-1), ['BLOCK_JOB_2', { dst: 'vda', type: 1, status: 0 }])
  t.equal((await guest.status())?.blockJobs, undefined)
  t.ok(peer.commands.includes('job-dismiss'))
})

const PULL = 'pull-vda-libvirt-1-format'

/** QEMU ends a job at that command's word. */
const concludes =
  (id: string) =>
  (order: Order): void => {
    order.reply()
    order.peer.answers['query-jobs'] = [{ id, type: 'stream', status: 'concluded' }]
    order.peer.event('JOB_STATUS_CHANGE', { id, status: 'concluded' })
  }

t.test('a pull ends once its image is written out, as far as it can be', async t => {
  for (const reopened of [{}, refuses()]) {
    const guest = await guestWithChain(t)
    const { peer } = guest.qemu
    peer.answers['blockdev-reopen'] = reopened
    peer.answers['job-finalize'] = concludes(PULL)
    await guest.call('virDomainBlockPull', { disk: 'vda' })
    t.match(peer.orders.at(-1), { command: 'block-stream', args: { 'auto-finalize': false } })
    guest.forget()
    peer.event('JOB_STATUS_CHANGE', { id: PULL, status: 'pending' })
    await guest.untilTold('BLOCK_JOB_2')
    t.same(peer.commands.slice(0, 2), ['blockdev-reopen', 'job-finalize'])
    t.match(peer.orders[0]!.args, { options: [{ 'node-name': 'libvirt-1-format', 'read-only': false }] })
    t.match(guest.told.at(-1), ['BLOCK_JOB_2', { dst: 'vda', type: 1, status: 0 }])
    t.equal((await guest.status())?.blockJobs, undefined)
  }
})

t.test('a pull that has waited for its last word while no shim ran', async t => {
  const guest = await guestWithChain(t)
  const { peer } = guest.qemu
  await guest.call('virDomainBlockPull', { disk: 'vda' })
  guest.leave()
  Object.assign(peer.answers, {
    'query-jobs': [{ id: PULL, type: 'stream', status: 'pending' }],
    'job-finalize': concludes(PULL)
  })
  t.ok(await guest.takeOver())
  await guest.untilTold('BLOCK_JOB_2')
  t.equal((await guest.status())?.blockJobs, undefined)
  t.notMatch(await xmlOf(guest), /base\.qcow2/)
})

t.test('a commit that is given up: its base is only read again', async t => {
  const guest = await readyCommit(t)
  const { peer } = guest.qemu
  peer.answers['block-job-cancel'] = concludes('commit-vda-libvirt-1-format')
  await guest.call('virDomainBlockJobAbort', { disk: 'vda', flags: 0 })
  const reopened = peer.orders.filter(({ command }) => command === 'blockdev-reopen')
  t.match(reopened, [{ args: { options: [{ 'node-name': 'libvirt-2-format', 'read-only': true }] } }])
  t.notMatch(await xmlOf(guest), /<mirror/)
})

t.test('an end that comes while no shim runs', async t => {
  const cases: [node: string, isPivoted: boolean][] = [
    ['libvirt-2-format', true],
    ['libvirt-1-format', false]
  ]
  for (const [node, isPivoted] of cases) {
    const guest = await readyCommit(t)
    const { answers } = guest.qemu.peer
    answers['job-complete'] = silent
    const lost = guest.failureOf('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT })
    await guest.qemu.peer.told('job-complete')
    guest.leave()
    await lost
    answers['query-jobs'] = JOB('concluded')
    answers['query-block'] = onNode(node)
    t.ok(await guest.takeOver())
    const live = await xmlOf(guest)
    t.equal(PIVOTED(guest).test(live), isPivoted, node)
    t.notMatch(live, /<mirror/)
    t.same([(await guest.status())?.blockJobs, (await guest.status())?.looseImages], [undefined, undefined])
    t.ok(guest.qemu.peer.commands.includes('job-dismiss'))
  }
})
