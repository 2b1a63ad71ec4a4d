// A guest with three disks whose storage goes through everything there is, at random: snapshots, block jobs, checkpoints,
// backups, saved images; its shim is killed in the middle of calls, and QEMU now and then, or both at once. A model says
// how the guest is after each step: no byte of a disk or snapshot may be another one, no image may be damaged, and
// definitions, status, files of snapshots and checkpoints, headers of images and QEMU agree.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { processesNaming } from '../helper/processes.ts'
import { type Answer, Shim } from '../helper/shim.ts'
import {
  allForgotten,
  CLUSTER,
  CLUSTERS,
  checkpointDeleted,
  checkpointMade,
  DISKS,
  type Model,
  newModel,
  rechained,
  reverted,
  revertible,
  snapshotDeleted,
  snapshotTaken,
  withBrokenCheckpoints,
  written
} from '../helper/storage-model.ts'
import { StorageView } from '../helper/storage-view.ts'

t.setTimeout(7_200_000)

/** `WALK_STEPS=300` is the long form: the shim is killed in 60 calls, QEMU in 12. */
const STEPS = Number(process.env.WALK_STEPS ?? 40)
const SEED = Number(process.env.WALK_SEED ?? 20171219)
const STEPS_A_KILL = 5
const STEPS_A_CRASH = 25
/** Steps of this number and more make every kind of change. */
const LONG = 200
const LIMIT_MS = 60_000
const NAME = `t-walk-${process.pid}`
const RUNNING = 1
const SHUTOFF = 5

/** Numbers below 1 with a fixed seed (mulberry32). */
function numbers(seed: number): () => number {
  let at = seed
  return () => {
    at = (at + 0x6d2b79f5) | 0
    let x = Math.imul(at ^ (at >>> 15), at | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Of each step its own: how often one before it has asked does not count. */
let random = numbers(SEED)
const below = (limit: number) => Math.floor(random() * limit)
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)]!

const disk = (target: string, file: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file}'/><target dev='${target}' bus='virtio'/></disk>`

const shim = new Shim('')
t.teardown(() => shim.end())
const [images, scratch] = ['images', 'scratch'].map(name => join(shim.dir, name)) as [string, string]
for (const directory of [images, scratch]) mkdirSync(directory)
let files = 0
const newFile = (what: string, end = '.qcow2') => join(images, `${what}-${++files}${end}`)
const first = DISKS.map(target => newFile(target))
for (const file of first) execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file, String(CLUSTER * CLUSTERS)])
writeFileSync(
  shim.xmlFile,
  `<domain type='qemu'><name>${NAME}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices><controller type='usb' model='none'/>${DISKS.map((target, i) => disk(target, first[i]!)).join('')}<memballoon model='none'/></devices></domain>`
)

let model = newModel(first)

/** Something that is done to the guest, in one call or several. */
interface Move {
  name: string
  run(): Promise<Answer>
  /** the models it goes through; the last one is there when it is done */
  through: readonly Model[]
  /** where it is refused; absent: the first one */
  refused?: Model
  /** files of it that must not be there where it has not happened */
  makes?: readonly string[]
  /** it is done. @returns what is wrong */
  done?(): Promise<string[]>
}

/** Successful calls, by their names. */
const did: Record<string, number> = {}
const call = async (api: string, args: object) => {
  const answer = await shim.call(api, args)
  if (answer.status === 200) did[api] = (did[api] ?? 0) + 1
  return answer
}
const monitor = async (execute: string, args?: object) => {
  const cmd = JSON.stringify({ execute, ...(args && { arguments: args }) })
  const { status, body } = await shim.call('virDomainQemuMonitorCommand', { cmd, flags: 0 })
  if (status !== 200) throw new Error(`QEMU is not asked: ${body.message}`)
  return JSON.parse(body.result).return
}
const io = (i: number, command: string): Promise<string> =>
  monitor('human-monitor-command', {
    'command-line': `qemu-io -d /machine/peripheral/virtio-disk${i}/virtio-backend "${command}"`
  })
const view = new StorageView({ shim, monitor }, scratch)

const stateOf = async (): Promise<number> => (await shim.call('virDomainGetState')).body.state
const isActive = async () => (await stateOf()) !== SHUTOFF
const xmlOf = async (): Promise<string> => (await shim.call('virDomainGetXMLDesc?flags=0')).body.xml

