// Bundles the programs into dist/: one entry file each, shared and lazily imported code in chunks beside them.
// Bundled because the shim starts once per guest: one file read instead of several hundred module look-ups.
import { readdirSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

rmSync('dist', { recursive: true, force: true })
const programs = readdirSync('src/programs').map(name => `src/programs/${name}`)
await build({
  entryPoints: programs,
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  outExtension: { '.js': '.mjs' },
  chunkNames: 'chunk-[name]-[hash]',
  minifySyntax: true,
  legalComments: 'linked',
  // CommonJS dependencies call require() for Node's own modules
  banner: {
    js: "import { createRequire as _createRequire } from 'node:module'\nconst require = _createRequire(import.meta.url)"
  },
  logLevel: 'warning'
})
