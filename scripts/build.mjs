// Bundles the programs into dist/: one file each with all it always loads, lazily imported code in chunks beside them,
// and for each file V8's code cache. The shim starts once per guest: one file to read and nothing to compile make it
// quick.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { build, transform } from 'esbuild'
import { fillCaches } from './code-cache.mjs'

rmSync('dist', { recursive: true, force: true })
const programs = readdirSync('src/programs').map(name => `src/programs/${name}`)
const { outputFiles, metafile } = await build({
  entryPoints: programs,
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  outExtension: { '.js': '.cjs' },
  chunkNames: 'chunk-[name]-[hash]',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'linked',
  logLevel: 'warning',
  metafile: true,
  write: false
})

mkdirSync('dist')
const isCode = path => path.endsWith('.cjs')
for (const { path, text } of outputFiles) if (!isCode(path)) writeFileSync(path, text)

// Splitting needs ES modules, the code cache needs scripts: each output is turned into the body of a CommonJS module.
const modules = new Map()
for (const { path, text } of outputFiles.filter(({ path }) => isCode(path))) {
  const sourcefile = basename(path)
  const { code } = await transform(text, {
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    minifyWhitespace: true,
    supported: { 'dynamic-import': false },
    sourcefile,
    logLevel: 'warning'
  })
  modules.set(sourcefile, code)
}

/** The output and all it imports as it is loaded, deepest first. */
function closure(name, found = new Set()) {
  const { imports } = metafile.outputs[`dist/${name}`]
  for (const { path, kind, external } of imports) {
    if (kind === 'import-statement' && !external && !found.has(basename(path))) closure(basename(path), found)
  }
  return found.add(name)
}

/** Each file gives an object of module functions by name (bin/load.cjs). */
const isProgram = name => programs.some(path => basename(path, '.ts') === basename(name, '.cjs'))
for (const name of modules.keys()) {
  const names = isProgram(name) ? [...closure(name)] : [name]
  const functions = names.map(
    one => `${JSON.stringify(one)}(exports,require,module,__filename,__dirname){${modules.get(one)}}`
  )
  writeFileSync(`dist/${name}`, `({${functions.join(',\n')}})\n`)
}

await fillCaches()
