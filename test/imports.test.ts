// The house's order: every import below src/ points down, from floor to floor and from room to room of the QEMU driver
// (README.md, "How it is made"), and no files import each other in a circle at run time.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'

/** From the ground up. */
const FLOORS = ['conf', 'state', 'host', 'drivers', 'server', 'client', 'programs']

/** Of src/drivers, from the ground up. Files that are no room stand in it by name. */
const ROOMS = [
  'method.ts',
  'qemu/monitor',
  'qemu/agent',
  'qemu/capabilities',
  'qemu/machine-type.ts',
  'secondary-drivers.ts',
  'qemu/context.ts',
  'migration.ts',
  'connection.ts',
  'known-guest.ts',
  'qemu/parts',
  'qemu/cpu',
  'qemu/block',
  'qemu/firmware',
  'qemu/capabilities-xml',
  'qemu/device',
  'qemu/command',
  'qemu/definition',
  'qemu/domain',
  'qemu/process',
  'qemu/stats',
  'qemu/console',
  'qemu/job',
  'qemu/tuning',
  'qemu/hotplug',
  'qemu/blockjob',
  'qemu/checkpoint',
  'qemu/backup',
  'qemu/migration',
  'qemu/save',
  'qemu/snapshot',
  'qemu/events',
  'qemu/api',
  'qemu/index.ts',
  'qemu/coverage.ts'
]

interface Import {
  from: string
  to: string
  /** erased by the compiler */
  isType: boolean
  /** not before it is called for */
  isLazy: boolean
}

const IMPORT =
  /^(import type|import|export type|export)\b([^'"]*?)\bfrom '(\.[^']+)'|^import '(\.[^']+)'|import\('(\.[^']+)'\)/gm

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts'))
  .map(name => join('src', name))

function importsOf(file: string): Import[] {
  return [...readFileSync(file, 'utf8').matchAll(IMPORT)].map(([, keyword, names = '', named, plain, lazy]) => ({
    from: file,
    to: normalize(join(dirname(file), (named ?? plain ?? lazy)!)),
    isType:
      keyword?.endsWith(' type') === true || (named !== undefined && /^\s*\{(\s*type [^,]+,?)+\s*\}\s*$/.test(names)),
    isLazy: lazy !== undefined
  }))
}

const imports = files.flatMap(importsOf)

/** How high a file stands; undefined for one that is on no floor or in no room. */
function height(file: string): number | undefined {
  const [, floor, ...rest] = file.split('/')
  const storey = FLOORS.indexOf(floor!)
  if (storey < 0) return undefined
  if (floor !== 'drivers') return storey
  const room = ROOMS.findIndex(name => name === rest.join('/') || rest.join('/').startsWith(`${name}/`))
  return room < 0 ? undefined : storey + room / ROOMS.length
}

t.test('every file has its place', async t => {
  t.ok(files.length > 400, 'files are found')
  t.ok(imports.length > 2000, 'imports are found')
  t.same(
    files.filter(file => height(file) === undefined),
    []
  )
  t.same(
    imports.filter(({ to }) => !files.includes(to)).map(({ from, to }) => `${from} -> ${to}`),
    []
  )
})

t.test('imports point down', async t => {
  const up = imports.filter(({ from, to }) => (height(to) ?? 0) > (height(from) ?? 0))
  t.same(
    up.map(({ from, to }) => `${from} -> ${to}`),
    []
  )
})

t.test("an API's rows are imported by the table alone", async t => {
  const rows = 'src/drivers/qemu/api/'
  const others = imports.filter(
    ({ from, to }) => to.startsWith(rows) && !from.startsWith(rows) && from !== 'src/drivers/qemu/index.ts'
  )
  t.same(
    others.map(({ from, to }) => `${from} -> ${to}`),
    []
  )
})

t.test('no circles at run time', async t => {
  const needed = new Map<string, string[]>(files.map(file => [file, []]))
  for (const { from, to, isType, isLazy } of imports) if (!isType && !isLazy) needed.get(from)!.push(to)
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: string[]) => {
    const at = path.indexOf(file)
    if (at >= 0) circles.push([...path.slice(at), file].join(' -> '))
    if (at >= 0 || done.has(file)) return
    for (const next of needed.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
  t.same(circles, [])
})
