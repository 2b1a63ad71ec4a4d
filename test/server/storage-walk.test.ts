// A guest with three disks whose storage goes through everything there is, at random: snapshots, block jobs, checkpoints,
// backups, saved images; its shim is killed again and again, and QEMU now and then. A model says what every disk has:
// no byte may be another one, no image may be damaged, and definition, images and QEMU agree on each chain.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { processesNaming } from '../helper/processes.ts'
import { type Answer, Shim } from '../helper/shim.ts'

t.setTimeout(3_600_000)

/** `WALK_STEPS=300` is the long form, with 60 kills of the shim and 10 of QEMU. */
const STEPS = Number(process.env.WALK_STEPS ?? 40)
const STEPS_A_KILL = 5
const STEPS_A_CRASH = 30
const LIMIT_MS = 60_000
const NAME = `t-walk-${process.pid}`
const RUNNING = 1
const SHUTOFF = 5

const CLUSTER = 64 * 1024
const CLUSTERS = 32
const DISKS = ['vda', 'vdb', 'vdc']

/** What a disk has: the byte its clusters are filled with. */
type Contents = readonly (readonly number[])[]

/** Numbers below 1 with a fixed seed. */
function numbers(seed: number): () => number {
  let x = seed
  return () => {
    x = (x * 1103515245 + 12345) % 2 ** 31
    return x / 2 ** 31
  }
}
const random = numbers(Number(process.env.WALK_SEED ?? 20171219))
const below = (limit: number) => Math.floor(random() * limit)
const oneOf = <T>(list: readonly T[]): T => list[below(list.length)]!

const disk = (target: string, file: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file}'/><target dev='${target}' bus='virtio'/></disk>`

const shim = new Shim('')
t.teardown(() => shim.end())
const images = join(shim.dir, 'images')
mkdirSync(images)
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

/** The model. */
let contents: Contents = DISKS.map(() => Array<number>(CLUSTERS).fill(0))
const snapshots = new Map<string, Contents>()
const checkpoints = new Map<string, Contents>()

/** Something that is done to the guest, in one call or several. */
interface Move {
  name: string
  run(): Promise<Answer>
  /** what the disks have when it is done; absent: what they had */
  makes?: Contents
  /** it is done */
  done?(): Promise<void> | void
}

const call = (api: string, args: object) => shim.call(api, args)
const monitor = async (execute: string, args?: object) => {
  const cmd = JSON.stringify({ execute, ...(args && { arguments: args }) })
  const { status, body } = await call('virDomainQemuMonitorCommand', { cmd, flags: 0 })
  return status === 200 ? JSON.parse(body.result).return : undefined
}
const io = (i: number, command: string): Promise<string | undefined> =>
  monitor('human-monitor-command', {
    'command-line': `qemu-io -d /machine/peripheral/virtio-disk${i}/virtio-backend "${command}"`
  })

const stateOf = async (): Promise<number> => (await shim.call('virDomainGetState')).body.state
const isActive = async () => (await stateOf()) !== SHUTOFF
const xmlOf = async (): Promise<string> => (await shim.call('virDomainGetXMLDesc?flags=0')).body.xml

