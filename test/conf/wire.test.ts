// Typed parameters as arguments: from JSON by the types the API declares, from the protocol by the types they bring.
import t from 'tap'
import type { VirError } from '../../src/conf/error.ts'
import { fieldsFromJson, receivedParams, type TypedValue, typed, typedInput } from '../../src/conf/wire.ts'

const params = typedInput({
  weight: 'uint',
  delta: 'int',
  limit: 'ullong',
  quota: 'llong',
  ratio: 'double',
  live: 'boolean',
  name: 'string',
  disks: 'strings'
})
const read = (value: unknown) => fieldsFromJson({ params: value }, { params }, 'virApi').params

function refusal(value: unknown): [code: string, message: string] {
  try {
    read(value)
  } catch (error) {
    const { code, message } = error as VirError
    return [code, message.replace(/^.*?: /, '')]
  }
  throw new Error('was accepted')
}

t.test('JSON values have the declared types', async t => {
  const given = {
    weight: 5,
    delta: -5,
    limit: 2n ** 63n,
    quota: -1,
    ratio: 0.5,
    live: false,
    name: 'vda',
    disks: ['vda', 'vdb']
  }
  t.same(read(given), { ...given, quota: -1n })
  for (const wrong of [
    { weight: -1 },
    { weight: '5' },
    { weight: 2 ** 32 },
    { limit: -1 },
    { live: 1 },
    { ratio: '1' }
  ]) {
    t.equal(refusal(wrong)[0], 'VIR_ERR_INVALID_ARG', JSON.stringify(wrong))
  }
  t.equal(refusal({ weight: { type: 'uint', value: 1 } })[0], 'VIR_ERR_INVALID_ARG', 'JSON cannot bring its own types')
  t.equal(refusal({ disks: 'vda' })[0], 'VIR_ERR_INVALID_ARG')
  t.equal(refusal([1])[0], 'VIR_ERR_INVALID_ARG')
})

t.test('parameters nobody declared are refused by name', async t => {
  for (const name of ['weights', 'toString', '__proto__']) {
    t.same(refusal(JSON.parse(`{"${name}":1}`)), ['VIR_ERR_ARGUMENT_UNSUPPORTED', `parameter '${name}' not supported`])
    t.same(refusal(receivedParams([[name, typed.uint(1)]]))[0], 'VIR_ERR_ARGUMENT_UNSUPPORTED', `${name} received`)
  }
})

t.test('what the protocol brings is checked as libvirt does', async t => {
  const received = (...list: [string, TypedValue][]) => receivedParams(list)
  t.same(
    read(received(['weight', typed.uint(1)], ['disks', typed.string('b')], ['disks', typed.string('a')])),
    { weight: 1, disks: ['b', 'a'] },
    'lists keep their order'
  )
  t.same(refusal(received(['weight', typed.ullong(1)])), [
    'VIR_ERR_INVALID_ARG',
    "invalid type 'ullong' for parameter 'weight', expected 'uint'"
  ])
  t.same(refusal(received(['name', typed.string('a')], ['name', typed.string('a')])), [
    'VIR_ERR_INVALID_ARG',
    "parameter 'name' occurs multiple times"
  ])
  t.match(
    refusal(received(['zz', typed.uint(1)], ['weight', typed.int(1)]))[1],
    /^invalid type/,
    'the first in the order of names'
  )
})

t.test('no parameters at all are none', async t => {
  for (const nothing of [{}, undefined, null, receivedParams([])]) {
    t.same(refusal(nothing), ['VIR_ERR_INVALID_ARG', 'params in virApi must not be NULL'])
  }
  const optional = typedInput({ weight: 'uint' }, { mayBeEmpty: true })
  t.same(fieldsFromJson({}, { params: optional }, 'virApi').params, {})
})
