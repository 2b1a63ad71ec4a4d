// Backups of a running guest against a model of its disks, byte by byte: whole, incremental, fetched by somebody else
// while the guest goes on, over deaths of shim and guest.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { bareGuest, Shim } from '../../../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const KIB = 1024
const SIZES = { vda: 8192 * KIB, vdb: 2048 * KIB }
type Target = keyof typeof SIZES

const dir = t.testdir({})
const file = (name: string) => join(dir, name)
const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { encoding: 'utf8' })
for (const [name, size] of Object.entries(SIZES)) qemuImg('create', '-q', '-f', 'qcow2', file(name), String(size))
const disk = (name: string) => `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
  <source file='${file(name)}'/><target dev='${name}' bus='virtio'/></disk>`

const shim = new Shim(bareGuest(`t-backup-${process.pid}`, Object.keys(SIZES).map(disk).join('')))
let exited = shim.start()
t.teardown(() => shim.end())

/** What the disks have. */
const model: Record<Target, Buffer> = { vda: Buffer.alloc(SIZES.vda), vdb: Buffer.alloc(SIZES.vdb) }
let pattern = 0

const call = async (api: string, args: object = {}) => {
  const { status, body } = await shim.call(api, args)
  if (status !== 200) throw new Error(`${api}: ${body.codeName} ${body.message}`)
  return body
}
const failure = async (api: string, args: object = {}) => {
  const { status, body } = await shim.call(api, args)
  return status === 200 ? '' : `${body.codeName}: ${body.message}`
}
const qmp = async (execute: string, args: object = {}) =>
  JSON.parse((await call('virDomainQemuMonitorCommand', { cmd: JSON.stringify({ execute, arguments: args }) })).result)
    .return

/** Writes as the guest would, KiB from the beginning. */
async function write(name: Target, at: number, length: number): Promise<void> {
  const byte = ++pattern
  const device = `/machine/peripheral/virtio-disk${name === 'vda' ? 0 : 1}/virtio-backend`
  const line = `qemu-io -d ${device} "write -P ${byte} ${at}k ${length}k"`
  const said: string = await qmp('human-monitor-command', { 'command-line': line })
  if (said !== '') throw new Error(said)
  model[name].fill(byte, at * KIB, (at + length) * KIB)
}

const checkpoint = (name: string) => `<domaincheckpoint><name>${name}</name></domaincheckpoint>`
const push = (store: string, format: string, more = '', incremental = '') =>
  `<domainbackup>${incremental && `<incremental>${incremental}</incremental>`}<disks>
    <disk name='vda' type='file'><driver type='${format}'/><target file='${file(store)}'/></disk>${more}</disks></domainbackup>`
const SOCKET = file('nbd')
const pull = (incremental = '') =>
  `<domainbackup mode='pull'>${incremental && `<incremental>${incremental}</incremental>`}
    <server transport='unix' socket='${SOCKET}'/><disks><disk name='vda' type='file'><scratch file='${file('scratch')}'/></disk>
    <disk name='vdb' backup='no'/></disks></domainbackup>`

async function untilNoJob(): Promise<void> {
  while ((await call('virDomainGetJobInfo')).type !== 0) await sleep(20)
}

/** The extents of an export that a bitmap marks. */
function changed(bitmap: string): { start: number; length: number }[] {
  const image = `driver=nbd,export=vda,server.type=unix,server.path=${SOCKET},x-dirty-bitmap=qemu:dirty-bitmap:${bitmap}`
  const extents = JSON.parse(qemuImg('map', '--output=json', '--image-opts', image))
  return extents.filter(({ data }: { data: boolean }) => !data)
}

/** The whole of an export. */
function fetched(name: string): Buffer {
  const copy = file(`fetched-${name}`)
  qemuImg('convert', '-f', 'raw', '-O', 'raw', `nbd+unix:///${name}?socket=${SOCKET}`, copy)
  return readFileSync(copy)
}

