// The whole API table, misused in every way there is: HTTP and RPC give the same error, a shim and the aggregator do, and
// where a call can harm nobody libvirtd does, too.
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { API_FACTS } from '../../src/conf/api-list.ts'
import { fieldsFromJson, type WireFields } from '../../src/conf/wire.ts'
import { isTwoWay } from '../../src/drivers/method.ts'
import { type Api, api, findMethod } from '../../src/drivers/qemu/index.ts'
import { type Values, writeFields } from '../../src/server/rpc/codec.ts'
import { exceptions } from '../../src/server/rpc/exceptions.ts'
import { MessageStatus, QEMU_PROGRAM, REMOTE_PROGRAM } from '../../src/server/rpc/frame.ts'
import { findProcedure, type Procedure } from '../../src/server/rpc/procedures.ts'
import type { XdrWriter } from '../../src/server/rpc/xdr.ts'
import { AggregatorRun } from '../helper/aggregator.ts'
import { Daemons } from '../helper/libvirtd.ts'
import { argumentsOf, errorOf, NOBODY, RpcPeer, SOME } from '../helper/rpc.ts'
import { type Answer, bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const NAME = 't-call-path'
const SHUTOFF = 5
const VIR_ERR_INVALID_ARG = 8
const VIR_ERR_OPERATION_DENIED = 29
const VIR_ERR_RPC = 39
const VIR_ERR_NO_DOMAIN = 42
const VIR_ERR_OPERATION_INVALID = 55
const VIR_FROM_RPC = 7
const VIR_FROM_QEMU = 10
/** libvirtd looks at these before it asks who calls: file descriptors, and what its own library has refused already. */
const NOT_AT_LIBVIRTD = new Set([
  'virDomainFDAssociate',
  'virDomainOpenGraphics',
  'virConnectDomainQemuMonitorEventDeregister',
  // libvirt 11.3 forgets to ask
  'virDomainDelThrottleGroup',
  // or has no such call yet
  'virDomainAnnounceInterface'
])
/** VIR_TYPED_PARAM_STRING_OKAY, which is the protocol's and no API's */
const STRING_OKAY = 4

const shim = new Shim(bareGuest(NAME))
t.teardown(() => shim.end())
void shim.start('--define', '--inactive', '--linger')
await shim.untilState(SHUTOFF)
const { name, uuid, id } = (await shim.call('report')).body
const GUEST = { name, uuid, id }

const dir = mkdtempSync(join(tmpdir(), 'virshim-call-path-'))
const daemons = new Daemons(dir)
t.teardown(() => {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})

/** What an error says; undefined where there was none. */
interface Fault {
  code: number
  domain: number
  message?: string
}

/** The procedure of an API that is answered under its own name, undefined where there is none. */
function procedureOf(api: string): Procedure | undefined {
  const { proc, program } = API_FACTS[api]!
  const procedure = proc === undefined ? undefined : findProcedure(program ? QEMU_PROGRAM : REMOTE_PROGRAM, proc)
  return procedure?.api === api ? procedure : undefined
}

async function byRpc(peer: RpcPeer, { api }: Procedure, write: (to: XdrWriter) => void): Promise<Fault | undefined> {
  const { proc, program } = API_FACTS[api]!
  const reply = await peer.call(proc!, write, program && { program: QEMU_PROGRAM })
  return reply.status === MessageStatus.ERROR ? errorOf(reply) : undefined
}

/** The arguments of the API among those of its procedure, as JSON has them. */
function asJson(row: Api | undefined, values: Values): Values {
  const procedure = row && procedureOf(row.name)
  // bytes that are a list in JSON, and what has another name on the wire
  const own = (procedure && exceptions[procedure.name]?.args?.(values)) ?? {}
  const inJson = (name: string) => (values[name] instanceof Uint8Array || !(name in values) ? own[name] : values[name])
  const known = Object.keys(row?.args ?? {}).map(name => [name, inJson(name)] as const)
  return Object.fromEntries(
    known
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value])
  )
}

