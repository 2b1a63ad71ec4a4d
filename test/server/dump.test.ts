// Core dumps of a real guest: a pattern that lies in its memory is in each of them, byte by byte, and a shim that is killed
// meanwhile leaves either a whole one or none.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { segmentsOf } from '../helper/core-file.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

t.setTimeout(240_000)

const RUNNING = 1
const LIMIT_MS = 60_000
const PAGE = 4096
/** where the pattern lies in the guest's memory */
const ADDRESS = 32 << 20
const pattern = randomBytes(8 << 20)

const MEMORY = 'VIR_DUMP_MEMORY_ONLY'
const BYPASS = 'VIR_DUMP_BYPASS_CACHE'
const KDUMP_ZLIB = 1

/** <domain> whose QEMU puts a file into memory. */
const xml = (file: string) =>
  bareGuest('t-dump')
    .replace("<domain type='qemu'>", "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>")
    .replace(
      '</domain>',
      `<qemu:commandline><qemu:arg value='-device'/>
       <qemu:arg value='loader,file=${file},addr=${ADDRESS},force-raw=on'/></qemu:commandline></domain>`
    )

const shim = new Shim('')
t.teardown(() => shim.end())
const ram = join(shim.dir, 'ram')
const core = join(shim.dir, 'core')
writeFileSync(ram, pattern)
writeFileSync(shim.xmlFile, xml(ram))
let exited = shim.start()
await shim.untilState(RUNNING, LIMIT_MS)

const dump = (flags: string[], more: object = {}) =>
  shim.call('dumpformat' in more ? 'virDomainCoreDumpWithFormat' : 'virDomainCoreDump', { to: core, flags, ...more })

/** The names of a core file's notes. */
function notesOf(elf: Buffer): string[] {
  const names: string[] = []
  const aligned = (length: number) => Math.ceil(length / 4) * 4
  for (const { type, offset, bytes } of segmentsOf(elf)) {
    for (let place = offset; type === 4 && place < offset + bytes; ) {
      const [name, data] = [elf.readUInt32LE(place), elf.readUInt32LE(place + 4)]
      names.push(elf.toString('latin1', place + 12, place + 12 + name - 1))
      place += 12 + aligned(name) + aligned(data)
    }
  }
  return names
}

/** True for a core file with all of the guest's memory, and the pattern where it lies. */
function isWholeElf(elf: Buffer): boolean {
  const found = segmentsOf(elf).filter(({ type }) => type === 1)
  const low = found.find(({ address, bytes }) => address <= ADDRESS && ADDRESS < address + bytes)
  const end = Math.max(...found.map(({ offset, bytes }) => offset + bytes))
  if (!low || end > elf.length) return false
  const place = low.offset + ADDRESS - low.address
  return elf.subarray(place, place + pattern.length).equals(pattern)
}

/** True for what QEMU migrates: each page of the pattern, one behind the other, and an end. */
function isWholeStream(stream: Buffer): boolean {
  if (stream.toString('latin1', 0, 4) !== 'QEVM') return false
  let place = 0
  for (let from = 0; from < pattern.length; from += PAGE) {
    place = stream.indexOf(pattern.subarray(from, from + PAGE), place)
    if (place < 0) return false
    place += PAGE
  }
  // QEMU_VM_VMDESCRIPTION: what the state of the devices was made of, as JSON
  return stream.subarray(-1024).toString('latin1').trimEnd().endsWith('}')
}

t.test('memory alone, as ELF', async t => {
  for (const flags of [[MEMORY], [MEMORY, 'VIR_DUMP_LIVE'], [MEMORY, BYPASS]]) {
    t.equal((await dump(flags)).status, 200, `${flags}`)
    const elf = readFileSync(core)
    t.ok(isWholeElf(elf), `${flags}`)
    t.same(notesOf(elf), ['CORE', 'QEMU'], `${flags}`)
    t.equal((await shim.call('virDomainGetState')).body.state, RUNNING)
    rmSync(core)
  }
})

t.test('memory alone, compressed', async t => {
  t.equal((await dump([MEMORY], { dumpformat: KDUMP_ZLIB })).status, 200)
  const kdump = readFileSync(core)
  t.equal(kdump.toString('latin1', 0, 12), 'makedumpfile')
  t.ok(kdump.includes('KDUMP   '))
  t.ok(kdump.length > pattern.length, 'what is random stays as long')
  rmSync(core)
})

t.test('memory and devices', async t => {
  for (const flags of [[], ['VIR_DUMP_LIVE'], [BYPASS]]) {
    t.equal((await dump(flags)).status, 200, `${flags}`)
    t.ok(isWholeStream(readFileSync(core)), `${flags}`)
    const { body } = await shim.call('virDomainGetJobStats', { flags: ['VIR_DOMAIN_JOB_STATS_COMPLETED'] })
    t.match(body, { type: 3, params: { operation: 8, memory_remaining: 0 } })
    rmSync(core)
  }
})

/** Waits until the guest has no job. */
async function untilIdle(): Promise<void> {
  for (const limit = Date.now() + LIMIT_MS; Date.now() < limit; await sleep(20)) {
    const answer = await shim.call('virDomainGetJobInfo').catch(() => undefined)
    if (answer?.status === 200 && answer.body.type === 0) return
  }
  throw new Error('a job does not end')
}

async function killedMeanwhile(t: Test, flags: string[], isWhole: (core: Buffer) => boolean): Promise<void> {
  const seen = { whole: 0, none: 0 }
  for (const delayMs of [0, 20, 50, 100, 200]) {
    dump(flags).catch(() => undefined)
    await sleep(delayMs)
    shim.child?.kill('SIGKILL')
    await exited
    exited = shim.start()
    await shim.untilState(RUNNING, LIMIT_MS)
    await untilIdle()
    const name = `${flags} after ${delayMs} ms`
    seen[existsSync(core) ? 'whole' : 'none']++
    if (existsSync(core)) t.ok(isWhole(readFileSync(core)), name)
    rmSync(core, { force: true })
    t.match((await shim.call('virDomainGetState')).body, { state: RUNNING }, name)
  }
  t.comment(`${flags}: ${seen.whole} whole, ${seen.none} none`)
  t.equal((await dump(flags)).status, 200, 'the next one is whole')
  t.ok(isWhole(readFileSync(core)))
  rmSync(core)
}

t.test('a shim that is killed meanwhile', async t => {
  await killedMeanwhile(t, [MEMORY], isWholeElf)
  await killedMeanwhile(t, [MEMORY, BYPASS], isWholeElf)
  await killedMeanwhile(t, [], isWholeStream)
})

t.test('what is to follow follows, whoever is killed', async t => {
  dump([MEMORY, 'VIR_DUMP_CRASH']).catch(() => undefined)
  await sleep(50)
  shim.child?.kill('SIGKILL')
  await exited
  exited = shim.start()
  // either it was too early and the guest runs, or it is gone behind a dump that is whole
  await Promise.race([exited, shim.untilState(RUNNING, LIMIT_MS).then(untilIdle)]).catch(() => undefined)
  await Promise.race([exited, sleep(1000)])
  const isActive = await shim.call('virDomainGetState').then(
    ({ body }) => body.state === RUNNING,
    () => false
  )
  t.equal(existsSync(core), !isActive)
  if (!isActive) t.ok(isWholeElf(readFileSync(core)))
})
