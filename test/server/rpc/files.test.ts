// Descriptors to clients and from clients, by libvirt-python and as bytes, on a shim and through the aggregator: screens
// greet over them, and whoever sends something else than announced harms nobody.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { bareGuest, Shim } from '../../helper/shim.ts'

t.setTimeout(300_000)

const RUNNING = 1
const VIR_ERR_INTERNAL_ERROR = 1
const VIR_ERR_INVALID_ARG = 8
const VIR_ERR_OPERATION_DENIED = 29
const VIR_ERR_ARGUMENT_UNSUPPORTED = 74
const VIR_FROM_QEMU = 10
const VIR_FROM_DOMAIN = 20
const NAME = `t-files-${process.pid}`
const SETTLED_LIMIT_MS = 60_000

const shim = new Shim(
  bareGuest(NAME, "<graphics type='vnc' port='-1' passwd='secret'/><video><model type='vga'/></video>")
)
t.teardown(() => shim.end())
const exited = shim.start()
await shim.untilState(RUNNING)
const { uuid, pids } = (await shim.call('report')).body
const aggregator = new AggregatorRun()
t.teardown(() => aggregator.end())
await aggregator.start('--watch', join(shim.root, 'api.sock'))
await aggregator.untilSo('the guest is found', async () => (await aggregator.entry(NAME)) !== undefined)

const roots = { 'a shim': [shim.root, pids.shim], 'the aggregator': [aggregator.root, aggregator.child!.pid!] } as const

// biome-ignore lint/suspicious/noExplicitAny: outcomes of any shape
async function outcomes(program: string, ...args: string[]): Promise<any> {
  const { stdout } = await promisify(execFile)('/usr/bin/python3', [`test/helper/${program}`, ...args])
  return JSON.parse(stdout)
}

const filesOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length
const childrenOf = (pid: number) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')

/** Waits until it is so; says so. */
async function settles(t: Test, what: string, isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + SETTLED_LIMIT_MS; !isSo() && Date.now() < deadline; ) await sleep(50)
  t.ok(isSo(), what)
}

for (const [where, [root, pid]] of Object.entries(roots)) {
  t.test(`libvirt-python's screens on ${where}`, async t => {
    const uri = `qemu+unix:///system?socket=${join(root, 'libvirt-sock')}`
    const found = await outcomes('open-graphics.py', uri, NAME)
    const version = 'RFB 003.008'
    t.match(found, {
      fd: [version, [2]],
      'fd, no password asked': [version, [1]],
      given: [version, [2]],
      'given, no password asked': [version, [1]],
      'no such screen': [VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU, /No graphics backend with index 7/],
      flags: [VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, /unsupported flags/],
      'no socket': [VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN, /must be a socket/],
      reader: [VIR_ERR_OPERATION_DENIED, VIR_FROM_DOMAIN, /read only access/],
      many: Array.from({ length: 5 }, () => version),
      'after that': RUNNING
    })
  })

  t.test(`right and wrong calls with descriptors on ${where}`, async t => {
    const [files, children] = [filesOf(pid), childrenOf(pid)]
    const found = await outcomes('file-calls.py', join(root, 'libvirt-sock'), NAME, uuid)
    const noFile = [VIR_ERR_INTERNAL_ERROR, 'internal error: No FD available at slot 0']
    t.match(found, {
      'no file at all': [noFile, true],
      'none announced': [noFile, true],
      'no socket': [[VIR_ERR_INVALID_ARG, 'fd 0 must be a socket'], true],
      'read ahead': [true, [true, true], [true, true]],
      'in pieces': [0, 0, true],
      'taken by no call': [0, true, true],
      'before open': [[VIR_ERR_INTERNAL_ERROR, /connection not open/], true, 0],
      reader: [[VIR_ERR_OPERATION_DENIED, /virDomainOpenGraphics/], true, true],
      'too many': true,
      'no count': true,
      'byte without file': true,
      'two with a byte': [true, true],
      'closed in the middle': true,
      flood: [400, 20]
    })
    await settles(t, 'no process of them is left', () => childrenOf(pid) === children)
    await settles(t, 'no descriptor of them is left', () => filesOf(pid) <= files + 2)
  })
}

t.test('clients who keep both waiting for their descriptors', async t => {
  const late = ([root]: (typeof roots)[keyof typeof roots]) =>
    outcomes('file-calls.py', join(root, 'libvirt-sock'), NAME, uuid, 'late')
  const found = await Promise.all(Object.values(roots).map(late))
  for (const [i, where] of Object.keys(roots).entries())
    t.same(found[i], { silent: [true, true, true, [0], true] }, where)
})

t.test('HTTP has the screen as a WebSocket', async t => {
  for (const [socket, guest] of [
    [join(shim.root, 'api.sock'), ''],
    [aggregator.socket, `domains/${NAME}/`]
  ] as const) {
    const screen = new WebSocket(`ws+unix://${socket}:/v1/${guest}virDomainOpenGraphicsFD?idx=0`)
    const [greeting] = await once(screen, 'message')
    t.equal(String(greeting), 'RFB 003.008\n')
    screen.close()
  }
})

t.test('HTTP brings no descriptors', async t => {
  for (const { status, body } of [
    await shim.call('virDomainOpenGraphics', { idx: 0 }),
    await aggregator.call(`domains/${NAME}/virDomainOpenGraphics`, { idx: 0 })
  ]) {
    t.match(body, { code: VIR_ERR_ARGUMENT_UNSUPPORTED, message: /fd passing is not supported by this connection/ })
    t.equal(status, 501)
  }
})

t.test('after all that the guest is the same, and ends in order', async t => {
  const after = (await shim.call('report')).body
  t.same([after.pids, after.uuid, after.state], [pids, uuid, RUNNING])
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})
