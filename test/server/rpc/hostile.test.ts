// Clients that are broken, hostile or slow: the shim stays up, its memory bounded, others served, the guest untouched.
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { fieldsOf, layoutOf, writeFields } from '../../../src/server/rpc/codec.ts'
import { type Header, makeFrame } from '../../../src/server/rpc/frame.ts'
import { REMOTE_CALLS, STRUCTURES } from '../../../src/server/rpc/remote-protocol.ts'
import type { XdrWriter } from '../../../src/server/rpc/xdr.ts'
import { callHeader, errorOf, RpcPeer, resultOf } from '../../helper/rpc.ts'
import { bareGuest, Shim } from '../../helper/shim.ts'
import { arbitraryFields } from '../../helper/wire.ts'

t.setTimeout(240_000)

const SEED = 2494
const RUNNING = 1
const MiB = 1024 * 1024
const GET_LIB_VERSION = 157
const GET_XML = 14
const GET_STATE = 212
const LOOKUP_BY_NAME = 23
const OPEN_CONSOLE = 201
const SUSPEND = 34
const REPLY_ERROR = 1
/** where a packet names its procedure */
const PROCEDURE_AT = 12
/** Calls that change this host, which may be somebody's: devices, sleep, KSM, pools of pages. */
const ON_THE_HOST = new Set([118, 119, 120, 250, 288, 301, 347])
const VIR_ERR_INVALID_ARG = 8
const VIR_ERR_OPERATION_DENIED = 29
const VIR_ERR_RPC = 39

const shim = new Shim(bareGuest('t-hostile'))
t.teardown(() => shim.end())
const exited = shim.start()
await shim.untilState(RUNNING)
const { pids, uuid, id } = (await shim.call('report')).body
const path = (readOnly = false) => join(shim.root, readOnly ? 'libvirt-sock-ro' : 'libvirt-sock')
const dom = (to: XdrWriter) => writeFields(fieldsOf(STRUCTURES.dom!), { name: 't-hostile', uuid, id }, to)