/** The files of each disk's chain, from the top. */
function chainsIn(xml: string): string[][] {
  const disks = [...xml.matchAll(/<disk .*?<\/disk>/gs)].map(([text]) => text!)
  return disks.map(text => [...text.matchAll(/<source file='([^']+)'/g)].map(([, file]) => file!))
}

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

/** Commits and pulls change images that snapshots stand on or are kept in: these are forgotten before. */
async function forgetSnapshots(): Promise<void> {
  for (const name of [...snapshots.keys()]) {
    const { status, body } = await call('virDomainSnapshotDelete', {
      snap: { name },
      flags: ['VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY']
    })
    if (status !== 200) throw new Error(`${name} is not forgotten: ${body.message}`)
    snapshots.delete(name)
  }
}

function write(): Move {
  const [i, cluster, pattern] = [below(DISKS.length), below(CLUSTERS), 1 + below(255)]
  const makes = contents.map((had, n) => (n === i ? had.with(cluster, pattern) : had))
  return {
    name: `write ${DISKS[i]} ${cluster} ${pattern}`,
    makes,
    async run() {
      const said = await io(i, `write -P ${pattern} ${cluster * CLUSTER} ${CLUSTER}`)
      await io(i, 'flush')
      // QEMU tells its own output, not the monitor, what became of it
      return { status: said === undefined ? 500 : 200, body: { codeName: 'write' } }
    }
  }
}

function snapshot(kind: 'internal' | 'disks' | 'memory'): Move {
  const name = `s${++files}`
  const sources = DISKS.map(
    target => `<disk name='${target}' snapshot='external'><source file='${newFile(target)}'/></disk>`
  )
  const inside = {
    internal: '',
    disks: `<disks>${sources.join('')}</disks>`,
    memory: `<memory snapshot='external' file='${newFile('memory', '.save')}'/><disks>${sources.join('')}</disks>`
  }[kind]
  const xmlDesc = `<domainsnapshot><name>${name}</name>${inside}</domainsnapshot>`
  const flags = kind === 'disks' ? ['VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY'] : []
  return {
    name: `snapshot ${kind} ${name}`,
    run: () => call('virDomainSnapshotCreateXML', { xmlDesc, flags }),
    done() {
      snapshots.set(name, contents)
    }
  }
}

function revert(): Move | undefined {
  if (snapshots.size === 0) return undefined
  const [name, kept] = oneOf([...snapshots])
  const flags = oneOf([[], ['VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING'], ['VIR_DOMAIN_SNAPSHOT_REVERT_FORCE']])
  return {
    name: `revert ${name} ${flags}`,
    makes: kept,
    run: () => call('virDomainRevertToSnapshot', { snap: { name }, flags })
  }
}

function remove(): Move | undefined {
  if (snapshots.size === 0) return undefined
  const name = oneOf([...snapshots.keys()])
  return {
    name: `delete ${name}`,
    run: () => call('virDomainSnapshotDelete', { snap: { name }, flags: [] }),
    done() {
      snapshots.delete(name)
    }
  }
}

function commit(): Move {
  const target = oneOf(DISKS)
  return {
    name: `commit ${target}`,
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
      return call('virDomainBlockJobAbort', { disk: target, flags: ['VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT'] })
    }
  }
}

function pull(): Move {
  const target = oneOf(DISKS)
  return {
    name: `pull ${target}`,
    async run() {
      await forgetSnapshots()
      const begun = await call('virDomainBlockPull', { disk: target, bandwidth: 0, flags: [] })
      if (begun.status === 200) await blockJob(target, 'ended')
      return begun
    }
  }
}

function copy(): Move {
  const target = oneOf(DISKS)
  const destination = newFile(target)
  const end = oneOf([[], ['VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT']])
  return {
    name: `copy ${target} ${end}`,
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
    run: () =>
      call('virDomainCheckpointCreateXML', {
        xmlDesc: `<domaincheckpoint><name>${name}</name></domaincheckpoint>`,
        flags: []
      }),
    done() {
      checkpoints.set(name, contents)
    }
  }
}

function removeCheckpoint(): Move | undefined {
  if (checkpoints.size === 0) return undefined
  const name = oneOf([...checkpoints.keys()])
  return {
    name: `delete ${name}`,
    run: () => call('virDomainCheckpointDelete', { checkpoint: { name }, flags: [] }),
    done() {
      checkpoints.delete(name)
    }
  }
}

const raw = (had: readonly number[]): Buffer => Buffer.concat(had.map(pattern => Buffer.alloc(CLUSTER, pattern)))
const asRaw = (file: string, format: string): Buffer => {
  const out = newFile('raw', '.raw')
  execFileSync('qemu-img', ['convert', '-U', '-f', format, '-O', 'raw', file, out])
  const bytes = readFileSync(out)
  rmSync(out)
  return bytes
}

/** A push backup, since a checkpoint or of all; the new disk it makes is that of this moment. */
function backup(): Move {
  const since = random() < 0.6 && checkpoints.size > 0 ? oneOf([...checkpoints]) : undefined
  const targets = DISKS.map(target => newFile(`backup-${target}`))
  const disks = DISKS.map(
    (target, i) => `<disk name='${target}' type='file'><driver type='qcow2'/><target file='${targets[i]}'/></disk>`
  )
  const backupXML = `<domainbackup mode='push'>${since ? `<incremental>${since[0]}</incremental>` : ''}<disks>${disks.join('')}</disks></domainbackup>`
  return {
    name: `backup ${since?.[0] ?? ''}`,
    async run() {
      const begun = await call('virDomainBackupBegin', { backupXML, checkpointXML: null, flags: [] })
      if (begun.status === 200) await untilIdle()
      return begun
    },
    done() {
      for (const [i, target] of targets.entries()) {
        if (since) {
          const base = newFile('base', '.raw')
          writeFileSync(base, raw(since[1][i]!))
          execFileSync('qemu-img', ['rebase', '-q', '-u', '-F', 'raw', '-b', base, target])
        }
        t.ok(asRaw(target, 'qcow2').equals(raw(contents[i]!)), `${DISKS[i]} of the backup`)
      }
    }
  }
}

