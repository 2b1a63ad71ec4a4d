// Writes schemas/ from the tables in src/.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const made = 'build/schema-files.mjs'
await build({
  entryPoints: ['src/server/schema-files.ts'],
  outfile: made,
  bundle: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  logLevel: 'warning'
})
const { schemaFiles } = await import(pathToFileURL(made).href)
rmSync('schemas', { recursive: true, force: true })
for (const [name, text] of Object.entries(schemaFiles())) {
  const file = join('schemas', name)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
