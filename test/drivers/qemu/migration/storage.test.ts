// Disks that go along with their guest: from one root to another with the real QEMU, and each step refused or cut short
// with one that does as the test says.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { encodeCookie, formatCookie } from '../../../../src/drivers/qemu/migration/cookie.ts'
import { StandInGuest } from '../../../helper/stand-in-guest.ts'
import { type Answers, type Order, refuses, silent } from '../../../helper/stand-in-qemu.ts'
import { TwoRoots } from '../../../helper/two-roots.ts'

t.setTimeout(600_000)

const NAME = `t-copied-${process.pid}`
const MIB = 1024 * 1024

const guestXml = (dir: string, side: string) => `<domain type='qemu'><name>${NAME}</name>
  <uuid>7b1c5a5e-0000-4000-8000-0000000000d1</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${dir}/${side}.qcow2'/>
    <target dev='vda' bus='virtio'/></disk>
  <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${dir}/${side}.raw'/>
    <target dev='vdb' bus='virtio'/></disk>
  <memballoon model='none'/></devices></domain>`

const image = (path: string, format: string, size: string, ...more: string[]) =>
  execFileSync('qemu-img', ['create', '-q', '-f', format, ...more, path, size])
const io = (path: string, format: string, ...commands: string[]) =>
  execFileSync('qemu-io', ['-f', format, ...commands.flatMap(command => ['-c', command]), path])
const isEqual = (one: string, other: string, format: string) =>
  execFileSync('qemu-img', ['compare', '-f', format, '-F', format, one, other], { encoding: 'utf8' })

/** Images of the guest that is to go, with something on them, and empty ones where it goes. */
function makeImages({ dir }: TwoRoots): void {
  for (const side of ['from', 'to']) {
    image(join(dir, `${side}.qcow2`), 'qcow2', '32M')
    image(join(dir, `${side}.raw`), 'raw', '8M')
  }
  io(join(dir, 'from.qcow2'), 'qcow2', 'write -P 0x5a 1M 12M', 'write -P 7 30M 1M')
  io(join(dir, 'from.raw'), 'raw', 'write -P 0x33 0 3M')
}

async function create(t: Test, roots: TwoRoots): Promise<void> {
  const created = await roots.from.call('virDomainCreateXML', { xmlDesc: guestXml(roots.dir, 'from'), flags: 0 })
  t.equal(created.status, 200, JSON.stringify(created.body))
}

const there = ({ dir }: TwoRoots) => guestXml(dir, 'to')

