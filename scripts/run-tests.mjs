// Runs the tap tests in build/test/, two files at a time, and ends with the line "N passed, N failed" (assertions):
//
//   scripts/run-tests.mjs [--debian13] [WORD…]      files whose names contain a word; --debian13: what runs there, too
//
// Each file is a program that prints TAP; tap's own runner would load its TypeScript plugin, which needs another compiler.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { Parser } from 'tap-parser'
import { runInDebian13 } from './debian13-tests.mjs'
import { startPeerDaemons } from './peer-daemons.mjs'

const JOBS = 2
const FILE_TIMEOUT_MS = 300_000
/** tap's own limit for a file that sets none, in seconds: its 30 are few where others use the machine */
const TAP_TIMEOUT = '240'

/** Tests of post-copy switch it on (test/helper/userfaults.ts). */
const FAULTS = '/proc/sys/vm/unprivileged_userfaultfd'

const OTHER_WORLD = '--debian13'
const wanted = process.argv.slice(2).filter(word => word !== OTHER_WORLD)
const files = readdirSync('build/test', { recursive: true })
  .filter(name => name.endsWith('.test.mjs') && (wanted.length === 0 || wanted.some(word => name.includes(word))))
  .sort()
const total = { passed: 0, failed: 0 }
/** Told again at the end, where a long run's reader looks first. */
const failures = []

/** Counts the assertions below a parser; what a subtest counted is not counted again by its parent. */
function watch(parser, tally) {
  let afterChild = false
  parser.on('child', child => {
    afterChild = true
    watch(child, tally)
  })
  parser.on('assert', result => {
    const ofChild = afterChild
    afterChild = false
    if (ofChild && result.ok) return
    if (result.ok) tally.passed++
    else tally.failures.push(`${result.fullname} ${result.name}\n${JSON.stringify(result.diag ?? {}, null, 2)}`)
  })
}

function runFile(name) {
  return new Promise(resolve => {
    const began = Date.now()
    const tally = { passed: 0, failures: [] }
    const parser = new Parser()
    watch(parser, tally)
    const child = spawn(process.execPath, ['--enable-source-maps', `build/test/${name}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TAP_TIMEOUT }
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), FILE_TIMEOUT_MS)
    child.stdout.pipe(parser)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      if (code !== 0 && tally.failures.length === 0) tally.failures.push(`ended with ${signal ?? `status ${code}`}`)
      const seconds = ((Date.now() - began) / 1000).toFixed(1)
      const failed = tally.failures.length
      process.stdout.write(
        `${failed ? 'FAIL' : 'ok  '} ${name} ${seconds}s, ${tally.passed} passed, ${failed} failed\n`
      )
      for (const failure of tally.failures) {
        process.stdout.write(`     ${failure.replaceAll('\n', '\n     ')}\n`)
        failures.push(`${name}: ${failure.split('\n', 1)}`)
      }
      total.passed += tally.passed
      total.failed += failed
      resolve()
    })
  })
}

const faultsBefore = existsSync(FAULTS) ? readFileSync(FAULTS) : undefined
const endPeerDaemons = await startPeerDaemons()
const queue = [...files]
await Promise.all(
  Array.from({ length: JOBS }, async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) await runFile(name)
  })
)
await endPeerDaemons()
if (faultsBefore) writeFileSync(FAULTS, faultsBefore)
if (process.argv.includes(OTHER_WORLD)) {
  const there = await runInDebian13()
  total.passed += there.passed
  total.failed += there.failed
  failures.push(...there.failures.map(failure => `debian13: ${failure}`))
}
for (const failure of failures) process.stdout.write(`not ok ${failure}\n`)
process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`)
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0