function save(): Move {
  const file = newFile('saved', '.save')
  return {
    name: `save ${file}`,
    async run() {
      const saved = await call('virDomainSave', { to: file })
      if (saved.status !== 200) return saved
      return call('virDomainRestore', { from: file })
    }
  }
}

function managedSave(): Move {
  return {
    name: 'managedsave',
    async run() {
      const saved = await call('virDomainManagedSave', { flags: [] })
      if (saved.status !== 200) return saved
      return call('virDomainCreateWithFlags', { flags: [] })
    }
  }
}

function powerCycle(): Move {
  return {
    name: 'destroy, start',
    async run() {
      const ended = await call('virDomainDestroy', {})
      if (ended.status !== 200) return ended
      return call('virDomainCreateWithFlags', { flags: [] })
    }
  }
}

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
  managedSave: [1, managedSave],
  powerCycle: [1, powerCycle]
}

/** `WALK_MOVES=write,commit` makes no others. */
const WANTED = (process.env.WALK_MOVES?.split(',') ?? Object.keys(MOVES)).flatMap(kind =>
  Array<() => Move | undefined>(MOVES[kind]![0]).fill(MOVES[kind]![1])
)

/** What is wrong with images and chains. @param may what the disks may have; the one they have is the model's from now on */
async function check(may: readonly Contents[]): Promise<string[]> {
  const active = await isActive()
  if (active) for (const i of DISKS.keys()) await io(i, 'flush')
  const chains = chainsIn(await xmlOf())
  const wrong: string[] = []
  const have = chains.map(([top]) => asRaw(top!, 'qcow2'))
  const found = may.find(one => one.every((had, i) => raw(had).equals(have[i]!)))
  if (found) contents = found
  else {
    for (const [i, bytes] of have.entries()) {
      const now = Array.from({ length: CLUSTERS }, (_, n) => bytes[n * CLUSTER])
      wrong.push(`${DISKS[i]} has ${now}, not ${may.map(one => one[i]).join(' or ')}`)
    }
  }
  for (const chain of chains) {
    const told = JSON.parse(
      execFileSync('qemu-img', ['info', '-U', '--backing-chain', '--output=json', chain[0]!], { encoding: 'utf8' })
    )
    const inHeaders = told.map(({ filename }: { filename: string }) => filename)
    if (active && inHeaders.join() !== chain.join()) wrong.push(`chain ${chain} in XML, ${inHeaders} in images`)
    for (const file of inHeaders) {
      const { status, stdout } = spawnSync('qemu-img', ['check', '-U', '-f', 'qcow2', file], { encoding: 'utf8' })
      if (status !== 0 && !(active && status === 3)) wrong.push(`${file} is damaged: ${stdout}`)
    }
  }
  if (active) {
    const nodes: { file: string; drv: string }[] = (await monitor('query-named-block-nodes', { flat: true })) ?? []
    const open = new Set(nodes.filter(({ drv }) => drv === 'file').map(({ file }) => file))
    const named = new Set(chains.flat())
    for (const file of open) if (!named.has(file)) wrong.push(`QEMU has ${file}, which no disk has`)
    for (const file of named) if (!open.has(file)) wrong.push(`QEMU does not have ${file}`)
  }
  const listed: string[] = (await shim.call('virDomainSnapshotListNames?flags=0')).body.names.toSorted()
  const known = [...snapshots.keys()].toSorted()
  if (listed.join() !== known.join()) wrong.push(`snapshots ${listed} listed, ${known} made`)
  return wrong
}

async function restarted(): Promise<void> {
  void shim.run('bin/virshimd', ['--inactive', '--root', shim.root])
  for (const deadline = Date.now() + LIMIT_MS; ; await sleep(20)) {
    const answer = await shim.call('virDomainGetState').catch(() => undefined)
    if (answer?.status === 200) return
    if (Date.now() > deadline) throw new Error(`no shim takes the guest over: ${shim.stderr.slice(-4000)}`)
  }
}

