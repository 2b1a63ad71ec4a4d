// Every number of both programs, called: what is not carried out is refused under the name of libvirt's function, never
// under the procedure's, and the connection goes on.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { API_FACTS } from '../../../src/conf/api-list.ts'
import { findMethod } from '../../../src/drivers/qemu/index.ts'
import { writeFields } from '../../../src/server/rpc/codec.ts'
import { exceptions } from '../../../src/server/rpc/exceptions.ts'
import { MessageStatus, QEMU_PROGRAM, REMOTE_PROGRAM } from '../../../src/server/rpc/frame.ts'
import { findProcedure } from '../../../src/server/rpc/procedures.ts'
import { secondaryDriver } from '../../../src/server/rpc/secondary-drivers.ts'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { Daemons } from '../../helper/libvirtd.ts'
import { argumentsOf, errorOf, NOBODY, RpcPeer, resultOf } from '../../helper/rpc.ts'
import { type Answer, bareGuest, Shim } from '../../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const NAME = `t-refusals-${process.pid}`
const VIR_ERR_NO_SUPPORT = 3
const VIR_ERR_OPERATION_DENIED = 29
const VIR_ERR_RPC = 39
/** Beyond the last number of libvirt 12.8's programs. */
const NUMBERS: [program: number, last: number][] = [
  [REMOTE_PROGRAM, 460],
  [QEMU_PROGRAM, 12]
]
const CONNECT_GET_TYPE = 3

interface Fault {
  code: number
  message: string
}

interface Asked {
  program: number
  number: number
  /** of the table or of the protocol; undefined for a number that is nobody's around domains */
  api: string | undefined
  /** of a call that succeeds: undefined */
  fault: Fault | undefined
}

const notSupported = (api: string): Fault => ({
  code: VIR_ERR_NO_SUPPORT,
  message: `this function is not supported by the connection driver: ${api}`
})
const denied = (api: string): Fault => ({
  code: VIR_ERR_OPERATION_DENIED,
  message: `operation forbidden: read only access prevents ${api}`
})
const unknown = (number: number): Fault => ({ code: VIR_ERR_RPC, message: `unknown procedure: ${number}` })

/** Calls everything that does nothing; calls that are carried out are on a guest that nobody has, or left out. */
async function walk(peer: RpcPeer, guest: object, readOnly: boolean): Promise<Asked[]> {
  const asked: Asked[] = []
  for (const [program, last] of NUMBERS) {
    for (let number = 1; number <= last; number++) {
      const procedure = findProcedure(program, number)
      if (procedure && exceptions[procedure.name]?.run) continue
      const api = procedure?.api
      const method = api === undefined ? undefined : findMethod(api)
      if (method && !procedure?.onGuest && !(readOnly && !method.readOnly)) continue
      const write = procedure && argumentsOf(procedure, method ? NOBODY : guest)
      const reply = await peer.call(number, to => write && writeFields(procedure.args, write, to), { program })
      asked.push({ program, number, api, fault: reply.status === MessageStatus.ERROR ? errorOf(reply) : undefined })
    }
  }
  const type = await peer.call(CONNECT_GET_TYPE)
  t.same(resultOf(type), { type: 'QEMU' }, 'the connection goes on')
  return asked
}

/** The error that such a call has, undefined where it depends on more. */
function expected({ program, number, api }: Asked, readOnly: boolean): Fault | undefined {
  if (api === undefined) {
    return program === REMOTE_PROGRAM && secondaryDriver(number) ? undefined : unknown(number)
  }
  if (readOnly && !API_FACTS[api]?.readOnly) return denied(api)
  return findMethod(api) ? undefined : notSupported(api)
}

const told = ({ code, message }: Fault): Fault => ({ code, message })

/** Functions of libvirt 12.8 that the libvirt these tests run beside need not have. */
const NEWER = ['virDomainAnnounceInterface']

/** Names of libvirt's functions in errors. */
const named = new Set<string>()

function check(t: Test, asked: Asked[], readOnly: boolean): void {
  for (const one of asked) {
    const { number, api, fault } = one
    const wanted = expected(one, readOnly)
    if (wanted) t.same(fault && told(fault), wanted, `${number} ${api}`)
    if (!fault) continue
    // the one message of libvirt's that names constants
    const words = fault.message.replace(/\bVIR_MEMORY_(VIRTUAL|PHYSICAL)\b/g, '')
    t.notMatch(words, /[A-Z]{2,}_[A-Z]|\b(remote|domain|connect|node)_/, `${number} ${api}`)
    for (const name of fault.message.match(/\bvir[A-Z]\w+/g) ?? []) named.add(name)
  }
}

