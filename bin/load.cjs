// Runs a program of dist/ with the code caches the build has left beside its files. V8 takes a cache only from the same
// Node.js with the same flags, so there is a directory for each; without one, code is compiled as usual.
const { mkdirSync, readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { cachedDataVersionTag } = require('node:v8')
const { Script } = require('node:vm')

const dist = join(__dirname, '../dist')
const cache = join(dist, 'cache', String(cachedDataVersionTag()))
/** module functions by name: a file holds one, a program's file those of all it always loads */
const functions = Object.create(null)
const modules = new Map()
const scripts = new Map()

function cacheOf(name) {
  try {
    return readFileSync(join(cache, name))
  } catch {
    return undefined
  }
}

function read(name) {
  const filename = join(dist, name)
  const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData: cacheOf(name) })
  scripts.set(name, script)
  Object.assign(functions, script.runInThisContext())
}

/** require() as seen by the files of dist/: its own modules through here, everything else by Node.js. */
function load(id) {
  if (!id.startsWith('./')) return require(id)
  const name = id.slice(2)
  const known = modules.get(name)
  if (known) return known.exports
  if (!functions[name]) read(name)
  const module = { exports: {} }
  modules.set(name, module)
  functions[name].call(module.exports, module.exports, load, module, join(dist, name), dist)
  // esbuild exports getters, as bindings may change; ours do not, and a plain property costs its users nothing
  const { __esModule } = module.exports
  module.exports = Object.defineProperty({ ...module.exports }, '__esModule', { value: __esModule })
  return module.exports
}

// The build asks for the caches to be written, after a run has compiled the functions it needed.
if (process.env.VIRSHIM_WRITE_CODE_CACHE === '1') {
  process.once('exit', () => {
    mkdirSync(cache, { recursive: true })
    for (const [name, script] of scripts) writeFileSync(join(cache, name), script.createCachedData())
  })
}

module.exports = program => load(`./${program}.cjs`)
