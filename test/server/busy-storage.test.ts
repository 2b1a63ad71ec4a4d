// Storage of a guest that writes all the time while everything there is is done to it: every image, backup and restored
// guest is compared byte by byte with what its disks had at one moment, which lies between the beginning and the end of
// what was done; on both disks it is the same one. Its memory is right by what the guest itself says, and goes with the
// disks: no number it tells is missing or told twice but where it has gone back.
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { BusyGuest, LIMIT_MS, RING_AT } from '../helper/busy-guest.ts'
import { segmentsOf } from '../helper/core-file.ts'
import { BLOCK, DISKS, type DiskName, type Images, type Moment, momentOfRing, RING } from '../helper/written-moment.ts'

t.setTimeout(3_600_000)

/** `BUSY_ROUNDS=20 BUSY_DISK_MIB=256` is a long form. */
const ROUNDS = Number(process.env.BUSY_ROUNDS ?? 1)
const DISK_MIB = Number(process.env.BUSY_DISK_MIB ?? 8)
const MEMORY_MIB = 32
const MIB = 1024 * 1024

const guest = new BusyGuest({ diskMiB: DISK_MIB, memoryMiB: MEMORY_MIB })
t.teardown(() => guest.end())
const { reports } = guest
const call = guest.call.bind(guest)
const path = guest.path.bind(guest)

let files = 0
const name = (what: string) => `${what}${++files}`
const total = { images: 0, bytes: 0, wrong: 0 }

/** Numbers of the writes that were told before something was done and after it. */
interface Span {
  from: number
  to: number
}

/** Does something to the guest; what the disks had meanwhile lies in the span. The write after the last one may be done, and not told yet. */
async function during(work: () => Promise<unknown>): Promise<Span> {
  await guest.goesOn(10)
  const from = guest.latest()
  await work()
  return { from, to: guest.latest() + 1 }
}

/** Compares images that were taken at once. */
function check(t: Test, what: string, images: Images, { from, to }: Span): Moment {
  const moment = guest.disks.momentOf(images)
  total.images += Object.keys(images).length
  total.bytes += moment.bytes
  total.wrong += moment.wrong
  t.equal(moment.wrong, 0, `${what}: ${moment.bytes} bytes compared`)
  t.ok(moment.last >= from && moment.first <= to, `${what}: of ${moment.first}, between ${from} and ${to}`)
  return moment
}

type Paths = Partial<Record<DiskName, string>>
const read = (paths: Paths, how = {}): Images =>
  Object.fromEntries(Object.entries(paths).map(([disk, file]) => [disk, guest.read(file, how)]))

/** The images the guest stands on. */
const tops = async (): Promise<Record<DiskName, string>> => {
  const { vda, vdb } = await guest.chains()
  return { vda: vda[0]!, vdb: vdb[0]! }
}

/** Holds the guest, where it runs, and compares its disks with what it has told. */
async function compare(t: Test, what: string, isHeld = false): Promise<Moment> {
  if (!isHeld) await call('virDomainSuspend')
  const latest = guest.latest()
  const moment = check(t, `the guest's disks, ${what}`, read(await tops()), { from: latest, to: latest + 1 })
  if (!isHeld) await call('virDomainResume')
  return moment
}

/** It writes on, its memory is right, and it is where it was; or where it has gone back to. */
async function goesOn(t: Test, what: string, back?: Moment): Promise<void> {
  await guest.goesOn()
  const jumps = reports.jumps.splice(0)
  t.same([reports.wrong, reports.errors], [0, 0], `${what}: memory and disks are right in the guest`)
  if (!back) t.same(jumps, [], `${what}: it goes on where it was`)
  else {
    const { to } = jumps[0]!
    // the number of the last write may not have been told, and the rest of the line it was told in is none
    t.ok(jumps.length === 1 && to >= back.first && to <= back.last + 2, `${what}: it goes on from ${back.first}`, {
      jumps
    })
  }
}

