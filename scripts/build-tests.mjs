// Bundles test/**/*.test.ts into build/test/, for tap to run as plain JavaScript.
import { readdirSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

rmSync('build/test', { recursive: true, force: true })
const tests = readdirSync('test', { recursive: true }).filter(name => name.endsWith('.test.ts'))
await build({
  entryPoints: tests.map(name => `test/${name}`),
  outdir: 'build/test',
  outbase: 'test',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning'
})
