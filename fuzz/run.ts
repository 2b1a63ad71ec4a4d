// Fuzzes for as long as asked:
//
//   npm run fuzz                                  every target, 20,000 executions each, fewer where they take long
//   RUNS=200000 SEED=7 npm run fuzz conf rpc/     those whose names contain one of the words
//
// Inputs that show a fault are written to build/fuzz/faults/TARGET/; once mended they belong into fuzz/cases/TARGET/.
// Ends with status 1 where there was one.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { caseName, fuzz } from './fuzzer.ts'
import { TARGETS } from './targets.ts'

const RUNS = Number(process.env.RUNS ?? 20_000)
const SEED = Number(process.env.SEED ?? 20_171_219)
/** What a target may leave in the heap: caches have limits. */
const GROWTH_MAX_MIB = 64

const words = process.argv.slice(2)
const wanted = TARGETS.filter(({ name }) => words.length === 0 || words.some(word => name.includes(word)))

const heapMib = () => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

let executions = 0
let faults = 0
console.log('| target | executions | ways | a second | heap | faults |\n| --- | --- | --- | --- | --- | --- |')
for (const target of wanted) {
  const before = heapMib()
  const result = await fuzz(target, { executions: Math.ceil(RUNS / (target.cost ?? 1)), seed: SEED })
  const grown = heapMib() - before
  executions += result.executions
  const rate = Math.round(result.executions / result.seconds)
  const growth = globalThis.gc ? `${grown >= 0 ? '+' : ''}${grown.toFixed(1)} MiB` : ''
  console.log(
    `| ${target.name} | ${result.executions} | ${result.ways} | ${rate} | ${growth} | ${result.found.length} |`
  )
  faults += result.found.length
  for (const { input, fault } of result.found) {
    const dir = join('build/fuzz/faults', target.name)
    mkdirSync(dir, { recursive: true })
    const file = join(dir, caseName(input))
    writeFileSync(file, input)
    console.error(`${file}: ${fault}\n`)
  }
  if (globalThis.gc && grown > GROWTH_MAX_MIB) {
    faults++
    console.error(`${target.name}: the heap has grown by ${grown.toFixed(0)} MiB`)
  }
}
console.log(`\n${executions} executions, ${faults} faults`)
process.exitCode = faults > 0 ? 1 : 0