/** QEMU has the nodes of the disks, and no more. */
async function checkNodes(t: Test): Promise<void> {
  const nodes: { 'node-name': string }[] = await qmp('query-named-block-nodes', { flat: true })
  t.equal(nodes.length, 4, 'no node is left')
  t.same(await qmp('query-jobs'), [], 'no job is left')
  t.same(await qmp('query-block-exports'), [], 'nothing is shown')
  const status = JSON.parse(readFileSync(join(shim.root, 'status.json'), 'utf8'))
  for (const name of ['backup', 'checkpoint', 'looseImages', 'job']) t.equal(status[name], undefined, `no ${name}`)
}

/** The bitmaps of a disk's top image. */
async function bitmaps(): Promise<string[]> {
  const nodes: { 'node-name': string; 'dirty-bitmaps'?: { name: string }[] }[] = await qmp('query-named-block-nodes')
  return nodes.flatMap(node => node['dirty-bitmaps'] ?? []).map(({ name }) => name)
}

async function restart(): Promise<void> {
  shim.child?.kill('SIGKILL')
  await exited
  exited = shim.run('bin/virshimd', ['--root', shim.root])
  await shim.untilState(RUNNING, 60_000)
}

t.before(() => shim.untilState(RUNNING, 60_000))

t.test('a whole backup, and what has changed since', async t => {
  await write('vda', 0, 1024)
  await write('vda', 4096, 64)
  await write('vdb', 512, 512)
  const both = `<disk name='vdb' type='file'><driver type='qcow2'/><target file='${file('full-vdb')}'/></disk>`
  const args = { backupXML: push('full', 'raw', both), checkpointXML: checkpoint('c1') }
  await call('virDomainBackupBegin', args)
  await untilNoJob()
  t.ok(readFileSync(file('full')).equals(model.vda), 'the copy is the disk')
  qemuImg('convert', '-O', 'raw', file('full-vdb'), file('full-vdb.raw'))
  t.ok(readFileSync(file('full-vdb.raw')).equals(model.vdb), 'and so is that of the other')
  const stats = await call('virDomainGetJobStats', { flags: 3 })
  t.match(stats, { type: 3, params: { operation: 9, success: true, disk_processed: SIZES.vda + SIZES.vdb } })
  t.match(await failure('virDomainBackupBegin', args), /VIR_ERR_OPERATION_FAILED: .*domain moment c1 already exists/)
  const again = { ...args, checkpointXML: checkpoint('c1b') }
  t.match(await failure('virDomainBackupBegin', again), /VIR_ERR_INVALID_ARG: .*store '.*' for backup of 'vda' exists/)
  t.same(await bitmaps(), ['c1', 'c1'])
  await checkNodes(t)
})

t.test('changes are fetched while the guest goes on', async t => {
  await write('vda', 128, 256)
  await write('vda', 6000, 10)
  const then = Buffer.from(model.vda)
  await call('virDomainBackupBegin', { backupXML: pull('c1'), checkpointXML: checkpoint('c2') })
  await write('vda', 0, 2048)
  const { xml } = await call('virDomainBackupGetXMLDesc')
  t.match(xml, /exportname='vda' exportbitmap='backup-vda'/)
  const extents = changed('backup-vda')
  const amount = extents.reduce((sum, { length }) => sum + length, 0)
  t.ok(amount >= 266 * KIB && amount <= 512 * KIB, `${amount} bytes are marked`)
  const restored = readFileSync(file('full'))
  const whole = fetched('vda')
  t.ok(whole.equals(then), 'the export is the disk as it was')
  for (const { start, length } of extents) whole.copy(restored, start, start, start + length)
  t.ok(restored.equals(then), 'the full copy with what has changed is the disk as it was')
  writeFileSync(file('then'), then)
  const stats = await call('virDomainGetJobStats', { flags: 0 })
  t.match(stats, { type: 2, params: { operation: 9 } })
  t.ok(stats.params.disk_temp_used > 0)

  await restart()
  t.equal((await call('virDomainBackupGetXMLDesc')).xml, xml, 'the next shim has it')
  t.ok(fetched('vda').equals(then), 'and it can be fetched')
  t.match(await call('virDomainGetJobInfo'), { type: 2 })
  await call('virDomainAbortJob')
  await untilNoJob()
  t.match(await call('virDomainGetJobStats', { flags: 1 }), { type: 3, params: { success: true } })
  t.match(await failure('virDomainBackupGetXMLDesc'), /^VIR_ERR_NO_DOMAIN_BACKUP/)
  t.notOk(existsSync(file('scratch')))
  await checkNodes(t)
})