/** Waits for a block job's end, or until it is ready. */
async function blockJob(target: string, until: 'ended' | 'ready'): Promise<boolean> {
  for (const deadline = Date.now() + LIMIT_MS; ; await sleep(20)) {
    const { body } = await shim.call(`virDomainGetBlockJobInfo?disk=${target}&flags=0`)
    if (!body.found) return until === 'ended'
    if (until === 'ready' && /<mirror [^>]*ready='yes'/.test(await xmlOf())) return true
    if (Date.now() > deadline) throw new Error(`the job of ${target} does not end: ${JSON.stringify(body)}`)
  }
}

/** Waits until no job is left; those that wait for a word get it. */
async function untilIdle(): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; ; await sleep(20)) {
    const { body } = await shim.call('/v1/jobs')
    const under: unknown[] = body.jobs ?? []
    const disks = (await isActive()) ? ((await xmlOf()).match(/<disk .*?<\/disk>/gs) ?? []) : []
    for (const [i, target] of disks.length > 0 ? DISKS.entries() : []) {
      const { body: job } = await shim.call(`virDomainGetBlockJobInfo?disk=${target}&flags=0`)
      if (job.found) under.push({ target, ...job })
      if (!job.found || !/<mirror [^>]*ready='yes'/.test(disks[i]!)) continue
      const flags = oneOf([[], ['VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT']])
      under.push((await call('virDomainBlockJobAbort', { disk: target, flags })).body)
    }
    if (under.length === 0) return
    if (Date.now() > deadline) throw new Error(`${JSON.stringify(under)} does not end: ${disks.join('')}`)
  }
}

async function start(): Promise<void> {
  const { status, body } = await call('virDomainCreateWithFlags', { flags: [] })
  if (status !== 200) throw new Error(`no start: ${body.message}`)
}

/** Does it while the guest is shut off, which starts again then. */
function whileOff(move: Move): Move {
  return {
    ...move,
    name: `off: ${move.name}`,
    async run() {
      const ended = await call('virDomainDestroy', {})
      if (ended.status !== 200) return ended
      const answer = await move.run()
      if (!(await isActive())) await start()
      return answer
    }
  }
}

/** Commits and pulls change images that snapshots stand on or are kept in: these are forgotten before. */
async function forgetSnapshots(): Promise<void> {
  for (const name of model.snapshots.keys()) {
    const { status, body } = await call('virDomainSnapshotDelete', {
      snap: { name },
      flags: ['VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY']
    })
    if (status !== 200) throw new Error(`${name} is not forgotten: ${body.message}`)
  }
}

function write(): Move {
  const [i, cluster, pattern] = [below(DISKS.length), below(CLUSTERS), 1 + below(255)]
  return {
    name: `write ${DISKS[i]} ${cluster} ${pattern}`,
    through: [model, written(model, i, cluster, pattern)],
    async run() {
      await io(i, `write -P ${pattern} ${cluster * CLUSTER} ${CLUSTER}`)
      await io(i, 'flush')
      // QEMU tells its own output, not the monitor, what became of it
      return { status: 200, body: {} }
    }
  }
}

function snapshot(kind: 'internal' | 'disks' | 'memory'): Move {
  const isOff = kind !== 'memory' && random() < 0.25
  const name = `s${++files}`
  const overlays = DISKS.map(target => newFile(target))
  const memory = newFile('memory', '.save')
  const sources = DISKS.map(
    (target, i) => `<disk name='${target}' snapshot='external'><source file='${overlays[i]}'/></disk>`
  )
  const inside = {
    internal: '',
    disks: `<disks>${sources.join('')}</disks>`,
    memory: `<memory snapshot='external' file='${memory}'/><disks>${sources.join('')}</disks>`
  }[kind]
  const xmlDesc = `<domainsnapshot><name>${name}</name>${inside}</domainsnapshot>`
  const flags = kind === 'disks' ? ['VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY'] : []
  const state = isOff ? 'shutoff' : kind === 'disks' ? 'disk-snapshot' : 'running'
  const move: Move = {
    name: `snapshot ${kind} ${name}`,
    through: [model, snapshotTaken(model, name, state, kind === 'internal' ? undefined : overlays)],
    makes: [...overlays, memory],
    run: () => call('virDomainSnapshotCreateXML', { xmlDesc, flags })
  }
  return isOff ? whileOff(move) : move
}

