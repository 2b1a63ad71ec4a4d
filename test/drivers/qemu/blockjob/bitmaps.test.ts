// Checkpoints over block jobs: what has changed since one is known whatever images the disk goes on with.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { bareGuest, Shim } from '../../../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const KIB = 1024
const SIZE = 4096 * KIB
const PIVOT = 2
const ACTIVE_COMMIT = 4
const TRANSIENT_COPY = 4

const dir = t.testdir({})
const file = (name: string) => join(dir, name)
const qemuImg = (...args: string[]) => execFileSync('qemu-img', args, { encoding: 'utf8' })
qemuImg('create', '-q', '-f', 'qcow2', file('base'), String(SIZE))
qemuImg('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', file('base'), file('middle'))
qemuImg('create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', file('middle'), file('top'))
const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file('top')}'/>
  <target dev='vda' bus='virtio'/></disk>`
const shim = new Shim(bareGuest(`t-marks-${process.pid}`, disk))
let exited = shim.start()
t.teardown(() => shim.end())

const model = Buffer.alloc(SIZE)
let pattern = 0

const call = async (api: string, args: object = {}) => {
  const { status, body } = await shim.call(api, args)
  if (status !== 200) throw new Error(`${api}: ${body.codeName} ${body.message}`)
  return body
}

/** Writes as the guest would, KiB from the beginning. */
async function write(at: number, length: number): Promise<void> {
  const byte = ++pattern
  const line = `qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P ${byte} ${at}k ${length}k"`
  const args = { execute: 'human-monitor-command', arguments: { 'command-line': line } }
  const said = JSON.parse((await call('virDomainQemuMonitorCommand', { cmd: JSON.stringify(args) })).result).return
  if (said !== '') throw new Error(said)
  model.fill(byte, at * KIB, (at + length) * KIB)
}

const checkpoint = (name: string) => `<domaincheckpoint><name>${name}</name></domaincheckpoint>`
const push = (store: string, format: string, since = '') =>
  `<domainbackup>${since && `<incremental>${since}</incremental>`}<disks><disk name='vda' type='file'>
    <driver type='${format}'/><target file='${file(store)}'/></disk></disks></domainbackup>`

async function backUp(args: object): Promise<void> {
  await call('virDomainBackupBegin', args)
  while ((await call('virDomainGetJobInfo')).type !== 0) await sleep(20)
}

/** What the full copy is with all that has changed since. */
async function restored(name: string): Promise<Buffer> {
  await backUp({ backupXML: push(name, 'qcow2', 'c1') })
  qemuImg('rebase', '-u', '-F', 'raw', '-b', file('full'), file(name))
  qemuImg('convert', '-O', 'raw', file(name), file(`${name}.raw`))
  return readFileSync(file(`${name}.raw`))
}

async function restart(): Promise<void> {
  shim.child?.kill('SIGKILL')
  await exited
  exited = shim.run('bin/virshimd', ['--root', shim.root])
  await shim.untilState(RUNNING, 60_000)
}

/** Ends a job of the disk by going on with the other image, as soon as that is in step. */
async function pivot(): Promise<void> {
  for (const limit = Date.now() + 60_000; ; ) {
    const { status, body } = await shim.call('virDomainBlockJobAbort', { disk: 'vda', flags: PIVOT })
    if (status === 200) return
    if (body.codeName !== 'VIR_ERR_BLOCK_COPY_ACTIVE' || Date.now() > limit) throw new Error(body.message)
    await sleep(20)
  }
}

const sizeOf = async (name: string) => {
  const { xml } = await call('virDomainCheckpointGetXMLDesc', { checkpoint: { name }, flags: 6 })
  return Number(/ size='(\d+)'/.exec(xml)?.[1])
}

t.before(() => shim.untilState(RUNNING, 60_000))

t.test('an active commit', async t => {
  await write(0, 1024)
  await backUp({ backupXML: push('full', 'raw'), checkpointXML: checkpoint('c1') })
  await write(512, 128)
  t.equal(await sizeOf('c1'), 128 * KIB)
  await call('virDomainBlockCommit', { disk: 'vda', flags: ACTIVE_COMMIT })
  await write(2048, 64)
  await pivot()
  await write(3000, 10)
  t.ok((await sizeOf('c1')) >= 202 * KIB, 'all writes are known')
  t.ok((await restored('committed')).equals(model))
})

t.test('a copy', async t => {
  const destxml = `<disk type='file'><driver type='qcow2'/><source file='${file('copy')}'/></disk>`
  await call('virDomainBlockCopy', { disk: 'vda', destxml, params: {}, flags: TRANSIENT_COPY })
  await write(100, 20)
  await restart()
  await pivot()
  await write(3900, 30)
  t.ok((await sizeOf('c1')) < SIZE / 2, 'no more is known to have changed than has')
  t.ok((await restored('copied')).equals(model))
  await call('virDomainCheckpointDelete', { checkpoint: { name: 'c1' }, flags: 0 })
})

t.test('a disk that is backed up has a job', async t => {
  const backupXML = `<domainbackup mode='pull'><server transport='unix' socket='${file('nbd')}'/></domainbackup>`
  await call('virDomainBackupBegin', { backupXML })
  t.match(await call('virDomainGetBlockJobInfo', { disk: 'vda', flags: 0 }), { found: 1, type: 5 })
  const { body } = await shim.call('virDomainBlockPull', { disk: 'vda' })
  t.match(body, { codeName: 'VIR_ERR_OPERATION_UNSUPPORTED', message: /disk 'vda' already in active block job/ })
  await call('virDomainAbortJob')
})
