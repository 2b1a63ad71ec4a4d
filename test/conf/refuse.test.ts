import t from 'tap'
import { errorsFrom, type VirError } from '../../src/conf/error.ts'
import { attempt, checkAll, orThrow } from '../../src/conf/refuse.ts'

const fail = errorsFrom('VIR_FROM_QEMU')
const refusing = (detail: string) => () => {
  throw fail('VIR_ERR_INTERNAL_ERROR', detail)
}

t.test('the first refusal ends the work unless somebody notes them', async t => {
  let done = 0
  const checks = [
    refusing('one'),
    () => {
      done++
    },
    refusing('two')
  ]
  t.throws(() => checkAll(orThrow, checks), { message: 'internal error: one' })
  t.equal(done, 0)
  const heard: VirError[] = []
  checkAll(error => heard.push(error), checks)
  t.same(
    heard.map(({ detail }) => detail),
    ['one', 'two']
  )
  t.equal(done, 1)
})

t.test('what is no refusal is nobody to be noted', async t => {
  const bug = new TypeError('a bug')
  t.throws(
    () =>
      attempt(
        () => t.fail('it is not one'),
        () => {
          throw bug
        }
      ),
    bug
  )
  t.equal(
    attempt(orThrow, () => 7),
    7
  )
  t.equal(
    attempt(() => undefined, refusing('one')),
    undefined
  )
})