/** A call over HTTP, or the request for its stream. */
async function byHttp(name: string, row: Api | undefined, json: Values): Promise<Fault | undefined> {
  if (!row || !isTwoWay(row)) return faultOf(await shim.call(name, json))
  const query = Object.entries(json).map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`)
  const headers = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
  const socket = connect(join(shim.root, 'api.sock'))
  socket.end(`GET /v1/${name}?${query.join('&')} HTTP/1.1\r\nHost: shim\r\n${headers.join('\r\n')}\r\n\r\n`)
  let answer = ''
  for await (const chunk of socket) answer += chunk
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
}

const faultOf = ({ status, body }: Answer): Fault | undefined => (status < 400 ? undefined : body)

/** What programs go by. */
const told = (fault: Fault | undefined) => fault && [fault.code, fault.domain]

/** Rows that both protocols have, with arguments by which they would be refused. */
const rows = (Object.entries(api) as [string, Api][]).flatMap(([name, row]) => {
  const procedure = procedureOf(name)
  const isBoth = procedure && row.stream !== 'upload' && !exceptions[procedure.name]?.run
  return isBoth ? [{ name, row, procedure }] : []
})

/** Refused before anything is done. */
function isRefused(row: Api, values: Values): boolean {
  try {
    const args = fieldsFromJson(asJson(row, values), row.args as WireFields, row.name)
    row.check?.(args)
    return false
  } catch {
    return true
  }
}

/** The same call by both protocols. */
async function both(
  t: Test,
  peer: RpcPeer,
  { name, row, procedure }: (typeof rows)[number],
  values: Values,
  why: string
) {
  const rpc = await byRpc(peer, procedure, to => writeFields(procedure.args, values, to))
  const http = await byHttp(name, row, asJson(row, values))
  t.ok(rpc, `${name} is refused: ${why}`)
  t.same(told(http), told(rpc), `${name}: ${why}: ${rpc?.message}`)
  return rpc
}

t.test('what a read-only connection may not call', async t => {
  await daemons.ensure(2000)
  const aggregator = new AggregatorRun()
  t.teardown(() => aggregator.end())
  await aggregator.start('--idle-timeout', '1')
  await aggregator.call('virDomainDefineXML', { xml: bareGuest('t-call-path-central') })
  const central = (await aggregator.call('virDomainLookupByName', { name: 't-call-path-central' })).body.dom
  await aggregator.until('t-call-path-central', entry => entry?.pids.shim === null)
  const libvirtd = new RpcPeer('/run/libvirt/libvirt-sock-ro')
  // it lets root in once it has been asked how to authenticate
  await libvirtd.call(66)
  await libvirtd.open()
  const peer = await new RpcPeer(join(shim.root, 'libvirt-sock-ro')).open()
  const forwarded = await new RpcPeer(join(aggregator.root, 'libvirt-sock-ro')).open()
  let count = 0
  for (const [name, { readOnly }] of Object.entries(API_FACTS)) {
    const procedure = procedureOf(name)
    if (readOnly || !procedure) continue
    const write = (guest: object) => (to: XdrWriter) =>
      writeFields(procedure.args, argumentsOf(procedure, guest, SOME), to)
    const rpc = await byRpc(peer, procedure, write(GUEST))
    const expected = NOT_AT_LIBVIRTD.has(name) ? rpc : await byRpc(libvirtd, procedure, write(NOBODY))
    t.equal(expected?.code, VIR_ERR_OPERATION_DENIED, `${name}: ${expected?.message}`)
    const guests = procedure.onGuest ? `domains/${central.uuid}/` : ''
    const answers = {
      rpc,
      http: faultOf(await shim.call(name, {}, 'api-ro.sock')),
      'rpc, forwarded': await byRpc(forwarded, procedure, write(central)),
      'http, forwarded': faultOf(await aggregator.call(`${guests}${name}`, {}, 'api-ro.sock'))
    }
    for (const [way, fault] of Object.entries(answers)) {
      t.same(told(fault), told(expected), `${name}, ${way}`)
      t.equal(fault?.message, expected?.message)
    }
    count++
  }
  t.ok(count > 100, `${count} APIs`)
  const woken = await aggregator.call('guests', undefined)
  t.equal(woken.body.guests[0].pids.shim, null, 'no shim was started for what was refused')
  for (const one of [libvirtd, peer, forwarded]) one.end()
})

t.test('arguments by which a call that reads becomes one of writers', async t => {
  const peer = await new RpcPeer(join(shim.root, 'libvirt-sock-ro')).open()
  for (const [name, flags] of [
    ['virDomainGetXMLDesc', 1],
    ['virDomainGetXMLDesc', 8],
    ['virDomainGetVcpusFlags', 8]
  ] as const) {
    const procedure = procedureOf(name)!
    const values = { ...argumentsOf(procedure, GUEST), flags }
    const rpc = await byRpc(peer, procedure, to => writeFields(procedure.args, values, to))
    const http = faultOf(await shim.call(name, { flags }, 'api-ro.sock'))
    t.match(rpc, { code: VIR_ERR_OPERATION_DENIED, message: new RegExp(name) })
    t.same(told(http), told(rpc), name)
  }
  peer.end()
})

t.test('flags nobody knows', async t => {
  const peer = await new RpcPeer(join(shim.root, 'libvirt-sock')).open()
  let count = 0
  for (const one of rows) {
    const values = argumentsOf(one.procedure, GUEST)
    if (values.flags === undefined || !('flags' in one.row.args)) continue
    const bits = Array.from({ length: 31 }, (_, bit) => 2 ** (30 - bit)).filter(bit => bit !== STRING_OKAY)
    const flags = bits.find(bit =>
      isRefused({ ...one.row, check: undefined, args: { flags: one.row.args.flags! } } as Api, { flags: bit })
    )
    if (flags === undefined) continue
    const fault = await both(t, peer, one, { ...values, flags }, `flags ${flags}`)
    t.match(fault, { code: VIR_ERR_INVALID_ARG, message: /unsupported flags/ })
    count++
  }
  t.ok(count > 30, `${count} APIs`)
  peer.end()
})

t.test('arguments no API takes', async t => {
  const peer = await new RpcPeer(join(shim.root, 'libvirt-sock')).open()
  let count = 0
  for (const one of rows) {
    const values = argumentsOf(one.procedure, GUEST)
    for (const { name, type } of one.procedure.args) {
      if (!(name in one.row.args)) continue
      const bad: unknown[] = /^string\??$/.test(type) ? ['a\0b'] : type === 'int' ? [-7, 2 ** 31 - 1] : []
      if (type.startsWith('string<')) bad.push(['a\0b'])
      if (one.row.args[name]!.kind === 'params') bad.push({ 'no-such': { type: 'int', value: 1 } })
      for (const value of bad) {
        const changed = { ...values, [name]: value }
        const json = one.row.args[name]!.kind === 'params' ? { ...changed, [name]: { 'no-such': 1 } } : changed
        if (!isRefused(one.row, json)) continue
        const rpc = await byRpc(peer, one.procedure, to => writeFields(one.procedure.args, changed, to))
        const http = await byHttp(one.name, one.row, asJson(one.row, json))
        t.ok(rpc, `${one.name} is refused`)
        t.same(told(http), told(rpc), `${one.name}, ${name} ${JSON.stringify(value)}: ${rpc?.message}`)
        count++
      }
    }
  }
  t.ok(count > 15, `${count} calls`)
  peer.end()
})

t.test('what only one protocol can say wrong has that error everywhere', async t => {
  const peer = await new RpcPeer(join(shim.root, 'libvirt-sock')).open()
  for (const { name, row, procedure } of rows) {
    const extra = await shim.call(name, { 'no-such': 1 })
    t.match(extra, { status: 400, body: { code: VIR_ERR_INVALID_ARG } }, `${name} with an argument it has not`)
    for (const [argument, { optional }] of Object.entries(row.args)) {
      const json = { ...asJson(row, argumentsOf(procedure, GUEST)), [argument]: { not: ['of', 'this', 'type'] } }
      const illTyped = await shim.call(name, json)
      const code = row.args[argument]!.kind === 'params' ? undefined : VIR_ERR_INVALID_ARG
      t.match(illTyped, { body: code ? { code } : {} }, `${name}, ${argument} of another type`)
      t.ok(illTyped.status >= 400 && illTyped.status !== 500, `${name}, ${argument}: ${illTyped.status}`)
      if (!optional) {
        delete json[argument]
        t.match(
          await shim.call(name, json),
          { status: 400, body: { code: VIR_ERR_INVALID_ARG } },
          `${name} without ${argument}`
        )
      }
    }
    if (procedure.args.length === 0) continue
    const short = await byRpc(peer, procedure, () => undefined)
    t.same(told(short), [VIR_ERR_RPC, VIR_FROM_RPC], `${name}, cut short: ${short?.message}`)
  }
  peer.end()
})

t.test('a guest that is not there, and one that does not run', async t => {
  const peer = await new RpcPeer(join(shim.root, 'libvirt-sock')).open()
  let inactive = 0
  for (const { name, row, procedure } of rows.filter(({ row }) => row.on === 'domain')) {
    const gone = await byRpc(peer, procedure, to => writeFields(procedure.args, argumentsOf(procedure, NOBODY), to))
    const json = asJson(row, argumentsOf(procedure, NOBODY))
    const http = await byHttp(`domains/nobody/${name}`, row, json)
    t.same(told(http), told(gone), `${name} on nobody: ${gone?.message}`)
    if (isRefused(row, argumentsOf(procedure, GUEST))) continue
    t.same(told(gone), [VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU], name)
    if (row.needs !== 'active') continue
    const fault = await both(t, peer, { name, row, procedure }, argumentsOf(procedure, GUEST), 'it does not run')
    t.equal(fault?.code, VIR_ERR_OPERATION_INVALID, `${name}: ${fault?.message}`)
    inactive++
  }
  t.ok(inactive > 20, `${inactive} APIs need a running guest`)
  peer.end()
})

t.test('what is not there', async t => {
  const peer = await new RpcPeer(join(shim.root, 'libvirt-sock')).open()
  const unknown = await peer.call(9999)
  t.same(told(faultOf(await shim.call('virDomainNope', {}))), told(errorOf(unknown)), 'nor in libvirt')
  const missing = Object.keys(API_FACTS).filter(name => !findMethod(name) && procedureOf(name))
  for (const name of missing) {
    const procedure = procedureOf(name)!
    if (exceptions[procedure.name]?.run) continue
    const rpc = await byRpc(peer, procedure, to => writeFields(procedure.args, argumentsOf(procedure, GUEST), to))
    const http = faultOf(await shim.call(name, {}))
    t.match(rpc, { message: `this function is not supported by the connection driver: ${name}` })
    t.match(http, { code: rpc?.code, domain: rpc?.domain, message: rpc?.message }, name)
  }
  peer.end()
})

t.test('after all that the guest is the same', async t => {
  t.match((await shim.call('report')).body, { name: NAME, uuid, state: SHUTOFF })
  await shim.call('shim-detach', {})
})