const dir = mkdtempSync(join(tmpdir(), 'virshim-refusals-'))
const daemons = new Daemons(dir)
t.teardown(() => {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})
await daemons.ensure(2000)
const shim = new Shim(bareGuest(NAME))
t.teardown(() => shim.end())
void shim.start()
await shim.untilState(RUNNING)
const aggregator = new AggregatorRun()
t.teardown(() => aggregator.end())
await aggregator.start()
await aggregator.call('virDomainCreateXML', { xmlDesc: bareGuest(`${NAME}-a`) })

const { name, uuid, id } = (await shim.call('report')).body
const central = (await aggregator.call('virDomainLookupByName', { name: `${NAME}-a` })).body.dom
const SERVED = [
  ['shim', shim, { name, uuid, id }],
  ['aggregator', aggregator, central]
] as const

/** The calls of a read-only connection to the shim. */
const refused: Asked[] = []

for (const [what, { root }, guest] of SERVED) {
  for (const readOnly of [false, true]) {
    await t.test(`${what}${readOnly ? ', read-only' : ''}`, async t => {
      const peer = await new RpcPeer(join(root, readOnly ? 'libvirt-sock-ro' : 'libvirt-sock')).open()
      const asked = await walk(peer, guest, readOnly)
      peer.end()
      t.ok(asked.length > 300, `${asked.length} calls`)
      check(t, asked, readOnly)
      if (readOnly && what === 'shim') refused.push(...asked)
    })
  }
}

await t.test('libvirtd says the same to those who may only read', async t => {
  const libvirtd = new RpcPeer('/run/libvirt/libvirt-sock-ro')
  // it lets root in once it has been asked how to authenticate
  await libvirtd.call(66)
  await libvirtd.open()
  let count = 0
  for (const { program, number, api, fault } of refused) {
    const procedure = findProcedure(program, number)
    // what has a row of libvirt's documentation is compared elsewhere
    if (!procedure || fault?.code !== VIR_ERR_OPERATION_DENIED || (api && Object.hasOwn(API_FACTS, api))) continue
    const reply = await libvirtd.call(number, to => writeFields(procedure.args, argumentsOf(procedure, NOBODY), to))
    t.same(told(errorOf(reply)), told(fault), `${number} ${api}`)
    count++
  }
  for (const { program, number, fault } of refused) {
    if (fault?.code === VIR_ERR_RPC) {
      const reply = await libvirtd.call(number, undefined, { program })
      t.same(told(errorOf(reply)), told(fault), `${number}`)
    }
  }
  t.ok(count > 5, `${count} procedures of the protocol alone`)
  libvirtd.end()
})

await t.test('every name is of a function of libvirt', async t => {
  t.ok(named.size > 100, `${named.size} names`)
  const script = `import ctypes, sys
libraries = [ctypes.CDLL(f'libvirt{part}.so.0') for part in ('', '-qemu')]
print([name for name in sys.argv[1:] if not any(hasattr(one, name) for one in libraries)])`
  const older = [...named].filter(name => !NEWER.includes(name))
  const { stdout, stderr } = spawnSync('/usr/bin/python3', ['-c', script, ...older], { encoding: 'utf8' })
  t.equal(stdout.trim(), '[]', stderr)
})

await t.test('over HTTP', async t => {
  const fault = ({ status, body }: Answer) => (status < 400 ? undefined : told(body))
  for (const [what, served, { uuid }] of SERVED) {
    for (const [api, { proc, readOnly }] of Object.entries(API_FACTS)) {
      if (proc === undefined || findMethod(api) || /^virConnect/.test(api)) continue
      const path = `domains/${uuid}/${api}`
      t.same(fault(await served.call(path, {})), notSupported(api), `${what} ${api}`)
      const wanted = readOnly ? notSupported(api) : denied(api)
      t.same(fault(await served.call(path, {}, 'api-ro.sock')), wanted, `${what} ${api}, read-only`)
    }
    const nope = { code: VIR_ERR_RPC, message: 'unknown procedure: virDomainNope' }
    t.same(fault(await served.call(`domains/${uuid}/virDomainNope`, {})), nope, what)
  }
})
