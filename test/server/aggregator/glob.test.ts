import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { glob, globBase } from '../../../src/server/aggregator/glob.ts'

const dir = mkdtempSync(join(tmpdir(), 'virshim-glob-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))
for (const file of ['pod-a/api.sock', 'pod-b/api.sock', 'pod-b/api-ro.sock', '.hidden/api.sock', 'x(1)/api.sock']) {
  mkdirSync(dirname(join(dir, file)), { recursive: true })
  writeFileSync(join(dir, file), '')
}
symlinkSync(join(dir, 'nowhere'), join(dir, 'pod-a/dangling.sock'))

t.test('patterns as shells have them', t => {
  const cases: [pattern: string, found: string[]][] = [
    ['*/api.sock', ['pod-a/api.sock', 'pod-b/api.sock', 'x(1)/api.sock']],
    ['pod-?/*.sock', ['pod-a/api.sock', 'pod-b/api-ro.sock', 'pod-b/api.sock']],
    ['pod-[!a]/api.sock', ['pod-b/api.sock']],
    ['pod-[a-c]/api.sock', ['pod-a/api.sock', 'pod-b/api.sock']],
    ['.*/api.sock', ['.hidden/api.sock']],
    ['x(1)/*', ['x(1)/api.sock']],
    ['*(1)/api.sock', ['x(1)/api.sock']],
    ['pod-a/api.sock', ['pod-a/api.sock']],
    ['pod-[/api.sock', []],
    ['none/*/api.sock', []]
  ]
  for (const [pattern, found] of cases) {
    t.same(
      glob(join(dir, pattern)).sort(),
      found.map(path => join(dir, path)),
      pattern
    )
  }
  t.end()
})

t.test('where a change brings new matches', t => {
  t.equal(globBase('/run/pods/*/api.sock'), '/run/pods')
  t.equal(globBase('/run/p[ab]/x/api.sock'), '/run')
  t.equal(globBase('/run/one/api.sock'), '/run/one')
  t.equal(globBase('/*.sock'), '/')
  t.end()
})
