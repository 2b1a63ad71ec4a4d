// The API table against libvirt's list of APIs and its protocol: nothing unknown, nothing out of step.
import t from 'tap'
import { API_AREAS, API_FACTS } from '../../../src/conf/api-list.ts'
import { apiCoverage } from '../../../src/drivers/qemu/coverage.ts'
import { type Api, api } from '../../../src/drivers/qemu/index.ts'
import { exceptions } from '../../../src/server/rpc/exceptions.ts'
import { QEMU_PROGRAM, REMOTE_PROGRAM } from '../../../src/server/rpc/frame.ts'
import { findProcedure } from '../../../src/server/rpc/procedures.ts'

const rows = Object.entries(api) as [string, Api][]
const coverage = apiCoverage()

t.test("every row is an API of libvirt's, or a call of its protocol", async t => {
  t.same(
    rows.map(([name]) => name).filter(name => !Object.hasOwn(API_FACTS, name)),
    []
  )
})

t.test('every API of the list is told apart', async t => {
  const listed = Object.values(API_AREAS).flatMap(Object.keys)
  t.equal(coverage.length, listed.length)
  t.equal(new Set(coverage.map(({ api }) => api)).size, coverage.length, 'none twice')
  const implemented = coverage.filter(({ coverage }) => coverage === 'implemented').length
  t.equal(implemented >= rows.filter(([name]) => listed.includes(name)).length, true)
})

t.test('every API with a procedure number has its layout', async t => {
  for (const [name, { proc, program }] of Object.entries(API_FACTS)) {
    if (proc === undefined) continue
    t.ok(findProcedure(program === 'qemu' ? QEMU_PROGRAM : REMOTE_PROGRAM, proc), name)
  }
})

t.test('a row has the arguments and results that its procedure carries, under the same names', async t => {
  /** what only the wire has: the handle, and the caller's room for results */
  const ONLY_WIRE =
    /^(dom|nparams|maxnames|maxids|maxStats|maxerrors|maxcells|maxinfo|maplen|ncpumaps|need_\w+|ret|nerrors)$/
  for (const [name, { proc, program, args, ret, stream }] of rows) {
    if (proc === undefined) continue
    const procedure = findProcedure(program === 'qemu' ? QEMU_PROGRAM : REMOTE_PROGRAM, proc)!
    // where several APIs share a procedure, another may be the one it is named after
    if (procedure.api !== name) continue
    const exception = exceptions[procedure.name]
    const wireArgs = procedure.args.map(field => field.name)
    const wireRet = procedure.ret.map(field => field.name)
    if (!exception?.args) {
      t.same(
        Object.keys(args).filter(arg => !wireArgs.includes(arg)),
        [],
        `${name}: arguments on the wire`
      )
      t.same(
        wireArgs.filter(arg => !Object.hasOwn(args, arg) && !ONLY_WIRE.test(arg) && arg !== 'flags'),
        [],
        `${name}: arguments in the row`
      )
    }
    if (!exception?.ret && !stream) {
      t.same(
        wireRet.filter(field => !Object.hasOwn(ret, field) && !ONLY_WIRE.test(field)),
        [],
        `${name}: results in the row`
      )
    }
  }
})
