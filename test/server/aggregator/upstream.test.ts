// Packets that the aggregator passes on: shims that die, hang and come back, clients that do not read, streams that end.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fieldsOf, writeFields } from '../../../src/server/rpc/codec.ts'
import { MessageStatus, MessageType, makeFrame, makeRawFrame, payloadOf } from '../../../src/server/rpc/frame.ts'
import { STRUCTURES } from '../../../src/server/rpc/remote-protocol.ts'
import type { XdrWriter } from '../../../src/server/rpc/xdr.ts'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { echoDisk } from '../../helper/echo-disk.ts'
import { callHeader, errorOf, RpcPeer, resultOf } from '../../helper/rpc.ts'
import { bareGuest } from '../../helper/shim.ts'

t.setTimeout(200_000)

const RUNNING = 1
const PAUSED = 3
const MiB = 1024 * 1024
const GET_XML = 14
const GET_STATE = 212
const OPEN_CONSOLE = 201
const RESUME = 28
const SUSPEND = 34
const VIR_ERR_NO_DOMAIN = 42
const NAMES = ['t-up-a', 't-up-b'] as const
type Name = (typeof NAMES)[number]

const aggregator = new AggregatorRun()
t.teardown(() => aggregator.end())
await aggregator.start()
const path = join(aggregator.root, 'libvirt-sock')

const doms = {} as Record<Name, { name: string; uuid: string; id: number }>
for (const name of NAMES) {
  const image = join(aggregator.dir, `${name}.img`)
  mkdirSync(aggregator.dir, { recursive: true })
  writeFileSync(image, echoDisk())
  const disk = `<disk type='file'><driver name='qemu' type='raw'/><source file='${image}'/><target dev='hda' bus='ide'/></disk>`
  const made = await aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest(name, disk), flags: 0 })
  doms[name] = made.body.dom
}
const [A, B] = NAMES

const on =
  (name: Name, ...words: number[]) =>
  (to: XdrWriter) => {
    writeFields(fieldsOf(STRUCTURES.dom!), doms[name], to)
    for (const word of words) to.uint(word)
  }
const stateOf = async (peer: RpcPeer, name: Name) => resultOf(await peer.call(GET_STATE, on(name, 0))).state
const shimOf = async (name: Name): Promise<number> => (await aggregator.entry(name)).pids.shim

t.test('calls of one client on several guests, all at once', async t => {
  const peer = await new RpcPeer(path).open()
  for (let serial = 100; serial < 500; serial++) {
    peer.socket.write(makeFrame(callHeader(GET_XML, serial), on(serial % 2 ? A : B, 0)))
  }
  let right = 0
  for (let serial = 100; serial < 500; serial++) {
    const reply = await peer.next(frame => frame.serial === serial)
    if (String(resultOf(reply).xml).includes(`<name>${serial % 2 ? A : B}</name>`)) right++
  }
  t.equal(right, 400, 'each reply is of its guest')
  for (let i = 0; i < 20; i++) peer.socket.write(makeFrame(callHeader(GET_STATE, 7), on(A, 0)))
  for (let i = 0; i < 20; i++) await peer.next(({ serial }) => serial === 7)
  t.pass('one serial for many calls: each is answered')
  peer.end()
})