/** Waits for a block job's end, or until it is ready. */
async function blockJob(disk: DiskName, until: 'ended' | 'ready'): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; ; await sleep(20)) {
    const { found } = await call('virDomainGetBlockJobInfo', { disk })
    if (!found && until === 'ended') return
    const { xml } = await call('virDomainGetXMLDesc')
    if (until === 'ready' && /<mirror [^>]*ready='yes'/.test(xml)) return
    if (Date.now() > deadline) throw new Error(`the job of ${disk} does not end: ${xml}`)
  }
}

async function untilNoJob(): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; (await call('virDomainGetJobInfo')).type !== 0; await sleep(20)) {
    if (Date.now() > deadline) throw new Error('the job does not end')
  }
}

const DISK_ONLY = ['VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY', 'VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC']
const WITHOUT_METADATA = 'VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA'

/** Takes a snapshot. @param disks those that go on in overlays; none: an internal one */
function snapshot(snap: string, disks: readonly DiskName[], { memory = '', flags = [] as string[] } = {}) {
  const part = (disk: DiskName) =>
    disks.includes(disk)
      ? `<disk name='${disk}' snapshot='external'><source file='${path(`${disk}.${snap}`)}'/></disk>`
      : `<disk name='${disk}' snapshot='no'/>`
  const inside = disks.length === 0 ? '' : `${memory}<disks>${DISKS.map(part).join('')}</disks>`
  return call('virDomainSnapshotCreateXML', {
    xmlDesc: `<domainsnapshot><name>${snap}</name>${inside}</domainsnapshot>`,
    flags
  })
}

const remove = (snap: string) => call('virDomainSnapshotDelete', { snap: { name: snap }, flags: [] })

async function snapshotsOfDisks(t: Test): Promise<void> {
  for (const disks of [['vda'], ['vdb'], DISKS] as const) {
    const before = await tops()
    const left: Paths = Object.fromEntries(disks.map(disk => [disk, before[disk]]))
    const snap = name('disks')
    const span = await during(() => snapshot(snap, disks, { flags: [...DISK_ONLY, WITHOUT_METADATA] }))
    check(t, `the images of ${disks} below`, read(left), span)
    await goesOn(t, `a snapshot of ${disks}`)
  }
  await compare(t, 'on overlays')
}

const pivot = (disk: DiskName) => call('virDomainBlockJobAbort', { disk, flags: ['VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT'] })

/** Begins a copy; settles when it is ready. */
async function copyDisk(disk: DiskName, copy: string, format: 'raw' | 'qcow2', more: readonly string[] = []) {
  await call('virDomainBlockCopy', {
    disk,
    destxml: `<disk type='file'><source file='${copy}'/><driver type='${format}'/></disk>`,
    params: { granularity: BLOCK },
    flags: ['TRANSIENT_JOB', ...more].map(flag => `VIR_DOMAIN_BLOCK_COPY_${flag}`)
  })
  await blockJob(disk, 'ready')
}

/** Begins to commit what the guest stands on; settles when it is ready. */
async function commitTop(disk: DiskName): Promise<void> {
  await call('virDomainBlockCommit', { disk, bandwidth: 0, flags: ['VIR_DOMAIN_BLOCK_COMMIT_ACTIVE'] })
  await blockJob(disk, 'ready')
}

/** Pulls all images into the one the guest stands on. */
async function pullDisk(disk: DiskName): Promise<void> {
  await call('virDomainBlockPull', { disk, bandwidth: 8, flags: [] })
  await blockJob(disk, 'ended')
}