t.test('with the real QEMU', async t => {
  const roots = await TwoRoots.make(t)
  const { dir, from, to } = roots
  const { writeFileSync } = await import('node:fs')
  const xml = join(dir, 'to.xml')
  writeFileSync(xml, there(roots))
  const migrate = (...words: string[]) => roots.migrate(NAME, '--xml', xml, ...words)
  const isThere = async (t: Test) => {
    t.equal((await roots.virsh('to', ['domstate', NAME])).out.trim(), 'running')
    t.match((await roots.virsh('from', ['domstate', NAME])).err, /failed to get domain/)
    await roots.virsh('to', ['destroy', NAME])
    await to.until(NAME, entry => entry === undefined)
    t.match(isEqual(join(dir, 'from.qcow2'), join(dir, 'to.qcow2'), 'qcow2'), 'identical')
    t.match(isEqual(join(dir, 'from.raw'), join(dir, 'to.raw'), 'raw'), 'identical')
  }
  /** Nothing of it is left in the guest that has stayed. */
  const hasStayed = async (t: Test) => {
    t.equal((await roots.virsh('from', ['domstate', NAME])).out.trim(), 'running')
    await to.until(NAME, entry => entry === undefined)
    t.same(await roots.qmp('from', NAME, 'query-block-jobs'), [])
    const nodes = await roots.qmp('from', NAME, 'query-named-block-nodes', { flat: true })
    const left = nodes
      .map((node: Record<string, string>) => node['node-name'])
      .filter((name: string) => !/^libvirt-/.test(name))
    t.same(left, [])
  }
  /** Moves it, slowly, until disks are being copied. */
  const begun = async (...words: string[]) => {
    const moved = migrate('--copy-storage-all', '--bandwidth', '2', ...words)
    await from.untilSo('disks are copied', async () => {
      const jobs = await roots.qmp('from', NAME, 'query-block-jobs')
      return jobs.length === 2 && jobs.every((job: { offset: number }) => job.offset > 0)
    })
    return { moved }
  }

  for (const [name, words] of Object.entries({
    all: ['--copy-storage-all'],
    'in the way of peers': ['--copy-storage-all', '--p2p', '--copy-storage-synchronous-writes'],
    'to places that are named': [
      '--copy-storage-all',
      '--p2p',
      '--migrateuri',
      `unix:${dir}/m`,
      '--disks-uri',
      `unix:${dir}/n`
    ],
    'without zeroes': ['--copy-storage-all', '--migrate-disks-detect-zeroes', 'vda,vdb']
  })) {
    await t.test(name, async t => {
      makeImages(roots)
      await create(t, roots)
      t.same(await migrate(...words), { status: 0, out: '', err: '' })
      await isThere(t)
    })
  }

  await t.test('what is written meanwhile', async t => {
    makeImages(roots)
    await create(t, roots)
    const { moved } = await begun()
    for (const [i, at] of [0, 2, 13, 29].entries()) {
      const command = `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P ${i + 1} ${at}M 512k"`
      await roots.qmp('from', NAME, 'human-monitor-command', { 'command-line': command })
    }
    t.same(await moved, { status: 0, out: '', err: '' })
    await isThere(t)
    t.match(
      execFileSync('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 3 13M 512k', join(dir, 'to.qcow2')], {
        encoding: 'utf8'
      }),
      /^read/
    )
  })

  await t.test('the top of a chain alone', async t => {
    makeImages(roots)
    for (const side of ['from', 'to']) {
      image(join(dir, `${side}.base`), 'qcow2', '32M')
      io(join(dir, `${side}.base`), 'qcow2', 'write -P 9 4M 4M')
      image(join(dir, `${side}.qcow2`), 'qcow2', '32M', '-F', 'qcow2', '-b', join(dir, `${side}.base`))
    }
    io(join(dir, 'from.qcow2'), 'qcow2', 'write -P 5 1M 1M')
    await create(t, roots)
    t.same(await migrate('--copy-storage-inc'), { status: 0, out: '', err: '' })
    await isThere(t)
    const map = execFileSync('qemu-img', ['map', '--output=json', join(dir, 'to.qcow2')], { encoding: 'utf8' })
    const own = JSON.parse(map).filter((part: { depth: number; data: boolean }) => part.depth === 0 && part.data)
    t.same(
      own.map(({ start, length }: { start: number; length: number }) => [start, length]),
      [[MIB, MIB]]
    )
  })

  await t.test('what stays', async t => {
    makeImages(roots)
    await create(t, roots)
    image(join(dir, 'to.raw'), 'raw', '4M')
    t.match(await migrate('--copy-storage-all'), { status: 1, err: /migration of disk vdb failed: .*different sizes/ })
    await hasStayed(t)
    const { rmSync } = await import('node:fs')
    rmSync(join(dir, 'to.raw'))
    const refusals: [RegExp, string[]][] = [
      [/no storage pool with matching target path '.*'/, ['--copy-storage-all']],
      [/pre-creation of storage target for incremental storage migration of disk 'vdb' is not/, ['--copy-storage-inc']],
      [/Unsupported scheme in disks URI: foo/, ['--copy-storage-all', '--disks-uri', 'foo:/x']],
      [/Migration without shared storage is unsafe/, ['--copy-storage-all', '--migrate-disks', 'vda']],
      [/disk target vdx not found/, ['--copy-storage-all', '--unsafe', '--migrate-disks', 'vdx']]
    ]
    for (const [message, words] of refusals) {
      if (words.includes('--disks-uri')) image(join(dir, 'to.raw'), 'raw', '8M')
      t.match(await migrate(...words), { status: 1, err: message })
      await hasStayed(t)
    }
  })

  await t.test('one that is given up', async t => {
    const { moved } = await begun()
    t.equal((await roots.virsh('from', ['domjobabort', NAME])).status, 0)
    t.match(await moved, { status: 1, err: /canceled by client/ })
    await hasStayed(t)
  })

  await t.test('one whose source shim is killed', async t => {
    const { moved } = await begun('--p2p')
    const { pids } = await from.entry(NAME)
    process.kill(pids.shim, 'SIGKILL')
    t.equal((await moved).status, 1)
    await from.until(NAME, entry => entry?.state === 1)
    await hasStayed(t)
    t.same(await migrate('--copy-storage-all'), { status: 0, out: '', err: '' })
    await isThere(t)
  })
})

const DISKS = ['vda', 'vdb'].map(
  dev =>
    `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='@/${dev}'/><target dev='${dev}'/></disk>`
)
const ALL = 1 | (1 << 6)

/** The answers of a QEMU that can migrate. */
const ANSWERS = (): Answers => ({
  'query-migrate-capabilities': ['pause-before-switchover', 'return-path'].map(capability => ({
    capability,
    state: false
  })),
  'query-migrate-parameters': { 'max-bandwidth': 1 },
  'migrate-set-capabilities': {},
  'migrate-set-parameters': {},
  'blockdev-mirror': {},
  'block-job-cancel': {},
  'job-dismiss': {},
  'query-jobs': [],
  'query-block-jobs': [],
  'query-named-block-nodes': []
})

