// What is written is read back the same, for every type, procedure and event; and damaged bytes never do harm.
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { VirError } from '../../../src/conf/error.ts'
import { codecOf, fieldsOf, layoutOf, readFields, writeFields } from '../../../src/server/rpc/codec.ts'
import { makeFrame, writeError } from '../../../src/server/rpc/frame.ts'
import {
  QEMU_CALLS,
  QEMU_EVENTS,
  REMOTE_CALLS,
  REMOTE_EVENTS,
  STRUCTURES
} from '../../../src/server/rpc/remote-protocol.ts'
import { XdrReader, XdrWriter } from '../../../src/server/rpc/xdr.ts'
import { arbitraryFields, arbitraryOf } from '../../helper/wire.ts'

const SEED = 20080709
/** Equal, whatever prototype the maker of the values gave them. */
const alike = (a: unknown, b: unknown) => isDeepStrictEqual(plainCopy(a), plainCopy(b))

function plainCopy(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Buffer.isBuffer(value)) return value
  if (Array.isArray(value)) return value.map(plainCopy)
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plainCopy(inner)]))
}

const layouts = [REMOTE_CALLS, REMOTE_EVENTS, QEMU_CALLS, QEMU_EVENTS].flatMap(table =>
  Object.values(table).map(layoutOf)
)
const types = new Set([
  ...Object.keys(STRUCTURES),
  ...layouts.flatMap(({ args, ret }) => [...args, ...ret].map(({ type }) => type))
])

t.test('every type survives the wire', async t => {
  for (const type of types) {
    const codec = codecOf(type)
    const survives = fc.property(arbitraryOf(type), value => {
      const to = new XdrWriter()
      codec.write(value, to)
      const from = new XdrReader(to.bytes)
      return to.bytes.length % 4 === 0 && alike(codec.read(from), value) && from.left === 0
    })
    t.notOk(fc.check(survives, { seed: SEED, numRuns: 50 }).failed, type)
  }
})

t.test('every procedure has fields under names of their own', async t => {
  for (const { name, args, ret } of layouts) {
    for (const fields of [args, ret]) {
      const names = fields.map(field => field.name)
      t.equal(new Set(names).size, names.length, name)
    }
  }
  t.ok(layouts.length > 290, `${layouts.length} procedures and events`)
})

t.test('fields survive the wire in their order', async t => {
  for (const notation of [STRUCTURES.error!, STRUCTURES.statsRecord!, STRUCTURES.interface!]) {
    const fields = fieldsOf(notation)
    const survives = fc.property(arbitraryFields(notation), values => {
      const to = new XdrWriter()
      writeFields(fields, values, to)
      return alike(readFields(fields, new XdrReader(to.bytes)), values)
    })
    t.notOk(fc.check(survives, { seed: SEED, numRuns: 50 }).failed, notation)
  }
})

t.test('cut or random bytes give values or libvirt errors, quickly', async t => {
  const all = [...types]
  const harmless = fc.property(fc.constantFrom(...all), fc.uint8Array({ maxLength: 200 }), (type, bytes) => {
    try {
      codecOf(type).read(new XdrReader(Buffer.from(bytes)))
      return true
    } catch (error) {
      return error instanceof VirError && error.code === 'VIR_ERR_RPC'
    }
  })
  t.notOk(fc.check(harmless, { seed: SEED, numRuns: 5000 }).failed)
})

t.test('lengths that lie', async t => {
  const lying = (length: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt32BE(length)
    return new XdrReader(bytes)
  }
  for (const type of ['string', 'param<16>', 'opaque<2048>', 'dom<16384>', 'chars<4097>']) {
    for (const length of [5, 0x7fffffff, 0x80000000, 0xffffffff]) {
      t.throws(() => codecOf(type).read(lying(length)), { code: 'VIR_ERR_RPC' }, `${type} of ${length}`)
    }
  }
})

t.test('nothing is written that the protocol has no room for', async t => {
  const cases: [type: string, value: unknown][] = [
    ['string', 'x'.repeat(4 * 1024 * 1024 + 1)],
    ['opaque<16>', Buffer.alloc(17)],
    ['int<2>', [1, 2, 3]],
    ['param<1>', { a: { type: 'int', value: 1 }, b: { type: 'int', value: 1 } }]
  ]
  for (const [type, value] of cases) {
    t.throws(() => codecOf(type).write(value as never, new XdrWriter()), { code: 'VIR_ERR_RPC' }, type)
  }
  const to = new XdrWriter(16)
  to.fixed(Buffer.alloc(16))
  t.throws(() => to.int(1), { code: 'VIR_ERR_RPC', message: /Unable to encode message payload/ })
  const header = { program: 1, version: 1, procedure: 1, type: 0, serial: 1, status: 0 }
  t.throws(() => makeFrame(header, out => out.fixed(Buffer.alloc(33 * 1024 * 1024))), { code: 'VIR_ERR_RPC' })
  const long = new VirError('VIR_FROM_RPC', 'VIR_ERR_INVALID_ARG', 'é'.repeat(4 * 1024 * 1024))
  t.doesNotThrow(() => makeFrame(header, out => writeError(long, out)), 'an error that quotes it is')
})
