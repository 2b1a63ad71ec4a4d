// What must hold for every domain XML: a completed definition is written so that reading it gives the same again, and
// a damaged one gives a VirError at once, never another exception.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { DomainDef } from '../../src/conf/domain-def.ts'
import { formatDomain } from '../../src/conf/domain-xml.ts'
import { VirError } from '../../src/conf/error.ts'
import { childElements, firstChild, formatXml, parseXml } from '../../src/conf/xml.ts'
import { buildCommand } from '../../src/drivers/qemu/command/index.ts'
import { loadDomain, prepareNative } from '../../src/drivers/qemu/definition/passes.ts'
import { testContext } from '../helper/definition.ts'
import { changed, changes } from '../helper/mutation.ts'

const SOURCES = 'test/data/domain'
const SEED = 20_230_101
/** of CPU time: others may be using the machine */
const LIMIT_MS = 200

const examples = new Map(
  readdirSync(SOURCES)
    .filter(name => name.endsWith('.xml'))
    .sort()
    .map(name => [name, readFileSync(join(SOURCES, name), 'utf8')])
)
const texts = [...examples.values()]

const load = async (xml: string): Promise<DomainDef> => (await loadDomain(xml, async () => testContext())).def
const write = (def: DomainDef) => formatDomain(def, { inactive: true, secure: true })

/** Passes all steps up to the command line. @throws only VirError, unless there is a bug */
async function everything(xml: string): Promise<void> {
  const { def, context } = await loadDomain(xml, async () => testContext())
  write(def)
  formatDomain(def, { inactive: false, secure: true, status: true })
  formatDomain(def, { inactive: false, migratable: true })
  buildCommand(def, prepareNative(def, context))
}

/** What is wrong with how a document is taken, or undefined. */
async function fault(xml: string): Promise<string | undefined> {
  const begun = process.cpuUsage()
  try {
    await everything(xml)
  } catch (error) {
    if (!(error instanceof VirError)) return `${(error as Error).stack ?? error}`
  }
  const { user, system } = process.cpuUsage(begun)
  const usedMs = (user + system) / 1000
  return usedMs > LIMIT_MS ? `took ${usedMs.toFixed(0)} ms` : undefined
}

/** As text, devices in an order that does not depend on theirs: libvirt sorts disks and controllers as it reads them. */
function unordered(text: string): string {
  const root = parseXml(text)
  const devices = firstChild(root, 'devices')
  if (devices) devices.children = childElements(devices).sort((a, b) => (formatXml(a) < formatXml(b) ? -1 : 1))
  return formatXml(root)
}

/** What of a definition is shown to anyone: as it is kept, as it runs, as it is sent to another host. */
function forms(def: DomainDef): string {
  return [
    formatDomain(def, { inactive: true, secure: true }),
    formatDomain(def, { inactive: false, secure: true, status: true }),
    formatDomain(def, { inactive: false, migratable: true })
  ]
    .map(unordered)
    .join('')
}

/** The first and last lines that differ, and all between them. */
function changedLines(before: string, after: string): string {
  const [old, now] = [before.split('\n'), after.split('\n')]
  let begin = 0
  while (old[begin] === now[begin]) begin++
  let end = 0
  while (old.at(-1 - end) === now.at(-1 - end)) end++
  const part = (lines: string[], mark: string) => lines.slice(begin, lines.length - end).map(line => mark + line)
  return [...part(old, '-'), ...part(now, '+')].join('\n')
}

/** How a definition changes when it is written and read again, or undefined. */
async function instability(xml: string): Promise<string | undefined> {
  const first = await load(xml)
  const second = await load(write(first))
  return forms(first) === forms(second) ? undefined : changedLines(forms(first), forms(second))
}

/** The examples this context accepts; those that name what only a real host has are left out. */
async function accepted(): Promise<[string, string][]> {
  const out: [string, string][] = []
  for (const [name, xml] of examples) {
    try {
      await load(xml)
      out.push([name, xml])
    } catch (error) {
      if (!(error instanceof VirError)) throw error
    }
  }
  return out
}

t.test('a completed definition reads and writes the same', async t => {
  const good = await accepted()
  t.ok(good.length > 20, `${good.length} of ${examples.size} are accepted`)
  for (const [name, xml] of good) t.equal(await instability(xml), undefined, name)
})

/** Runs a property that says what is wrong with a document; gives the smallest document found wrong, and why. */
async function wrong<T extends unknown[]>(
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  numRuns: number,
  make: (...given: T) => string,
  check: (xml: string) => Promise<string | undefined>
): Promise<string | undefined> {
  const property = fc.asyncProperty(fc.tuple<T>(...arbitraries), async given => {
    const problem = await check(make(...given))
    if (problem) throw new Error(problem)
  })
  const { failed, counterexample, errorInstance } = await fc.check(property, { seed: SEED, numRuns })
  return failed ? `${(errorInstance as Error).message}\n${make(...counterexample![0])}` : undefined
}

/** The first guest, with the devices of the others. */
function together([first, ...others]: string[]): string {
  const root = parseXml(first!)
  const devices = firstChild(root, 'devices')
  for (const other of others) {
    const more = firstChild(parseXml(other), 'devices')
    if (more) devices?.children.push(...childElements(more))
  }
  return formatXml(root)
}

/** As with libvirt, more than these are refused once they are written as ISA ports. */
const ISA_SERIAL_PORTS = 4

// Once written: as with libvirt, a console behind the one a serial port implies is counted anew when it is first read.
t.test('so do guests with the devices of several, once written', async t => {
  const good = (await accepted()).map(([, xml]) => xml)
  const several = fc.array(fc.constantFrom(...good), { minLength: 2, maxLength: 4 })
  const check = async (xml: string) => {
    let def: DomainDef
    try {
      def = await load(xml)
    } catch (error) {
      if (error instanceof VirError) return undefined
      throw error
    }
    return def.devices.serials.length > ISA_SERIAL_PORTS ? undefined : instability(write(def))
  }
  t.equal(await wrong([several], 300, together, check), undefined)
})

t.test('damaged definitions are read or refused, at once', async t => {
  await fault(texts[0]!)
  t.equal(await wrong([fc.constantFrom(...texts), changes], 3000, changed, fault), undefined)
})

t.test('so is text cut off or overwritten anywhere', async t => {
  const damaged = (text: string, at: number, drop: number | undefined, put: string) => {
    const cut = at % (text.length + 1)
    return text.slice(0, cut) + (drop === undefined ? '' : put + text.slice(cut + drop))
  }
  const arbitraries = [
    fc.constantFrom(...texts),
    fc.nat(),
    fc.option(fc.nat(2), { nil: undefined }),
    fc.string({ maxLength: 4 })
  ] as const
  t.equal(await wrong([...arbitraries], 1500, damaged, fault), undefined)
})