async function blockJobs(t: Test): Promise<void> {
  const { vda, vdb } = await guest.chains()

  const DELETE = 'VIR_DOMAIN_BLOCK_COMMIT_DELETE'
  await call('virDomainBlockCommit', { disk: 'vda', base: vda.at(-1), top: vda[1], bandwidth: 8, flags: [DELETE] })
  await blockJob('vda', 'ended')
  await goesOn(t, 'a commit')
  t.equal((await guest.chains()).vda.length, 2)
  await compare(t, 'after a commit')

  const [left] = vda
  await commitTop('vda')
  await goesOn(t, 'an active commit')
  const pivoted = await during(() => pivot('vda'))
  t.same((await guest.chains()).vda, [vda.at(-1)])
  t.ok(existsSync(left!), 'the overlay stays')
  await goesOn(t, 'an active commit')
  await compare(t, `after an active commit, which ended between ${pivoted.from} and ${pivoted.to}`)
  rmSync(left!)

  await pullDisk('vdb')
  await goesOn(t, 'a pull')
  t.same((await guest.chains()).vdb, [vdb[0]])
  await compare(t, 'after a pull')

  const copies: [what: string, format: 'raw' | 'qcow2', pivots: boolean, flags: string[]][] = [
    ['a copy that is given up', 'qcow2', false, []],
    ['a copy', 'qcow2', true, []],
    ['a copy with synchronous writes that is given up', 'raw', false, ['SYNCHRONOUS_WRITES']],
    ['a copy with synchronous writes', 'qcow2', true, ['SYNCHRONOUS_WRITES']]
  ]
  for (const [what, format, pivots, more] of copies) {
    for (const disk of DISKS) {
      const source = (await tops())[disk]
      const copy = path(name(`${disk}.copy`))
      await copyDisk(disk, copy, format, more)
      await goesOn(t, what)
      const span = await during(async () => {
        if (pivots) return pivot(disk)
        await call('virDomainBlockJobAbort', { disk, flags: [] })
        await blockJob(disk, 'ended')
      })
      check(
        t,
        `${what}: the image that is left`,
        read({ [disk]: pivots ? source : copy }, { format: pivots ? 'qcow2' : format }),
        span
      )
      rmSync(pivots ? source : copy)
      t.equal((await tops())[disk], pivots ? copy : source)
      await goesOn(t, what)
    }
    await compare(t, `after ${what}`)
  }
}

const SOCKET = path('nbd')

/** Begins a backup of both disks. @param stores where a push goes */
async function begin(
  mode: 'push' | 'pull',
  stores: Paths,
  { since, checkpoint }: { since?: string; checkpoint?: string } = {}
) {
  const kind = mode === 'push' ? 'target' : 'scratch'
  const disks = DISKS.map(
    disk => `<disk name='${disk}' type='file'><driver type='qcow2'/><${kind} file='${stores[disk]}'/></disk>`
  )
  const server = mode === 'pull' ? `<server transport='unix' socket='${SOCKET}'/>` : ''
  const incremental = since === undefined ? '' : `<incremental>${since}</incremental>`
  await call('virDomainBackupBegin', {
    backupXML: `<domainbackup mode='${mode}'>${incremental}${server}<disks>${disks.join('')}</disks></domainbackup>`,
    checkpointXML: checkpoint === undefined ? null : `<domaincheckpoint><name>${checkpoint}</name></domaincheckpoint>`,
    flags: []
  })
}

const storesOf = (what: string): Record<DiskName, string> => ({ vda: path(`vda.${what}`), vdb: path(`vdb.${what}`) })

/** Puts the images of an incremental backup upon those before it. */
function stack(below: Paths, above: Paths): void {
  for (const disk of DISKS) execFileSync('qemu-img', ['rebase', '-u', '-F', 'qcow2', '-b', below[disk]!, above[disk]!])
}

const nbdcopy = spawnSync('nbdcopy', ['--version']).status === 0

/** What both exports of a pull backup have, as an outsider reads them. */
function fetched(how: 'qemu-img' | 'nbdcopy'): Images {
  return Object.fromEntries(
    DISKS.map(disk => {
      const url = `nbd+unix:///${disk}?socket=${SOCKET}`
      const copy = path(`fetched.${disk}`)
      if (how === 'qemu-img') execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', url, copy])
      else execFileSync('nbdcopy', [url, copy])
      const bytes = readFileSync(copy)
      rmSync(copy)
      return [disk, bytes]
    })
  )
}

/** The extents of an export that its bitmap marks. */
function changed(disk: DiskName): { start: number; length: number }[] {
  const image = `driver=nbd,export=${disk},server.type=unix,server.path=${SOCKET},x-dirty-bitmap=qemu:dirty-bitmap:backup-${disk}`
  const said = execFileSync('qemu-img', ['map', '--output=json', '--image-opts', image], { encoding: 'utf8' })
  return JSON.parse(said).filter(({ data }: { data: boolean }) => !data)
}

