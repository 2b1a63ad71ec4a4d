// Runs a program of dist/ with the code caches the build has left beside its files. V8 takes a cache only from the same
// Node.js with the same flags, so there is a directory for each; without one, code is compiled as usual. The same holds
// for the cache of Node.js' own modules, which is of no flags: virshimd has only such as V8 does not count.
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { cachedDataVersionTag } = require('node:v8')
const { Script } = require('node:vm')

const dist = join(__dirname, '../dist')
const cache = join(dist, 'cache', String(cachedDataVersionTag()))
const modules = new Map()
const scripts = new Map()
/** what the program's file holds of the chunks, by their names */
let held = {}

function cacheOf(name) {
  try {
    return readFileSync(join(cache, name))
  } catch {
    return undefined
  }
}

/** Runs a file of dist/. @returns its exports */
function run(name) {
  const filename = join(dist, name)
  const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData: cacheOf(name) })
  scripts.set(name, script)
  const module = { exports: {} }
  script.runInThisContext().call(module.exports, module.exports, load, module, filename, dist)
  return module.exports
}

/** esbuild exports getters, as bindings may change; ours do not, and a plain property costs its users nothing. */
const plain = exports => Object.defineProperty({ ...exports }, '__esModule', { value: exports.__esModule })

/** Modules of Node.js that are slow to load and that most starts do without: loaded when something of them is used. */
const slow = new Map(
  ['node:crypto', 'node:fs/promises', 'node:tty', 'node:https', 'node:http2', 'node:dns'].map(id => [id, new Proxy({}, { get: (_, name) => require(id)[name] })])
)

/** require() as seen by the files of dist/: its own files through here, everything else by Node.js. */
function load(id) {
  if (!id.startsWith('./')) return slow.get(id) ?? require(id)
  const name = id.slice(2)
  if (!modules.has(name)) modules.set(name, plain(held[name] ?? run(name)))
  return modules.get(name)
}

// The build asks for the caches to be written, after a run has compiled the functions it needed: all, or those of files
// that have none yet.
const { VIRSHIM_WRITE_CODE_CACHE: wanted } = process.env
if (wanted !== undefined) {
  process.once('exit', () => {
    mkdirSync(cache, { recursive: true })
    for (const [name, script] of scripts) {
      if (wanted === 'all' || !cacheOf(name)) writeFileSync(join(cache, name), script.createCachedData())
    }
  })
}

module.exports = program => {
  held = run(`${program}.cjs`)
}
