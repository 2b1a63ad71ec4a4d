// What libvirt's compatibility kit asks of a driver (test/helper/tck.py), asked of libvirtd and of an aggregator: each
// step passes on both or on neither, and both have seen the same. SCRIPTS='domain/050 …' runs some of its scripts,
// SCRIPTS=all all of them, those too that boot an operating system or migrate; else it is every third. MOVES=96 has all of
// its migrations.
import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { AggregatorRun } from '../../helper/aggregator.ts'
import { DIRECT_BOOT, makeGuestFiles } from '../../helper/booted-guest.ts'
import { Daemons } from '../../helper/libvirtd.ts'
import { MigrationWorld } from '../../helper/migration-world.ts'

t.setTimeout(1_200_000)

const run = promisify(execFile)
const MIGRATION = 'domain/300'
const { SCRIPTS, MOVES = '7' } = process.env
const chosen = SCRIPTS === 'all' ? undefined : SCRIPTS?.split(' ')
/** They take as long as all others; whether the first one's tray opens is its guest's firmware's business. */
const LONG = ['domain/207', 'domain/110', 'domain/200', 'domain/205', 'domain/210', 'domain/215', 'domain/500']
const left = [MIGRATION, ...(SCRIPTS === undefined ? LONG : [])]

interface Options {
  uri: string
  other?: string
  name: string
  directory: string
  scripts?: string[] | undefined
  leave?: string[]
  /** every so many of them */
  each?: number
}
type Step = [what: string, passed: boolean, seen: unknown]

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

/** Runs scripts of the kit; what is a side's own is told by one word on both. */
async function kit(options: Options): Promise<Record<string, Step[]>> {
  const { name, directory } = options
  const given = JSON.stringify({ ...options, boot: DIRECT_BOOT, moves: Number(MOVES) })
  const { stdout } = await run('/usr/bin/python3', ['test/helper/tck.py', given], { maxBuffer: 2 ** 26 })
  return JSON.parse(
    stdout
      .replaceAll(directory, 'DIRECTORY')
      .replaceAll(name, 'GUEST')
      .replace(UUID, 'UUID')
      .replace(/\bvnet\d+/g, 'vnetN')
  )
}

async function compare(t: Test, theirs: Options, ours: Options): Promise<void> {
  const [expected, got] = await Promise.all([kit(theirs), kit(ours)])
  for (const [script, steps] of Object.entries(expected)) {
    const failed = (all: Step[]) => all.filter(([, passed]) => !passed).length
    t.comment(`${script}: ${steps.length} steps, of which fail: ${failed(steps)}, here ${failed(got[script]!)}`)
    t.same(got[script], steps, script)
  }
}

makeGuestFiles()

t.test('on one host', async t => {
  const scripts = chosen?.filter(script => script !== MIGRATION)
  if (scripts?.length === 0) return t.end()
  const dir = mkdtempSync(join(tmpdir(), 'virshim-tck-'))
  chmodSync(dir, 0o755)
  const daemons = new Daemons(dir)
  const aggregator = new AggregatorRun()
  t.teardown(async () => {
    await aggregator.end()
    daemons.end()
    rmSync(dir, { recursive: true, force: true })
  })
  await daemons.ensure()
  await aggregator.start('--secondary', '/run/libvirt')
  const side = (word: string, uri: string): Options => {
    const directory = join(dir, word)
    mkdirSync(directory)
    return {
      uri,
      name: `tck-${word}-${process.pid}`,
      directory,
      scripts,
      leave: left,
      each: SCRIPTS === undefined ? 3 : 1
    }
  }
  const socket = join(aggregator.root, 'libvirt-sock')
  await compare(t, side('theirs', 'qemu:///system'), side('ours', `qemu+unix:///system?socket=${socket}`))
})

t.test('between two hosts', async t => {
  if (SCRIPTS !== 'all' && !chosen?.includes(MIGRATION)) return t.end()
  const worlds = [new MigrationWorld({ daemon: 'libvirtd' }), new MigrationWorld({ daemon: 'virshim' })]
  t.teardown(() => Promise.all(worlds.map(world => world.end())))
  await Promise.all(worlds.map(world => world.start()))
  const [theirs, ours] = worlds.map(({ a, b, shared }): Options => {
    return { uri: a.uri, other: b.uri, name: 'tck', directory: shared, scripts: [MIGRATION] }
  })
  await compare(t, theirs!, ours!)
})