async function backups(t: Test): Promise<void> {
  const full = storesOf(name('full'))
  const first = name('checkpoint')
  const fullSpan = await during(() => begin('push', full, { checkpoint: first }))
  await untilNoJob()
  await goesOn(t, 'a full backup')
  check(t, 'a full backup', read(full), fullSpan)

  let below = full
  let earlier = full
  const since: string[] = [first]
  for (const round of [1, 2]) {
    const store = storesOf(name('incremental'))
    const checkpoint = name('checkpoint')
    const span = await during(() => begin('push', store, { since: since.at(-1)!, checkpoint }))
    await untilNoJob()
    await goesOn(t, 'an incremental backup')
    stack(below, store)
    check(t, `incremental backup ${round} on those before it`, read(store), span)
    if (round === 1) earlier = store
    below = store
    since.push(checkpoint)
  }

  const scratch = storesOf('scratch')
  const fetchedBy = ['qemu-img', ...(nbdcopy ? (['nbdcopy'] as const) : [])] as const
  const pullSpan = await during(() => begin('pull', scratch))
  for (const by of fetchedBy) {
    check(t, `a pull backup, by ${by}`, fetched(by), pullSpan)
    await goesOn(t, 'a pull backup')
  }
  await call('virDomainAbortJob')
  await untilNoJob()
  t.notOk(existsSync(scratch.vda), 'the scratch images go')
  await compare(t, 'after backups')

  // what has changed between two backups, put upon the first by an outsider
  const restored = read(earlier)
  const changesSpan = await during(() => begin('pull', scratch, { since: since[1]! }))
  await goesOn(t, 'a pull backup')
  const now = fetched('qemu-img')
  for (const disk of DISKS) {
    for (const { start, length } of changed(disk)) now[disk]!.copy(restored[disk]!, start, start, start + length)
  }
  check(t, 'what has changed, on the backup before', restored, changesSpan)
  await call('virDomainAbortJob')
  await untilNoJob()

  // what is between checkpoints goes to the one before, with nothing lost
  const [, second, third] = since
  await call('virDomainCheckpointCreateXML', {
    xmlDesc: `<domaincheckpoint><name>${name('checkpoint')}</name></domaincheckpoint>`,
    flags: []
  })
  await goesOn(t, 'a checkpoint')
  for (const gone of [second, third]) await call('virDomainCheckpointDelete', { checkpoint: { name: gone }, flags: [] })
  await goesOn(t, 'checkpoints that are deleted')
  const merged = storesOf(name('merged'))
  const span = await during(() => begin('push', merged, { since: first }))
  await untilNoJob()
  stack(full, merged)
  check(t, 'a backup since a checkpoint whose children are deleted', read(merged), span)
  await forgetCheckpoints(t)
}

async function forgetCheckpoints(t: Test): Promise<void> {
  const { checkpoints } = await call('virDomainListAllCheckpoints')
  for (const checkpoint of checkpoints) await call('virDomainCheckpointDelete', { checkpoint, flags: [] })
  await goesOn(t, 'no checkpoints')
}