/** What the lists say decides whether a move that was cut short has happened. */
async function adopt(move: Move): Promise<void> {
  const listed: string[] = (await shim.call('virDomainSnapshotListNames?flags=0')).body.names
  const hadSnapshots = [...snapshots.keys()]
  const isNew = listed.some(name => !snapshots.has(name))
  const isGone = hadSnapshots.some(name => !listed.includes(name))
  if (/^snapshot/.test(move.name) ? isNew : /^delete s/.test(move.name) && isGone) await move.done?.()
  for (const name of hadSnapshots) if (!listed.includes(name)) snapshots.delete(name)
  const there = (await shim.call('virDomainListAllCheckpoints?flags=0')).body.checkpoints ?? []
  const names: string[] = there.map(({ name }: { name: string }) => name)
  if (/^checkpoint/.test(move.name) && names.some(name => !checkpoints.has(name))) await move.done?.()
  for (const name of [...checkpoints.keys()]) if (!names.includes(name)) checkpoints.delete(name)
}

/** Goes on with a guest that is off: from the image it was saved in, if there is one. */
async function ensureRunning(move: Move): Promise<void> {
  if (!(await isActive())) {
    const saved = /^save (.*)/.exec(move.name)?.[1]
    if (saved !== undefined && existsSync(saved)) {
      const { status } = await call('virDomainRestore', { from: saved })
      if (status === 200) return
    }
    await start()
  }
  if ((await stateOf()) !== RUNNING) await call('virDomainResume', {})
}

t.test(`${STEPS} steps`, async t => {
  void shim.start('--define', '--linger')
  await shim.untilState(RUNNING)
  const did: Record<string, number> = {}
  const trail: string[] = []
  for (let step = 1; step <= STEPS; step++) {
    let move = oneOf(WANTED)()
    while (!move) move = oneOf(WANTED)()
    const before = contents
    const after = move.makes ?? before
    const isKill = step % STEPS_A_KILL === 0
    const isCrash = step % STEPS_A_CRASH === STEPS_A_KILL * 2 + 1
    let outcome: string
    let may: Contents[]
    if (isKill || isCrash) {
      const running = move.run().catch(() => undefined)
      await sleep(random() * 150)
      if (isKill) {
        const child = shim.child!
        const gone = new Promise(resolve => child.once('exit', resolve))
        child.kill('SIGKILL')
        await gone
        await running
        await restarted()
      } else {
        const { body } = await shim.call('report')
        if (body.pids?.qemu) process.kill(body.pids.qemu, 'SIGKILL')
        await running
      }
      await untilIdle()
      await adopt(move)
      outcome = isKill ? 'killed' : 'crashed'
      may = [after, before]
    } else {
      const { status, body } = await move.run()
      if (status === 200) {
        contents = after
        await move.done?.()
      } else await untilIdle()
      outcome = status === 200 ? 'done' : String(body.codeName)
      may = status === 200 ? [after] : [before]
      if (status !== 200) trail.push(`   ${body.message}`)
      for (const name of await missing()) snapshots.delete(name)
    }
    trail.push(`${step} ${move.name}: ${outcome}`)
    const kind = `${move.name.split(' ')[0]} ${outcome}`
    did[kind] = (did[kind] ?? 0) + 1
    await ensureRunning(move)
    await untilIdle()
    const wrong = await check(may)
    if (wrong.length > 0) {
      t.fail(`${step} ${move.name}: ${outcome}`, { wrong, trail: trail.slice(-25) })
      t.comment(wrong.join('\n'))
      t.comment(trail.slice(-40).join('\n'))
      t.comment(shim.stderr.split('\n').slice(-10).join('\n'))
      break
    }
    t.pass(`${step} ${move.name}: ${outcome}`)
  }
  t.comment(JSON.stringify(did, null, 1))
})

/** Snapshots that went with another. */
async function missing(): Promise<string[]> {
  const listed: string[] = (await shim.call('virDomainSnapshotListNames?flags=0')).body.names
  return [...snapshots.keys()].filter(name => !listed.includes(name))
}

t.test('nothing runs for it but its QEMU', async t => {
  t.equal(processesNaming(`${shim.root}/`).length, 1)
})
