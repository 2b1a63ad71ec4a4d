import t from 'tap'
import { errnoText, systemError } from '../../src/conf/errno.ts'
import { argumentErrorsFrom, errorsFrom, toVirError, VirError } from '../../src/conf/error.ts'
import { ERROR_CODES, ERROR_DOMAINS } from '../../src/conf/error-table.ts'

t.test('the tables are libvirt’s enumerations: in order, no number twice, one %s', async t => {
  for (const [what, rows] of [
    ['codes', Object.values(ERROR_CODES)],
    ['domains', Object.values(ERROR_DOMAINS)]
  ] as const) {
    const numbers = rows.map(([number]) => number)
    t.same(
      numbers,
      [...new Set<number>(numbers)].sort((a, b) => a - b),
      what
    )
  }
  for (const [name, [, , template]] of Object.entries(ERROR_CODES)) t.equal(template.split('%s').length, 2, name)
})

t.test('messages', async t => {
  const fail = errorsFrom('VIR_FROM_QEMU')
  t.equal(fail('VIR_ERR_XML_ERROR', 'a').message, 'XML error: a')
  t.equal(fail('VIR_ERR_XML_ERROR', '$& %s').message, 'XML error: $& %s', 'the detail is no pattern')
  t.equal(fail('VIR_ERR_NO_DOMAIN').message, ERROR_CODES.VIR_ERR_NO_DOMAIN[1])
  t.equal(fail('VIR_ERR_NO_DOMAIN').template, ERROR_CODES.VIR_ERR_NO_DOMAIN[1])
  const whole = argumentErrorsFrom('VIR_FROM_DOMAIN')('flags must be zero')
  t.same([whole.message, whole.template], ['flags must be zero', '%s'])
  t.same(fail('VIR_ERR_OPERATION_INVALID', 'x').toJSON(), {
    code: 55,
    codeName: 'VIR_ERR_OPERATION_INVALID',
    domain: 10,
    domainName: 'VIR_FROM_QEMU',
    message: 'Requested operation is not valid: x'
  })
  const cause = new Error('why')
  t.equal(fail('VIR_ERR_INTERNAL_ERROR', 'x', cause).cause, cause)
})

t.test('HTTP statuses', async t => {
  for (const [code, status] of [
    ['VIR_ERR_INVALID_ARG', 400],
    ['VIR_ERR_NO_DOMAIN', 404],
    ['VIR_ERR_OPERATION_INVALID', 409],
    ['VIR_ERR_INTERNAL_ERROR', 500],
    ['VIR_ERR_NO_SUPPORT', 501]
  ] as const) {
    t.equal(new VirError('VIR_FROM_QEMU', code).httpStatus, status, code)
  }
})

t.test('whatever is thrown becomes one', async t => {
  const own = new VirError('VIR_FROM_NONE', 'VIR_ERR_NO_DOMAIN')
  t.equal(toVirError(own), own)
  for (const [thrown, message] of [
    [new TypeError('x is not a function'), 'internal error: x is not a function'],
    ['text', 'internal error: text'],
    [undefined, 'internal error: undefined']
  ] as const) {
    const error = toVirError(thrown, 'VIR_FROM_RPC')
    t.same([error.message, error.domain, error.cause], [message, 'VIR_FROM_RPC', thrown])
  }
})

t.test('system errors have the words of the C library', async t => {
  const of = (code: string, errno: number) => errnoText(Object.assign(new Error('node’s words'), { code, errno }))
  t.equal(of('ENOENT', -2), 'No such file or directory')
  t.equal(of('EACCES', -13), 'Permission denied')
  t.equal(of('ENFILE', -23), 'Too many open files in system')
  t.equal(errnoText(new Error('node’s words')), 'node’s words')
  const error = systemError(
    'VIR_FROM_QEMU',
    "cannot open '/a'",
    Object.assign(new Error(), { code: 'EPIPE', errno: -32 })
  )
  t.same([error.code, error.detail], ['VIR_ERR_SYSTEM_ERROR', "cannot open '/a': Broken pipe"])
})