/** What checkpoints know stays known while images come and go below them: each backup since the last one misses nothing. */
async function backupsOverChanges(t: Test): Promise<void> {
  const overlays = () => snapshot(name('overlay'), DISKS, { flags: [...DISK_ONLY, WITHOUT_METADATA] })
  const onEach = (work: (disk: DiskName) => Promise<unknown>) => async () => {
    for (const disk of DISKS) await work(disk)
  }
  const kept = name('kept')
  const changes: [what: string, change: () => Promise<unknown>][] = [
    ['overlays', overlays],
    ['more overlays', overlays],
    [
      'a commit below',
      onEach(async disk => {
        const chain = (await guest.chains())[disk]
        await call('virDomainBlockCommit', { disk, base: chain[2], top: chain[1], bandwidth: 8, flags: [] })
        await blockJob(disk, 'ended')
        rmSync(chain[1]!)
      })
    ],
    [
      'an active commit',
      onEach(async disk => {
        const [left] = (await guest.chains())[disk]
        await commitTop(disk)
        await pivot(disk)
        rmSync(left!)
      })
    ],
    ['overlays again', overlays],
    ['a pull', onEach(pullDisk)],
    [
      'a copy',
      onEach(async disk => {
        const left = (await tops())[disk]
        await copyDisk(disk, path(name(`${disk}.copy`)), 'qcow2')
        await pivot(disk)
        rmSync(left)
      })
    ],
    ['a snapshot', () => snapshot(kept, DISKS, { flags: DISK_ONLY })],
    ['its end', () => remove(kept)],
    [
      'a managed save',
      async () => {
        await call('virDomainManagedSave', { flags: [] })
        await call('virDomainCreateWithFlags', { flags: [] })
      }
    ]
  ]
  let below = storesOf(name('full'))
  let since = name('checkpoint')
  const span = await during(() => begin('push', below, { checkpoint: since }))
  await untilNoJob()
  check(t, 'a full backup', read(below), span)
  for (const [what, change] of changes) {
    await change()
    await goesOn(t, what)
    const store = storesOf(name('incremental'))
    const checkpoint = name('checkpoint')
    const span = await during(() => begin('push', store, { since, checkpoint }))
    await untilNoJob()
    stack(below, store)
    check(t, `an incremental backup after ${what}`, read(store), span)
    below = store
    since = checkpoint
  }
  await compare(t, 'after backups over changes')
  await forgetCheckpoints(t)
}

async function snapshots(t: Test): Promise<void> {
  const [one, two] = [name('one'), name('two')]
  await snapshot(one, DISKS, { flags: DISK_ONLY })
  await goesOn(t, 'a snapshot')
  await snapshot(two, DISKS, { flags: DISK_ONLY })
  await goesOn(t, 'another')
  for (const gone of [one, two]) {
    await remove(gone)
    await goesOn(t, `the end of ${gone}`)
    await compare(t, `${gone} merged`)
  }

  const disks = name('disks')
  const [below, disksSpan] = [await tops(), await during(() => snapshot(disks, DISKS, { flags: DISK_ONLY }))]
  const ofDisks = check(t, 'a snapshot of disks', read(below), disksSpan)

  const memory = (file: string) => ({ memory: `<memory snapshot='external' file='${path(`${file}.memory`)}'/>` })
  const withMemory: [snap: string, moment: Moment][] = []
  for (const flags of [[], ['VIR_DOMAIN_SNAPSHOT_CREATE_LIVE']]) {
    const snap = name('memory')
    const [left, span] = [await tops(), await during(() => snapshot(snap, DISKS, { ...memory(snap), flags }))]
    withMemory.push([snap, check(t, `a snapshot with memory ${flags}`, read(left), span)])
    await goesOn(t, `a snapshot with memory ${flags}`)
  }
  const internal = name('internal')
  const span = await during(() => snapshot(internal, []))
  const inside = await tops()
  await goesOn(t, 'an internal snapshot')
  const ofInternal = check(t, 'an internal snapshot', read(inside, { snapshot: internal }), span)
  await compare(t, 'with snapshots')

  const back = async (snap: string, moment: Moment) => {
    await guest.goesOn()
    reports.jumps = []
    const flags = ['VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED']
    await call('virDomainRevertToSnapshot', { snap: { name: snap }, flags })
    check(t, `back at ${snap}`, read(await tops()), { from: moment.first, to: moment.last })
    await call('virDomainResume')
    await goesOn(t, `back at ${snap}`, moment)
    await compare(t, `some time after ${snap}`)
  }
  const { begun } = reports
  for (const [snap, moment] of withMemory.toReversed()) await back(snap, moment)
  t.equal(reports.begun, begun, 'it goes on with its memory')
  await back(disks, ofDisks)
  t.equal(reports.begun, begun + 1, 'it begins anew without')
  check(t, 'the snapshot itself', read(below), disksSpan)
  await back(internal, ofInternal)

  for (const snap of [internal, ...withMemory.map(([snap]) => snap).toReversed(), disks]) {
    await remove(snap)
    await goesOn(t, `the end of ${snap}`)
  }
  await compare(t, 'without snapshots')
  t.same((await call('virDomainSnapshotListNames')).names, [])
}

