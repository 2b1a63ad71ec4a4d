// A bounded part of what `npm run fuzz` does at length: what was a fault once is none any more, and some inputs made from
// fixed seeds are taken or refused in order.
import t from 'tap'
import { casesOf, fuzz } from '../fuzz/fuzzer.ts'
import { outcomeOf } from '../fuzz/target.ts'
import { TARGETS } from '../fuzz/targets.ts'

t.setTimeout(600_000)

const EXECUTIONS = 800

for (const target of TARGETS) {
  t.test(target.name, async t => {
    for (const [name, input] of casesOf(target)) t.equal((await outcomeOf(target, input)).fault, undefined, name)
    const wanted = Math.ceil(EXECUTIONS / (target.cost ?? 1))
    const { executions, ways, found } = await fuzz(target, { executions: wanted, seed: 1 })
    t.same(
      found.map(({ input, fault }) => `${input.toString('latin1').slice(0, 2000)}\n${fault}`),
      []
    )
    t.ok(executions >= wanted && ways > 0, `${ways} ways`)
  })
}