function revert(): Move | undefined {
  const names = revertible(model)
  if (names.length === 0) return undefined
  const name = oneOf(names)
  const flags = oneOf([[], ['VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING'], ['VIR_DOMAIN_SNAPSHOT_REVERT_FORCE']])
  const move: Move = {
    name: `revert ${name} ${flags}`,
    through: [model, reverted(model, name)],
    run: () => call('virDomainRevertToSnapshot', { snap: { name }, flags })
  }
  return random() < 0.25 ? whileOff(move) : move
}

function remove(): Move | undefined {
  if (model.snapshots.size === 0) return undefined
  const name = oneOf([...model.snapshots.keys()])
  const move: Move = {
    name: `delete ${name}`,
    through: snapshotDeleted(model, name),
    run: () => call('virDomainSnapshotDelete', { snap: { name }, flags: [] })
  }
  if (random() < 0.75) return move
  // what qemu-img merges is not recorded
  return { ...whileOff(move), through: [model, ...move.through.slice(1).map(withBrokenCheckpoints)] }
}

/** A disk with more than one image. */
function diskOfOverlays(): number | undefined {
  const stacked = [...DISKS.keys()].filter(i => model.chains[i]!.length > 1)
  return stacked.length > 0 ? oneOf(stacked) : undefined
}

/** A job is ended as it is meant to be; one that was cut short may end either way. */
function ending(before: readonly Model[], pivoted: Model): { end: string[] } & Pick<Move, 'through' | 'refused'> {
  const refused = before.at(-1)!
  if (random() < 0.3) return { end: [], through: [...before, pivoted, refused], refused }
  return { end: ['VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT'], through: [...before, pivoted], refused }
}

function commit(): Move | undefined {
  const i = diskOfOverlays()
  if (i === undefined) return undefined
  const target = DISKS[i]!
  const before = allForgotten(model)
  const { end, ...models } = ending(before, rechained(before.at(-1)!, i, model.chains[i]!.slice(-1)))
  return {
    name: `commit ${target} ${end}`,
    ...models,
    async run() {
      await forgetSnapshots()
      const begun = await call('virDomainBlockCommit', {
        disk: target,
        base: null,
        top: null,
        bandwidth: 0,
        flags: ['VIR_DOMAIN_BLOCK_COMMIT_ACTIVE']
      })
      if (begun.status !== 200 || !(await blockJob(target, 'ready'))) return begun
      return call('virDomainBlockJobAbort', { disk: target, flags: end })
    }
  }
}

function pull(): Move | undefined {
  const i = diskOfOverlays()
  if (i === undefined) return undefined
  const target = DISKS[i]!
  const before = allForgotten(model)
  return {
    name: `pull ${target}`,
    through: [...before, rechained(before.at(-1)!, i, model.chains[i]!.slice(0, 1))],
    refused: before.at(-1)!,
    async run() {
      await forgetSnapshots()
      const begun = await call('virDomainBlockPull', { disk: target, bandwidth: 0, flags: [] })
      if (begun.status === 200) await blockJob(target, 'ended')
      return begun
    }
  }
}

function copy(): Move {
  const i = below(DISKS.length)
  const target = DISKS[i]!
  const destination = newFile(target)
  const { end, ...models } = ending([model], rechained(model, i, [destination]))
  return {
    name: `copy ${target} ${end}`,
    ...models,
    async run() {
      const begun = await call('virDomainBlockCopy', {
        disk: target,
        destxml: `<disk type='file'><source file='${destination}'/><driver type='qcow2'/></disk>`,
        params: {},
        flags: ['VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB']
      })
      if (begun.status !== 200 || !(await blockJob(target, 'ready'))) return begun
      return call('virDomainBlockJobAbort', { disk: target, flags: end })
    }
  }
}

function checkpoint(): Move {
  const name = `c${++files}`
  return {
    name: `checkpoint ${name}`,
    through: [model, checkpointMade(model, name)],
    run: () =>
      call('virDomainCheckpointCreateXML', {
        xmlDesc: `<domaincheckpoint><name>${name}</name></domaincheckpoint>`,
        flags: []
      })
  }
}

/** One whose bitmaps are not whole need not have any to delete. */
function removeCheckpoint(): Move | undefined {
  if (model.checkpoints.size === 0) return undefined
  const [name, { isWhole }] = oneOf([...model.checkpoints])
  return {
    name: `delete ${name}`,
    through: [model, checkpointDeleted(model, name)],
    run: () =>
      call('virDomainCheckpointDelete', {
        checkpoint: { name },
        flags: isWhole ? [] : ['VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY']
      })
  }
}

