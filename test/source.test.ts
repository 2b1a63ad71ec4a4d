// What the compiler and biome cannot be asked to hold: biome refuses `any`, and nobody is given leave for it below src/.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const files = (readdirSync('src', { recursive: true }) as string[]).filter(name => name.endsWith('.ts'))

/** Lines of src/ that fit, with where they are. */
function found(pattern: RegExp): string[] {
  return files.flatMap(name =>
    readFileSync(join('src', name), 'utf8')
      .split('\n')
      .flatMap((line, at) => (pattern.test(line) ? [`src/${name}:${at + 1}: ${line.trim()}`] : []))
  )
}

t.test('no value is of a type that nobody checks', async t => {
  t.ok(files.length > 300, `${files.length} files`)
  t.same(found(/noExplicitAny|@ts-(ignore|nocheck|expect-error)/), [])
  t.same(found(/^(?!\s*(\/\/|\*|\/\*)).*(:\s*any\b|\bas any\b|<any[,>]|, any>|\bany\[\])/), [])
})

t.test('the client knows the API table by its types alone', async t => {
  t.same(
    found(/from '.*drivers\/qemu\/index\.ts'/).filter(
      line => line.startsWith('src/client/') && !line.includes('import type ')
    ),
    []
  )
})
