// Bundles test/**/*.test.ts into build/test/, bench/*.ts into build/bench/ and fuzz/run.ts into build/fuzz/, to be run as
// plain JavaScript.
import { readdirSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

const kinds = { test: '.test.ts', bench: '.ts', fuzz: 'run.ts' }

for (const kind of process.argv.length > 2 ? process.argv.slice(2) : ['test']) {
  const outdir = `build/${kind}`
  rmSync(outdir, { recursive: true, force: true })
  const files = readdirSync(kind, { recursive: true }).filter(name => name.endsWith(kinds[kind]))
  await build({
    entryPoints: files.map(name => `${kind}/${name}`),
    outdir,
    outbase: kind,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning'
  })
}
