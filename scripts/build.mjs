// Bundles the programs into dist/: one entry file each, shared and lazily imported code in chunks beside them, and for
// each file V8's code cache. The shim starts once per guest: few files to read and nothing to compile make it quick.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { build, transform } from 'esbuild'

rmSync('dist', { recursive: true, force: true })
const programs = readdirSync('src/programs').map(name => `src/programs/${name}`)
const bundle = await build({
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
  write: false
})

mkdirSync('dist')
// Splitting needs ES modules, the code cache needs scripts: each output is turned into CommonJS.
for (const { path, text } of bundle.outputFiles) {
  const script = path.endsWith('.cjs')
    ? await transform(text, {
        format: 'cjs',
        platform: 'node',
        target: 'node20',
        supported: { 'dynamic-import': false },
        sourcefile: basename(path),
        logLevel: 'warning'
      })
    : { code: text }
  writeFileSync(path, script.code)
}

// Running the programs once fills the caches with the functions they use. Without QEMU there is less to cache.
const guests = ['examples', 'test/data/domain']
  .filter(existsSync)
  .flatMap(directory => readdirSync(directory).map(name => `${directory}/${name}`))
  .filter(path => path.endsWith('.xml'))
const env = { ...process.env, VIRSHIM_WRITE_CODE_CACHE: '1' }
/** Node.js options of a program, from its first line. */
const optionsOf = program =>
  readFileSync(`bin/${program}`, 'utf8').split('\n', 1)[0].split(' node ')[1]?.split(' ') ?? []
for (const options of new Set(['virshim', 'virshimd', 'virshim-aggregatord'].map(name => optionsOf(name).join(' ')))) {
  for (const [program, ...args] of [
    ['virshimd', '--version'],
    ['virshim-aggregatord', '--version'],
    ['virshim', 'domxml-to-native', 'qemu-argv', ...guests]
  ]) {
    spawnSync(process.execPath, [...options.split(' ').filter(Boolean), `bin/${program}`, ...args], {
      env,
      stdio: 'ignore'
    })
  }
}