/** A push backup, since a checkpoint or of all; the new disk it makes is that of this moment. */
function backup(): Move {
  const since = random() < 0.6 && model.checkpoints.size > 0 ? oneOf([...model.checkpoints]) : undefined
  const targets = DISKS.map(target => newFile(`backup-${target}`))
  const disks = DISKS.map(
    (target, i) => `<disk name='${target}' type='file'><driver type='qcow2'/><target file='${targets[i]}'/></disk>`
  )
  const backupXML = `<domainbackup mode='push'>${since ? `<incremental>${since[0]}</incremental>` : ''}<disks>${disks.join('')}</disks></domainbackup>`
  const { contents } = model
  return {
    name: `backup ${since?.[0] ?? ''}`,
    through: [model],
    async run() {
      const begun = await call('virDomainBackupBegin', { backupXML, checkpointXML: null, flags: [] })
      if (begun.status === 200) await untilIdle()
      else if (since?.[1].isWhole !== false) throw new Error(`no backup: ${begun.body.message}`)
      return begun
    },
    async done() {
      const wrong = targets.map(async (target, i) => {
        if (!since) return view.compare(`the backup of ${DISKS[i]}`, contents[i]!, [target])
        const base = newFile('base', '.raw')
        writeFileSync(base, Buffer.concat(since[1].contents[i]!.map(pattern => Buffer.alloc(CLUSTER, pattern))))
        execFileSync('qemu-img', ['rebase', '-q', '-u', '-F', 'raw', '-b', base, target])
        return view.compare(`the backup of ${DISKS[i]} since ${since[0]}`, contents[i]!, [target])
      })
      return [...(await Promise.all(wrong)).flat(), ...(await view.damageIn(targets))]
    }
  }
}

function save(): Move {
  const file = newFile('saved', '.save')
  return {
    name: `save ${file}`,
    through: [model],
    async run() {
      const saved = await call('virDomainSave', { to: file })
      if (saved.status !== 200) return saved
      return call('virDomainRestore', { from: file })
    }
  }
}

const startAfter = (name: string, end: () => Promise<Answer>) => (): Move => ({
  name,
  through: [model],
  async run() {
    const ended = await end()
    if (ended.status !== 200) return ended
    return call('virDomainCreateWithFlags', { flags: [] })
  }
})

/** Kinds of moves, and how often each is made beside the others. */
const MOVES: Record<string, [weight: number, make: () => Move | undefined]> = {
  write: [4, write],
  internal: [1, () => snapshot('internal')],
  disks: [2, () => snapshot('disks')],
  memory: [1, () => snapshot('memory')],
  revert: [1, revert],
  remove: [2, remove],
  commit: [1, commit],
  pull: [1, pull],
  copy: [1, copy],
  checkpoint: [1, checkpoint],
  removeCheckpoint: [1, removeCheckpoint],
  backup: [1, backup],
  save: [1, save],
  managedSave: [1, startAfter('managedsave', () => call('virDomainManagedSave', { flags: [] }))],
  powerCycle: [1, startAfter('destroy', () => call('virDomainDestroy', {}))]
}

/** Calls that a long walk must have made. */
const WANTED_CALLS = [
  'virDomainSnapshotCreateXML',
  'virDomainRevertToSnapshot',
  'virDomainSnapshotDelete',
  'virDomainBlockCommit',
  'virDomainBlockPull',
  'virDomainBlockCopy',
  'virDomainCheckpointCreateXML',
  'virDomainCheckpointDelete',
  'virDomainBackupBegin',
  'virDomainSave',
  'virDomainRestore',
  'virDomainManagedSave'
]

/** `WALK_MOVES=write,commit` makes no others. */
const WANTED = (process.env.WALK_MOVES?.split(',') ?? Object.keys(MOVES)).flatMap(kind =>
  Array<string>(MOVES[kind]![0]).fill(kind)
)

function nextMove(isCutShort: boolean): { kind: string; move: Move } {
  for (;;) {
    const kind = oneOf(WANTED)
    // QEMU does it, and no shim has anything to put right
    const move = isCutShort && kind === 'write' && WANTED.some(one => one !== 'write') ? undefined : MOVES[kind]![1]()
    if (move) return { kind, move }
  }
}

/**
 * Settles with the first model that the guest is found to be like, or with what is wrong: what the shim still takes away
 * is waited for.
 */