t.test('what is no guest, and what is cut short', async t => {
  const peer = await new RpcPeer(path).open()
  const nobody = { name: 'nobody', uuid: '00000000-0000-0000-0000-000000000001', id: -1 }
  const reply = await peer.call(GET_STATE, to => writeFields(fieldsOf(STRUCTURES.dom!), nobody, to))
  t.match(errorOf(reply), { code: VIR_ERR_NO_DOMAIN, message: /no domain with matching uuid '0{8}-.*\(nobody\)/ })
  t.match(errorOf(await peer.call(GET_STATE, to => to.uint(0x7fffffff))), { message: /Unable to decode/ })
  t.match(errorOf(await peer.call(GET_STATE, on(A))), { message: /Unable to decode/ }, 'a shim reads the rest')
  t.equal(await stateOf(peer, A), RUNNING)
  peer.end()
})

t.test('a console, both ways, and its end', async t => {
  const peer = await new RpcPeer(path).open()
  const opened = await peer.call(OPEN_CONSOLE, on(A, 0, 0))
  t.equal(opened.status, MessageStatus.OK)
  const packet = { ...callHeader(OPEN_CONSOLE, opened.serial), type: MessageType.STREAM }
  let heard = ''
  while (!heard.includes('hello')) {
    for (const part of makeRawFrame({ ...packet, status: MessageStatus.CONTINUE }, Buffer.from('hello\r'))) {
      peer.socket.write(part)
    }
    const frame = await peer.next(({ type }) => type === MessageType.STREAM)
    heard += payloadOf(frame).toString('latin1')
  }
  t.pass('the guest answers')
  peer.socket.write(makeFrame({ ...packet, status: MessageStatus.OK }))
  const end = await peer.next(({ type, status }) => type === MessageType.STREAM && status === MessageStatus.OK)
  t.equal(end.serial, opened.serial, 'its end is confirmed')
  peer.end()
})

t.test('a shim that hangs holds up its own guest only', async t => {
  const peer = await new RpcPeer(path).open()
  t.equal(await stateOf(peer, A), RUNNING)
  const pid = await shimOf(A)
  process.kill(pid, 'SIGSTOP')
  const late = stateOf(peer, A)
  for (let i = 0; i < 5; i++) t.equal(await stateOf(peer, B), RUNNING)
  process.kill(pid, 'SIGCONT')
  t.equal(await late, RUNNING, 'and answers when it goes on')
  peer.end()
})

t.test('a shim that dies ends its streams and calls; the next one is found', async t => {
  const peer = await new RpcPeer(path).open()
  const opened = await peer.call(OPEN_CONSOLE, on(A, 0, 0))
  const pid = await shimOf(A)
  process.kill(pid, 'SIGSTOP')
  const pending = peer.call(GET_XML, on(A, 0))
  // the call is on its way once another one has been answered
  await stateOf(peer, B)
  process.kill(pid, 'SIGKILL')
  const ended = await peer.next(({ type, status }) => type === MessageType.STREAM && status === MessageStatus.ERROR)
  t.equal(ended.serial, opened.serial)
  t.match(errorOf(ended), { message: new RegExp(`connection to the daemon of domain '${A}'`) }, 'the stream')
  t.match(errorOf(await pending), { message: new RegExp(`connection to the daemon of domain '${A}'`) }, 'the call')
  t.equal(await stateOf(peer, B), RUNNING, 'the other guest does not notice')
  await aggregator.until(A, entry => entry?.pids.shim > 0 && entry.pids.shim !== pid && !entry.unreachableSince)
  t.equal(await stateOf(peer, A), RUNNING, 'the same connection reaches the shim that took over')
  peer.end()
})

t.test('a client that asks and does not read takes no memory', async t => {
  const rss = () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${aggregator.child!.pid}/status`, 'utf8'))![1])
  const before = rss()
  const peer = await new RpcPeer(path).open()
  peer.socket.pause()
  for (let serial = 0; serial < 20_000; serial++) {
    peer.socket.write(makeFrame(callHeader(GET_XML, serial), on(serial % 2 ? A : B, 0)))
  }
  const other = await new RpcPeer(path).open()
  for (let i = 0; i < 20; i++) {
    await other.call(SUSPEND, on(B))
    t.equal(await stateOf(other, B), PAUSED)
    await other.call(RESUME, on(B))
  }
  const grown = Math.round(((rss() - before) * 1024) / MiB)
  t.ok(grown < 100, `${grown} MiB more`)
  peer.socket.resume()
  for (let serial = 0; serial < 20_000; serial += 999) await peer.next(frame => frame.serial === serial)
  t.pass('and has all its answers when it reads')
  peer.end()
  other.end()
})

t.test('a client that goes away leaves no connection', async t => {
  const connections = () =>
    readFileSync('/proc/net/unix', 'utf8').split(join(aggregator.guest(A), 'libvirt-sock')).length
  const before = connections()
  for (let i = 0; i < 20; i++) {
    const peer = await new RpcPeer(path).open()
    await peer.call(OPEN_CONSOLE, on(A, 0, 0))
    peer.end()
  }
  await new Promise(resolve => setTimeout(resolve, 500))
  t.ok(connections() <= before + 1, `${before} before, ${connections()} after`)
  t.equal(spawnSync('virsh', ['-c', `qemu+unix:///system?socket=${path}`, 'domstate', A]).status, 0)
})