const rssBytes = () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pids.shim}/status`, 'utf8'))![1]) * 1024

/** A client that does nothing wrong gets its answer. */
async function othersAreServed(t: { equal(a: unknown, b: unknown, name: string): void }, name: string): Promise<void> {
  const peer = await new RpcPeer(path()).open()
  const reply = await peer.call(GET_STATE, to => {
    dom(to)
    to.uint(0)
  })
  t.equal(resultOf(reply).state, RUNNING, `others are served and the guest runs: ${name}`)
  peer.end()
}

t.test('packets of impossible length close the connection', async t => {
  for (const length of [0, 3, 27, 32 * MiB + 5, 0x7fffffff, 0xffffffff]) {
    const peer = new RpcPeer(path())
    const bytes = Buffer.alloc(64)
    bytes.writeUInt32BE(length)
    peer.socket.write(bytes)
    await peer.closed
    t.pass(`${length} bytes`)
  }
  await othersAreServed(t, 'impossible length')
})

t.test('packets that never end hold up nobody', async t => {
  const peers = Array.from({ length: 20 }, () => new RpcPeer(path()))
  for (const [i, peer] of peers.entries()) {
    peer.socket.write(makeFrame(callHeader(GET_LIB_VERSION, 1)).subarray(0, i + 1))
  }
  await othersAreServed(t, 'truncated packets')
  for (const peer of peers) peer.end()
  const announced = new RpcPeer(path())
  const head = Buffer.alloc(4)
  head.writeUInt32BE(32 * MiB)
  announced.socket.write(head)
  await sleep(50)
  t.ok(rssBytes() < 200 * MiB, 'a length alone takes no memory')
  announced.end()
})

t.test('wrong headers get an error and the connection goes on', async t => {
  const peer = await new RpcPeer(path()).open()
  const cases: [name: string, procedure: number, header: Partial<Header>, message: RegExp][] = [
    ['program', GET_LIB_VERSION, { program: 1 }, /Cannot find program 1 version 1/],
    ['version', GET_LIB_VERSION, { version: 9 }, /version mismatch \(actual 9, expected 1\)/],
    ['procedure', 9999, {}, /unknown procedure: 9999/],
    ['negative procedure', -1, {}, /unknown procedure: -1/],
    ['an event as a call', 318, {}, /unknown procedure: 318/],
    ['status', GET_LIB_VERSION, { status: 2 }, /Unexpected message status 2/],
    ['arguments cut off', LOOKUP_BY_NAME, {}, /Unable to decode message payload/]
  ]
  for (const [name, procedure, header, message] of cases) {
    const reply = await peer.call(procedure, undefined, header)
    const error = errorOf(reply)
    t.match({ status: reply.status, ...error }, { status: REPLY_ERROR, code: VIR_ERR_RPC, message }, name)
  }
  for (const type of [1, 2, 3, 6, 77, -1]) peer.socket.write(makeFrame(callHeader(GET_LIB_VERSION, 1, { type })))
  t.equal((await peer.call(GET_LIB_VERSION)).status, 0, 'messages of other types are passed over')
  peer.end()
})

t.test('a call before the connection was opened', async t => {
  const peer = new RpcPeer(path())
  const reply = await peer.call(GET_LIB_VERSION)
  t.match(errorOf(reply), { code: 1, message: /connection not open/ })
  peer.end()
})

t.test('one serial for many calls: each is answered', async t => {
  const peer = await new RpcPeer(path()).open()
  for (let i = 0; i < 50; i++) peer.socket.write(makeFrame(callHeader(GET_LIB_VERSION, 7)))
  for (let i = 0; i < 50; i++) await peer.next(({ serial }) => serial === 7)
  t.pass('50 answers')
  peer.end()
})

t.test('sizes below zero and beyond all limits', async t => {
  const peer = await new RpcPeer(path()).open()
  const refused = async (name: string, procedure: number, code: number, write: (to: XdrWriter) => void) =>
    t.match(errorOf(await peer.call(procedure, write)), { code }, name)
  await refused('maxids', 37, VIR_ERR_INVALID_ARG, to => to.int(-1))
  await refused('maxnames', 21, VIR_ERR_INVALID_ARG, to => to.int(-(2 ** 31)))
  await refused('maxinfo', 20, VIR_ERR_INVALID_ARG, to => {
    dom(to)
    to.int(-1)
    to.int(-1)
  })
  await refused('nparams', 243, VIR_ERR_INVALID_ARG, to => {
    dom(to)
    to.string('vda')
    to.int(-5)
    to.uint(0)
  })
  for (const length of [17, 0x7fffffff, 0xffffffff]) {
    await refused(`${length} keycodes`, 226, VIR_ERR_RPC, to => {
      dom(to)
      to.uint(0)
      to.uint(0)
      to.uint(length)
    })
  }
  await refused('a name of 2 GiB', LOOKUP_BY_NAME, VIR_ERR_RPC, to => to.uint(0x7fffffff))
  peer.end()
})

t.test('maps of CPUs are as large as a reply can be, and no larger', async t => {
  const peer = await new RpcPeer(path(true)).open()
  const vcpus = (maxinfo: number, maplen: number) =>
    peer.call(20, to => {
      dom(to)
      to.int(maxinfo)
      to.int(maplen)
    })
  const before = rssBytes()
  for (const [maxinfo, maplen] of [
    [1, 0x7fffffff],
    [1, 500_000_000],
    [16384, 513]
  ] as const) {
    const error = { code: 1, message: /maxinfo \* maplen > REMOTE_CPUMAPS_MAX/ }
    t.match(errorOf(await vcpus(maxinfo, maplen)), error, `${maxinfo} * ${maplen}`)
  }
  t.match(errorOf(await vcpus(16385, 1)), { code: 1, message: /maxinfo > REMOTE_VCPUINFO_MAX/ })
  t.ok(rssBytes() - before < 64 * MiB)
  t.equal((await vcpus(1, 8 * MiB)).status, 0)
  peer.end()
})

t.test('a read-only socket refuses every call that changes, before it looks at what came', async t => {
  const peer = await new RpcPeer(path(true)).open()
  const xml = `<domain type='qemu'>${'<a>'.repeat(1_000_000)}`
  for (const [name, procedure] of [
    ['virDomainDefineXML', 11],
    ['virDomainCreateXML', 10],
    ['virConnectDomainXMLToNative', 136]
  ] as const) {
    const began = Date.now()
    const reply = await peer.call(procedure, to => {
      if (procedure === 136) to.string('qemu-argv')
      to.string(xml)
      to.uint(0)
    })
    t.match(errorOf(reply), { code: VIR_ERR_OPERATION_DENIED, message: new RegExp(name) })
    t.ok(Date.now() - began < 2000, 'at once')
  }
  const suspended = await peer.call(SUSPEND, dom)
  t.match(errorOf(suspended), { code: VIR_ERR_OPERATION_DENIED })
  peer.end()
  await othersAreServed(t, 'large XML on the read-only socket')
})

/** A connection that stands; the kernel refuses more than it can queue while the shim is busy. */
async function connected(): Promise<Socket> {
  for (;;) {
    const socket = connect(path())
    const stands = await new Promise(resolve => socket.once('connect', () => resolve(true)).once('error', resolve))
    if (stands === true) return socket.on('error', () => undefined)
    await sleep(10)
  }
}

t.test('a thousand connections', async t => {
  const sockets = await Promise.all(Array.from({ length: 1000 }, connected))
  await othersAreServed(t, 'a thousand connections')
  for (const socket of sockets) socket.destroy()
  t.ok(rssBytes() < 250 * MiB, `${Math.round(rssBytes() / MiB)} MiB`)
})

t.test('a client that asks and does not read', async t => {
  const peer = await new RpcPeer(path()).open()
  peer.socket.pause()
  const ask = makeFrame(callHeader(GET_XML, 5), to => {
    dom(to)
    to.uint(0)
  })
  for (let i = 0; i < 20_000; i++) peer.socket.write(ask)
  await sleep(300)
  await othersAreServed(t, 'a slow reader')
  t.ok(rssBytes() < 250 * MiB, `${Math.round(rssBytes() / MiB)} MiB`)
  peer.end()
})

t.test('a client that dies while its console stream is open', async t => {
  for (let i = 0; i < 20; i++) {
    const peer = await new RpcPeer(path()).open()
    const reply = await peer.call(OPEN_CONSOLE, to => {
      dom(to)
      to.uint(0)
      to.uint(0)
    })
    t.equal(reply.status, 0)
    peer.socket.write(makeFrame(callHeader(OPEN_CONSOLE, reply.serial, { type: 3, status: 2 })))
    peer.end()
  }
  await othersAreServed(t, 'dead streams')
})

t.test('100,000 damaged messages', async t => {
  const MESSAGES = 100_000
  const random = fc.sample(fc.infiniteStream(fc.nat({ max: 255 })), { seed: SEED, numRuns: 1 })[0]!
  const draw = () => random.next().value as number
  const calls = Object.entries(REMOTE_CALLS)
    .filter(([number]) => !ON_THE_HOST.has(Number(number)))
    .map(([number, notation]) => {
      const { args } = layoutOf(notation)
      const before = notation.split(/ > | >$/)[0]!
      const names = before.includes(' ') ? before.slice(before.indexOf(' ') + 1) : ''
      const values = fc.sample(arbitraryFields(names), { seed: SEED, numRuns: 8 })
      return values.map(value => makeFrame(callHeader(Number(number), 1), to => writeFields(args, value, to)))
    })
  const peers = await Promise.all([path(), path(true), path(), path(true)].map(at => new RpcPeer(at).open()))
  for (let sent = 0; sent < MESSAGES; sent++) {
    const variants = calls[(draw() * 256 + draw()) % calls.length]!
    const bytes = Buffer.from(variants[draw() % variants.length]!)
    // what lies behind the length word may be anything; the length stays right so that the next one is found
    for (let damage = draw() % 6; damage > 0; damage--) {
      const at = 12 + ((draw() * 256 + draw()) % (bytes.length - 12))
      bytes[at] = draw()
    }
    if (ON_THE_HOST.has(bytes.readUInt32BE(PROCEDURE_AT))) continue
    const peer = peers[sent % peers.length]!
    if (peer.socket.destroyed) peers[sent % peers.length] = await new RpcPeer(path(sent % 2 === 1)).open()
    else if (!peer.socket.write(bytes)) {
      await Promise.race([new Promise(resolve => peer.socket.once('drain', resolve)), peer.closed])
    }
    peer.frames.length = 0
  }
  await othersAreServed(t, '100,000 damaged messages')
  for (const peer of peers) peer.end()
  t.ok(rssBytes() < 300 * MiB, `${Math.round(rssBytes() / MiB)} MiB`)
})

t.test('after all that the guest is the same, and ends in order', async t => {
  const after = (await shim.call('report')).body
  t.same([after.pids, after.uuid, after.state], [pids, uuid, RUNNING])
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})