t.test('an incremental chain is the disk of its last moment', async t => {
  await call('virDomainBackupBegin', { backupXML: push('inc1', 'qcow2', '', 'c1'), checkpointXML: checkpoint('c3') })
  await untilNoJob()
  await write('vda', 7000, 100)
  await call('virDomainBackupBegin', { backupXML: push('inc2', 'qcow2', '', 'c3') })
  await untilNoJob()
  t.match(await call('virDomainGetJobStats', { flags: 3 }), { type: 3 })
  qemuImg('rebase', '-u', '-F', 'raw', '-b', file('full'), file('inc1'))
  qemuImg('rebase', '-u', '-F', 'qcow2', '-b', file('inc1'), file('inc2'))
  qemuImg('check', '-q', file('inc2'))
  qemuImg('convert', '-O', 'raw', file('inc2'), file('restored'))
  t.ok(readFileSync(file('restored')).equals(model.vda))
  t.notOk((await bitmaps()).includes('backup-vda'), 'the bitmap it was made by is gone')
  await checkNodes(t)
})

t.test('the shim dies on the way', async t => {
  let begun = 0
  for (const [round, waitMs] of [0, 5, 15, 30, 60, 100].entries()) {
    const isPull = round % 2 === 0
    const name = `k${round}`
    const backupXML = isPull ? pull('c3') : push(name, 'raw')
    const done = shim.call('virDomainBackupBegin', { backupXML, checkpointXML: checkpoint(name) }).then(
      ({ status }) => status === 200,
      () => false
    )
    await sleep(waitMs)
    await restart()
    const told = await done
    const { checkpoints } = await call('virDomainListAllCheckpoints', { flags: 0 })
    const has = checkpoints.some((one: { name: string }) => one.name === name)
    t.equal((await bitmaps()).includes(name), has, `round ${round}: bitmaps are there as the checkpoint is`)
    if (told) t.ok(has, `round ${round}: a backup that was told of goes on`)
    if (told) begun++
    if ((await call('virDomainGetJobInfo')).type !== 0 && isPull) await call('virDomainAbortJob')
    await untilNoJob()
    t.notOk(existsSync(file('scratch')), `round ${round}: no scratch image`)
    if (!isPull && existsSync(file(name)))
      t.ok(readFileSync(file(name)).equals(model.vda), `round ${round}: a copy is whole`)
    else t.notOk(told && !isPull, `round ${round}: one that was told of is there`)
    await checkNodes(t)
  }
  t.comment(`${begun} had begun`)
})

t.test('a job that is given up, and one that fails', async t => {
  const scratch = readdirSync(dir).length
  await call('virDomainBackupBegin', { backupXML: pull() })
  t.match(await failure('virDomainCheckpointDelete', { checkpoint: { name: 'c1' } }), '')
  t.match((await failure('virDomainSuspend')) + (await failure('virDomainResume')), '')
  const jobs = await shim.call('/v1/jobs')
  t.match(jobs.body, { jobs: [{ kind: 'backup', cancellable: true }] })
  await call('virDomainDestroy')
  await exited
  t.notOk(existsSync(file('scratch')), 'the scratch image goes with the guest')
  t.equal(readdirSync(dir).filter(name => name !== 'nbd').length, scratch)
})
