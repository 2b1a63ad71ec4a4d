// The same domain XML, asked of libvirtd and of virshim: command line, completed XML or error have to agree.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { canonicalOptions, canonicalXml, difference, shellWords } from '../../helper/equivalence.ts'
import { Daemons, NO_NATIVE } from '../../helper/libvirtd.ts'

const SOURCES = 'test/data/domain'
/** A libvirtd that somebody else keeps alive gets this long to come back from a crash. */
const COMEBACK_MS = 2_000
const LOST = 3

type ErrorPair = [code: number, message: string]
interface Answer {
  argv?: string[]
  argvError?: ErrorPair
  xml?: string
  xmlError?: ErrorPair
}

const dir = mkdtempSync(join(tmpdir(), 'virshim-libvirtd-'))
const daemons = new Daemons(dir)
t.teardown(() => {
  daemons.end()
  rmSync(dir, { recursive: true, force: true })
})

/** Copies of the examples, under names no other domain of this libvirtd has. */
function copyExamples(): string[] {
  return readdirSync(SOURCES)
    .filter(name => name.endsWith('.xml'))
    .sort()
    .map(name => {
      const copy = join(dir, name)
      const text = readFileSync(join(SOURCES, name), 'utf8')
      writeFileSync(copy, text.replace(/<name>([\w.-]+)<\/name>/, `<name>virshim-${process.pid}-$1</name>`))
      return copy
    })
}

/** Runs until the connection breaks or all are answered. */
function askOnce(files: string[], answers: Map<string, Answer>): Promise<number | null> {
  const child = spawn('/usr/bin/python3', ['test/helper/libvirt-answers.py', NO_NATIVE.source, ...files], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  createInterface({ input: child.stdout }).on('line', line => {
    const { file, argv, ...rest } = JSON.parse(line)
    answers.set(file, { ...rest, ...(argv !== undefined && { argv: shellWords(argv) }) })
  })
  return new Promise(resolve => child.once('close', resolve))
}

/** Every file's answer; one that libvirtd does not survive has none. */
async function askLibvirtd(files: string[]): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>()
  const fatal = new Set<string>()
  let before = -1
  for (;;) {
    await daemons.ensure(COMEBACK_MS)
    const left = files.filter(file => !answers.has(file) && !fatal.has(file))
    if (left.length === 0) return answers
    const status = await askOnce(left, answers)
    if (status !== 0 && status !== LOST) throw new Error(`libvirt-answers.py ended with ${status}`)
    const next = left.find(file => !answers.has(file))
    // twice without an answer: it is this file
    if (next !== undefined && before === answers.size) fatal.add(next)
    before = answers.size
  }
}

/** One process for all files and each of the two questions. */
function askVirshim(files: string[]): Map<string, Answer> {
  const answers = new Map<string, Answer>(files.map(file => [file, {}]))
  for (const [key, verb] of [
    ['argv', ['domxml-to-native', 'qemu-argv']],
    ['xml', ['domxml-normalize']]
  ] as const) {
    const run = spawnSync('bin/virshim', [...verb, '--json', ...files], { encoding: 'utf8', maxBuffer: 2 ** 30 })
    for (const line of run.stdout.split('\n').filter(Boolean)) {
      const { file, error, ...rest } = JSON.parse(line)
      Object.assign(answers.get(file)!, error ? { [`${key}Error`]: [error.code, error.message] } : rest)
    }
  }
  return answers
}

/** How virshim's answer differs from libvirt's. */
function differences(file: string, expected: Answer, got: Answer): string[] {
  const source = readFileSync(file, 'utf8')
  const out: string[] = []
  for (const [key, wanted, given] of [
    ['argv', expected.argv && canonicalOptions(expected.argv, source), got.argv && canonicalOptions(got.argv, source)],
    ['xml', expected.xml && canonicalXml(expected.xml, source), got.xml && canonicalXml(got.xml, source)]
  ] as const) {
    const [wantedError, givenError] = [expected[`${key}Error`], got[`${key}Error`]]
    if (key === 'argv' && NO_NATIVE.test(basename(file))) continue // libvirtd was not asked
    if (wanted && given) out.push(...difference(wanted, given).map(line => `${key} ${line}`))
    else if (wanted) out.push(`${key}: refused with ${JSON.stringify(givenError)}`)
    else if (given) out.push(`${key}: accepted, libvirt says ${JSON.stringify(wantedError)}`)
    else if (JSON.stringify(wantedError) !== JSON.stringify(givenError)) {
      out.push(`${key}: libvirt says ${JSON.stringify(wantedError)}, virshim ${JSON.stringify(givenError)}`)
    }
  }
  return out
}

const noLibvirt = spawnSync('/usr/bin/python3', ['-c', 'import libvirt']).status !== 0 || process.getuid?.() !== 0

t.test('virshim answers as libvirtd does', { skip: noLibvirt && 'needs root and python3-libvirt' }, async t => {
  const files = copyExamples()
  t.ok(files.length >= 120, `${files.length} examples`)
  const expected = await askLibvirtd(files)
  const got = askVirshim(files)
  for (const file of files) {
    const name = basename(file)
    const answer = expected.get(file)
    if (answer) t.same(differences(file, answer, got.get(file)!), [], name)
    else t.comment(`${name}: libvirtd crashes on it`)
  }
  t.ok(expected.size > files.length * 0.95, `${files.length - expected.size} files crash libvirtd`)
})
