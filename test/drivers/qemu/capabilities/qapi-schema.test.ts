// Paths through a description of a few commands in the form of query-qmp-schema.
import t from 'tap'
import { OTHER_CAPABILITIES } from '../../../../src/drivers/qemu/capabilities/names.ts'
import { indexSchema, schemaHas } from '../../../../src/drivers/qemu/capabilities/qapi-schema.ts'
import { CAPABILITY_SIGNS } from '../../../../src/drivers/qemu/capabilities/signs.ts'

const schema = indexSchema([
  { name: 'add', 'meta-type': 'command', 'arg-type': '1', 'ret-type': '9', features: ['json'] },
  {
    name: '1',
    'meta-type': 'object',
    members: [
      { name: 'driver', type: '2' },
      { name: 'node', type: 'str', default: null },
      { name: 'refs', type: '[3]' },
      { name: 'file', type: '5' }
    ],
    variants: [{ case: 'nbd', type: '4' }]
  },
  { name: '2', 'meta-type': 'enum', values: ['nbd', 'raw'], members: [{ name: 'nbd', type: '', features: ['tls'] }] },
  { name: 'str', 'meta-type': 'builtin', 'json-type': 'string' },
  { name: '[3]', 'meta-type': 'array', 'element-type': '3' },
  { name: '3', 'meta-type': 'object', members: [{ name: 'x', type: 'str' }] },
  { name: '4', 'meta-type': 'object', members: [{ name: 'host', type: 'str' }] },
  {
    name: '5',
    'meta-type': 'alternate',
    members: [
      { name: '', type: 'str' },
      { name: '', type: '3' }
    ]
  },
  { name: '9', 'meta-type': 'object', members: [] }
])

t.test('paths', async t => {
  for (const [path, found] of [
    ['add', true],
    ['del', false],
    ['add/$json', true],
    ['add/$xml', false],
    ['add/arg-type', true],
    ['add/arg-type/driver', true],
    ['add/arg-type/nosuch', false],
    ['add/arg-type/*node', true],
    ['add/arg-type/*driver', false],
    ['add/arg-type/driver/^raw', true],
    ['add/arg-type/driver/^qcow', false],
    ['add/arg-type/driver/^nbd/$tls', true],
    ['add/arg-type/driver/^raw/$tls', false],
    ['add/arg-type/node/!string', true],
    ['add/arg-type/node/!int', false],
    ['add/arg-type/+nbd', true],
    ['add/arg-type/+nbd/host', true],
    ['add/arg-type/+ssh', false],
    ['add/arg-type/refs/x', true],
    ['add/arg-type/refs/y', false],
    ['add/arg-type/file/x', true],
    ['add/arg-type/file/!string', true],
    ['add/ret-type/x', false]
  ] as const) {
    t.equal(schemaHas(schema, path), found, path)
  }
})

t.test('every capability has a sign, and a name of its own', async t => {
  for (const [name, signs] of Object.entries(CAPABILITY_SIGNS)) t.ok(signs.length > 0, name)
  t.equal(new Set(Object.values(CAPABILITY_SIGNS).map(signs => JSON.stringify(signs))).size > 200, true)
  t.ok(OTHER_CAPABILITIES.has('blockdev') && !OTHER_CAPABILITIES.has(''))
})