async function agreed(may: readonly Model[]): Promise<{ found?: Model; wrong: string[] }> {
  for (const i of DISKS.keys()) await io(i, 'flush')
  for (const deadline = Date.now() + LIMIT_MS / 2; ; await sleep(50)) {
    let wrong: string[] = []
    for (const one of may) {
      const found = await view.named(one)
      const differences = await view.differences(found)
      if (differences.length === 0) return { found, wrong: [] }
      wrong = may.length > 1 ? [...wrong, `model ${may.indexOf(one)}:`, ...differences] : differences
    }
    if (Date.now() > deadline) return { wrong }
  }
}

/** Changes of the shim's files: by them a moment in the middle of a call is found, whatever time that takes. */
class Changes {
  count = 0
  #notify = () => {}
  readonly #watchers = [shim.root, join(shim.root, 'snapshots'), join(shim.root, 'checkpoints')]
    .filter(existsSync)
    .map(directory =>
      watch(directory, () => {
        this.count++
        this.#notify()
      })
    )

  /** Settles with the n-th of them. */
  reach(count: number): Promise<void> {
    return new Promise(resolve => {
      this.#notify = () => {
        if (this.count >= count) resolve()
      }
      this.#notify()
    })
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close()
  }
}

/** As many as a kind of move was last seen to make. */
const usualChanges: Record<string, number> = {}
const MAX_DELAY_MS = 30

/**
 * Does a move.
 * @param at called at a moment that the seed chooses: with the n-th change of the shim's files, or soon after it
 */
async function doMove(kind: string, move: Move, at?: (isUnderWay: () => boolean) => Promise<void>): Promise<Answer> {
  const changes = new Changes()
  const [change, delay] = [1 + below(usualChanges[kind] ?? 8), random() < 0.5 ? 0 : random() * MAX_DELAY_MS]
  try {
    let isUnderWay = true
    const answer = move
      .run()
      .catch((error: Error): Answer => ({ status: 0, body: error }))
      .finally(() => {
        isUnderWay = false
      })
    if (at) {
      await Promise.race([answer, changes.reach(change).then(() => sleep(delay))])
      await at(() => isUnderWay)
    }
    return await answer
  } finally {
    changes.close()
    if (!at) usualChanges[kind] = changes.count
  }
}

async function killShim(): Promise<void> {
  const child = shim.child!
  const gone = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

/** The QEMU that the status file names, if any. */
function qemuPid(): number | undefined {
  try {
    return JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8')).process?.pid
  } catch {
    return undefined
  }
}

/** @returns its process; undefined where there is none */
function killQemu(): number | undefined {
  const pid = qemuPid()
  try {
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
    return pid
  } catch {
    return undefined
  }
}

/** The shim knows that its QEMU is gone. */
async function isNoticed(pid: number): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; qemuPid() === pid; await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`the shim does not notice that ${pid} is gone`)
  }
}

/** Changes that a shim makes while it takes a guest over. */
const TAKEOVER_CHANGES = 12

/** Another shim takes the guest over. @param interrupt done on the way, at a moment that the seed chooses */
async function restarted(interrupt?: () => Promise<unknown>): Promise<void> {
  const changes = new Changes()
  serve()
  const served = untilServed()
  if (interrupt) {
    await Promise.race([served, changes.reach(1 + below(TAKEOVER_CHANGES))])
    await interrupt()
  }
  changes.close()
  await served
}

const serve = () => void shim.run('bin/virshimd', ['--inactive', '--root', shim.root])

/** By whatever shim there is then: one whose QEMU goes while it asks for all that is to be known ends as well. */
async function untilServed(): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; ; await sleep(20)) {
    if (shim.child!.exitCode !== null) serve()
    const answer = await shim.call('virDomainGetState').catch(() => undefined)
    if (answer?.status === 200) return
    if (Date.now() > deadline) throw new Error(`no shim takes the guest over: ${shim.stderr.slice(-4000)}`)
  }
}

async function killedAgain(): Promise<void> {
  await killShim()
  await restarted()
}

/** Goes on with a guest that is off: from the image it was saved in, if there is one. */
async function ensureRunning(move: Move): Promise<void> {
  if (!(await isActive())) {
    const saved = /^save (.*)/.exec(move.name)?.[1]
    const isRestored =
      saved !== undefined && existsSync(saved) && (await call('virDomainRestore', { from: saved })).status === 200
    if (!isRestored) await start()
  }
  if ((await stateOf()) !== RUNNING) await call('virDomainResume', {})
}

