// Bundles the programs into dist/: one file each with all it always loads, lazily imported code in chunks beside them,
// and for each file V8's code cache. The shim starts once per guest: one file to read and nothing to compile make it
// quick.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { basename } from 'node:path'
import { build, transform } from 'esbuild'
import { fillCaches } from './code-cache.mjs'
import { thirdPartyNotices } from './notices.mjs'
import { billOfMaterials } from './sbom.mjs'

rmSync('dist', { recursive: true, force: true })
const programs = readdirSync('src/programs').map(name => basename(name, '.ts'))

/** What the files are to be: bodies of CommonJS modules, as the code cache needs scripts (bin/load.cjs). */
const common = {
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  minifySyntax: true,
  minifyWhitespace: true,
  supported: { 'dynamic-import': false },
  logLevel: 'warning'
}

// Splitting needs ES modules; what it gives is turned into CommonJS below.
const split = await build({
  ...common,
  supported: {},
  entryPoints: programs.map(name => `src/programs/${name}.ts`),
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  outExtension: { '.js': '.cjs' },
  chunkNames: 'chunk-[name]-[hash]',
  legalComments: 'linked',
  metafile: true,
  write: false
})
// An installed virshim has no packages beside it; ws does without these two.
const optional = ['bufferutil', 'utf-8-validate']
const outside = Object.values(split.metafile.outputs).flatMap(({ imports }) =>
  imports
    .filter(({ external, path }) => external && !isBuiltin(path) && !optional.includes(path))
    .map(({ path }) => path)
)
if (outside.length > 0) throw new Error(`not bundled: ${outside.join(', ')}`)
const texts = new Map(split.outputFiles.map(({ path, text }) => [basename(path), text]))

/** Adds to `found` an output and all it imports: statically, or, with `lazily`, at any time. */
function closure(name, lazily, found = new Set()) {
  found.add(name)
  for (const { path, kind, external } of split.metafile.outputs[`dist/${name}`].imports) {
    const imported = basename(path)
    if (external || found.has(imported) || (kind !== 'import-statement' && !lazily)) continue
    closure(imported, lazily, found)
  }
  return found
}

/** The program and the chunks it always loads in one scope; its exports are those chunks, for the lazy ones. */
async function joinProgram(name, chunks) {
  const entry = chunks.map(chunk => `export * as "${chunk}" from "./${chunk}"`)
  const { outputFiles } = await build({
    ...common,
    stdin: { contents: [...entry, `import "./${name}"`].join('\n') },
    bundle: true,
    write: false,
    plugins: [
      {
        name: 'outputs',
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^\.\// }, ({ path, kind }) =>
            kind === 'dynamic-import'
              ? { path, external: true }
              : { path: basename(path, '.cjs'), namespace: 'outputs' }
          )
          // without the name's end, which would speak of CommonJS
          onLoad({ filter: /./, namespace: 'outputs' }, ({ path }) => ({ contents: texts.get(`${path}.cjs`) }))
        }
      }
    ]
  })
  return outputFiles[0].text
}

mkdirSync('dist')
const write = (name, body) =>
  writeFileSync(`dist/${name}`, `(function(exports,require,module,__filename,__dirname){${body}\n})`)
const lazy = new Set()
for (const program of programs.map(name => `${name}.cjs`)) {
  const always = closure(program, false)
  for (const name of closure(program, true)) if (!always.has(name)) lazy.add(name)
  write(
    program,
    await joinProgram(
      program,
      [...always].filter(name => name !== program)
    )
  )
}
for (const name of lazy) write(name, (await transform(texts.get(name), { ...common, sourcefile: name })).code)
for (const [name, text] of texts) if (name.endsWith('.txt')) writeFileSync(`dist/${name}`, text)
writeFileSync('dist/THIRD-PARTY-NOTICES', thirdPartyNotices(split.metafile))
writeFileSync('dist/sbom.cdx.json', `${JSON.stringify(billOfMaterials(split.metafile), null, 2)}\n`)

await fillCaches()