async function saves(t: Test): Promise<void> {
  for (const image_format of ['raw', 'zstd']) {
    const file = path(name('saved'))
    const span = await during(() =>
      call('virDomainSaveParams', { params: { file, image_format }, flags: ['VIR_DOMAIN_SAVE_PAUSED'] })
    )
    check(t, `saved as ${image_format}`, read(await tops()), span)
    await call('virDomainRestore', { from: file })
    await compare(t, `restored from ${image_format}`, true)
    await call('virDomainResume')
    await goesOn(t, `restored from ${image_format}`)
    await compare(t, `some time after ${image_format}`)
    rmSync(file)
  }
  const span = await during(() => call('virDomainManagedSave', { flags: [] }))
  check(t, 'saved for the next start', read(await tops()), span)
  await call('virDomainCreateWithFlags', { flags: [] })
  await goesOn(t, 'started from the saved image')
  await compare(t, 'started from the saved image')
}

async function dumps(t: Test): Promise<void> {
  const core = path('core')
  const span = await during(() =>
    call('virDomainCoreDump', { to: core, flags: ['VIR_DUMP_MEMORY_ONLY', 'VIR_DUMP_LIVE'] })
  )
  const elf = readFileSync(core)
  const segment = segmentsOf(elf).find(
    ({ type, address, bytes }) => type === 1 && address <= RING_AT && RING_AT < address + bytes
  )!
  const place = segment.offset + RING_AT - segment.address
  const latest = momentOfRing(elf.subarray(place, place + RING * BLOCK))
  t.ok(latest !== undefined && latest >= span.from && latest <= span.to, `memory of ${latest} is dumped`, span)
  rmSync(core)
  await goesOn(t, 'a dump of memory')
  await call('virDomainCoreDump', { to: core, flags: ['VIR_DUMP_LIVE'] })
  rmSync(core)
  await goesOn(t, 'a dump of memory and devices')
  await compare(t, 'after dumps')
}

function isQcow2(file: string): boolean {
  const magic = Buffer.alloc(4)
  const fd = openSync(file, 'r')
  readSync(fd, magic)
  closeSync(fd)
  return magic.toString('latin1') === 'QFI\xfb'
}

let grown = DISK_MIB
async function resizes(t: Test): Promise<void> {
  grown += 4
  for (const disk of DISKS) {
    await call('virDomainBlockResize', { disk, size: grown * MIB, flags: ['VIR_DOMAIN_BLOCK_RESIZE_BYTES'] })
    await goesOn(t, 'another size')
  }
  await compare(t, 'of another size')
  t.equal(guest.read((await tops()).vdb).length, grown * MIB)
}

t.before(async () => {
  t.ok(nbdcopy || process.env.CI === undefined, 'nbdcopy is there')
  await guest.start()
})

for (let round = 1; round <= ROUNDS; round++) {
  t.test('snapshots of disks', snapshotsOfDisks)
  t.test('block jobs', blockJobs)
  t.test('backups', backups)
  t.test('backups over changes', backupsOverChanges)
  t.test('snapshots, and back', snapshots)
  t.test('saves', saves)
  t.test('dumps', dumps)
  t.test('resizes', resizes)
}

t.test('every image is sound, and no byte is wrong', async t => {
  const { vda, vdb } = await tops()
  await call('virDomainDestroy')
  const latest = guest.latest()
  check(t, 'the disks at the end', read({ vda, vdb }), { from: latest, to: latest + 1 })
  const images = readdirSync(guest.shim.dir, { withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(({ name }) => path(name))
    .filter(isQcow2)
  for (const image of images) {
    const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', image], { encoding: 'utf8' })
    t.equal(status, 0, `${image}: ${stdout}${stderr}`)
  }
  t.equal(total.wrong, 0)
  t.comment(
    `${total.images} images, ${total.bytes} bytes compared, ${total.wrong} wrong; ${images.length} images checked`
  )
})