/** Calls that were cut short, by what ended. */
const cut = { shim: 0, qemu: 0, both: 0 }
const kills = () => cut.shim + cut.both
const crashes = () => cut.qemu + cut.both

/** What is to be cut short in a step, so that there are enough in the end. */
function nextCut(step: number): keyof typeof cut | undefined {
  if (crashes() < Math.floor((step + STEPS_A_CRASH / 2) / STEPS_A_CRASH)) return cut.qemu > cut.both ? 'both' : 'qemu'
  return kills() < Math.floor(step / STEPS_A_KILL) ? 'shim' : undefined
}

t.test(`${STEPS} steps`, async t => {
  void shim.start('--define', '--linger')
  await shim.untilState(RUNNING)
  const outcomes: Record<string, number> = {}
  const trail: string[] = []
  let step = 0
  const isEnough = () => step >= STEPS && nextCut(STEPS) === undefined
  while (!isEnough() && step < STEPS * 2) {
    random = numbers(SEED + ++step * 7919)
    const what = nextCut(step)
    const { kind, move } = nextMove(what !== undefined)
    const [before, after] = [move.through[0]!, move.through.at(-1)!]
    let may: readonly Model[]
    let outcome: string
    const wrong: string[] = []
    if (what) {
      let isCut = false
      // what the next shim does about it is cut short as well: it is killed, too, or only now is QEMU
      const isInTakeover = what !== 'qemu' && random() < 0.3
      await doMove(kind, move, async isUnderWay => {
        isCut = isUnderWay()
        const killed = what === 'shim' || isInTakeover ? undefined : killQemu()
        if (what !== 'shim' && !isInTakeover) isCut &&= killed !== undefined
        if (what !== 'qemu') await killShim()
        else if (killed !== undefined) await isNoticed(killed)
      })
      if (what === 'shim') await restarted(isInTakeover ? killedAgain : undefined)
      if (what === 'both') await restarted(isInTakeover ? async () => killQemu() : undefined)
      view.mayLeak ||= what !== 'shim'
      if (isCut) cut[what]++
      may = [...new Set([after, ...move.through])].map(one => (what === 'shim' ? one : withBrokenCheckpoints(one)))
      outcome = `${what} ended${isCut ? '' : ' after it'}`
    } else {
      const { status, body } = await doMove(kind, move)
      may = [status === 200 ? after : (move.refused ?? before)]
      outcome = status === 200 ? 'done' : String(body.codeName ?? body.message)
      if (status === 0) wrong.push(body.message)
      if (status === 200) wrong.push(...((await move.done?.()) ?? []))
      else trail.push(`   ${body.message}`)
    }
    await untilIdle()
    await ensureRunning(move)
    await untilIdle()
    const { found = after, wrong: differences } = await agreed(may)
    wrong.push(...differences)
    if (found.snapshots.size === before.snapshots.size) {
      for (const file of move.makes ?? []) if (existsSync(file)) wrong.push(`${file} is left`)
    }
    model = found
    trail.push(`${step} ${move.name}: ${outcome}`)
    const key = `${kind} ${outcome}`
    outcomes[key] = (outcomes[key] ?? 0) + 1
    if (wrong.length > 0) {
      t.fail(`${step} ${move.name}: ${outcome}`, { wrong })
      t.comment(wrong.join('\n'))
      t.comment(trail.slice(-60).join('\n'))
      t.comment(shim.stderr.split('\n').slice(-10).join('\n'))
      break
    }
    t.pass(`${step} ${move.name}: ${outcome}`)
  }
  t.ok(isEnough(), 'enough calls were cut short', { cut })
  if (STEPS >= LONG && !process.env.WALK_MOVES) {
    for (const api of WANTED_CALLS) t.ok(did[api], `${api} was called`)
  }
  await call('virDomainDestroy', {})
  const left = [...new Set([...model.chains, ...[...model.snapshots.values()].flatMap(({ chains }) => chains)].flat())]
  t.same(await view.damageIn(left), [], 'no image is damaged once QEMU is gone')
  t.comment(JSON.stringify(outcomes, null, 1))
  t.comment(JSON.stringify(did, null, 1))
  t.comment(
    `${step} steps; calls cut short by a kill of the shim: ${kills()}, of QEMU: ${crashes()}, of both: ${cut.both}; ` +
      `${view.comparedBytes} bytes compared, ${view.wrongBytes} wrong`
  )
})

t.test('nothing runs for it', async t => {
  t.same(processesNaming(`${shim.root}/`), [])
})