async function guestWithDisks(t: Test): Promise<StandInGuest> {
  return StandInGuest.running(t, { devices: DISKS.join(''), answers: ANSWERS(), files: { vda: '', vdb: '' } })
}

const perform = (guest: StandInGuest) => {
  const { name, uuid } = guest.domain
  const nbd = { port: 10809, disks: [] }
  const cookie = formatCookie({ name, uuid, hostname: 'there', hostUuid: uuid, nbd })
  return guest.failureOf('virDomainMigratePerform3Params', {
    params: { migrate_uri: 'tcp:192.0.2.1:49152' },
    cookie_in: Buffer.from(encodeCookie(cookie)).toString('base64'),
    flags: ALL
  })
}

const COPY = ['blockdev-add', 'blockdev-mirror']

/** The job of a disk is so far. */
function tells(guest: StandInGuest, id: string, status: string, error?: string): void {
  const { peer } = guest.qemu
  peer.answers['query-jobs'] = [{ id, type: 'mirror', status, ...(error !== undefined && { error }) }]
  peer.event('JOB_STATUS_CHANGE', { id, status })
}

/** Jobs that are given up are over. */
const concludes = (guest: StandInGuest) => (order: Order) => {
  order.reply()
  tells(guest, order.args.device, 'concluded', 'Operation canceled')
}

async function checkNothingLeft(t: Test, guest: StandInGuest, step: string): Promise<void> {
  const { blockJobs, job, departure } = (await guest.status())!
  t.same([blockJobs, job, departure], [undefined, undefined, undefined], `${step}: the status`)
  t.equal(await guest.state(), 'RUNNING BOOTED', step)
}

/** Refuses the nth of a command's orders. */
function refuseNth(answers: Answers, command: string, nth: number, how: (order: Order) => void): () => void {
  const usual = answers[command]
  let count = 0
  answers[command] = (order: Order) => (count++ === nth ? how(order) : order.reply(usual ?? {}))
  return () => {
    if (usual === undefined) delete answers[command]
    else answers[command] = usual
  }
}

t.test('a copy that cannot be begun', async t => {
  const guest = await guestWithDisks(t)
  const { peer } = guest.qemu
  peer.answers['block-job-cancel'] = concludes(guest)
  for (const nth of [0, 1]) {
    for (const step of COPY) {
      const restore = refuseNth(peer.answers, step, nth, refuses())
      guest.forget()
      t.match(await perform(guest), /^VIR_ERR_INTERNAL_ERROR .*the stand-in refuses/, `${step} ${nth}`)
      await checkNothingLeft(t, guest, step)
      const count = (command: string) => peer.commands.filter(one => one === command).length
      t.equal(count('blockdev-del'), nth + 1, 'nodes are taken away')
      t.equal(count('job-dismiss'), nth, 'jobs are, too')
      restore()
    }
  }
})

t.test('a copy that fails, at once or when it was in step', async t => {
  for (const isReady of [false, true]) {
    const guest = await guestWithDisks(t)
    const { peer } = guest.qemu
    peer.answers['block-job-cancel'] = concludes(guest)
    const failed = perform(guest)
    await peer.told('blockdev-mirror')
    await peer.told('blockdev-mirror')
    if (isReady) {
      tells(guest, 'drive-virtio-disk0', 'ready')
      await guest.untilTold('BLOCK_JOB_2')
    }
    tells(guest, 'drive-virtio-disk0', 'concluded', 'No space left on device')
    t.equal(
      await failed,
      'VIR_ERR_OPERATION_FAILED VIR_FROM_QEMU: operation failed: migration of disk vda failed: No space left on device'
    )
    await checkNothingLeft(t, guest, 'a copy')
  }
})

t.test('the shim dies at each step', async t => {
  const guest = await guestWithDisks(t)
  const { peer } = guest.qemu
  peer.answers['block-job-cancel'] = concludes(guest)
  for (const nth of [0, 1]) {
    for (const step of COPY) {
      const restore = refuseNth(peer.answers, step, nth, silent)
      guest.forget()
      const lost = perform(guest)
      for (let i = 0; i <= nth; i++) await peer.told(step)
      guest.leave()
      await lost
      restore()
      peer.answers['query-jobs'] = nth === 0 ? [] : [{ id: 'drive-virtio-disk0', type: 'mirror', status: 'running' }]
      guest.forget()
      t.ok(await guest.takeOver())
      t.equal(peer.commands.filter(one => one === 'blockdev-del').length, nth + 1, `${step} ${nth}`)
      t.same(peer.commands.filter(one => one === 'block-job-cancel').length, nth)
      await checkNothingLeft(t, guest, step)
    }
  }
})
