// Calls of libvirt-python, made by python-calls.py on two daemons with equal guests: the answers are to agree.
import { spawn } from 'node:child_process'
import type { Test } from 'tap'

/** As python-calls.py compares an answer; PATH of ElementTree's for the elements of XML that it finds. */
type How = 'exact' | 'shape' | 'code' | 'elements' | `./${string}`
export type Call = [on: 'conn' | 'dom' | 'qemu', method: string, args: unknown[], how: How]

export const dom = (method: string, ...args: unknown[]): Call => ['dom', method, args, 'exact']
export const qemu = (method: string, ...args: unknown[]): Call => ['qemu', method, args, 'exact']
export const conn = (method: string, ...args: unknown[]): Call => ['conn', method, args, 'exact']

const compared =
  (how: How) =>
  ([on, method, args]: Call): Call => [on, method, args, how]
/** Values that are different in equal guests: only their types are compared. */
export const typesOf = compared('shape')
/** Errors whose words are those of another XML parser, or another program. */
export const codeOf = compared('code')
export const elementsOf = compared('elements')
/** Elements of a definition, whole, that libvirt's look-up of paths finds; `flags` are virDomainXMLFlags. */
export const xmlOf = (path: string, flags: number | string = 0): Call => ['dom', 'XMLDesc', [flags], `./${path}`]

interface Ran {
  status: number | null
  out: string
  err: string
}

/** Runs a helper. Not spawnSync: a shim of this process must go on. */
export async function python(helper: string, args: string[], input = ''): Promise<Ran> {
  const child = spawn('/usr/bin/python3', [`test/helper/${helper}`, ...args], { timeout: 300_000 })
  let out = ''
  let err = ''
  child.stdout.on('data', chunk => {
    out += chunk
  })
  child.stderr.on('data', chunk => {
    err += chunk
  })
  child.stdin.end(input)
  const status = await new Promise<number | null>(resolve => child.once('close', resolve))
  return { status, out, err }
}

/** A daemon and its guest; `words` are what stands in its calls and answers for what is its own, as `$D: DIRECTORY`. */
export interface Side {
  uri: string
  name: string
  words?: Record<string, string>
}

async function answersOf({ uri, name, words = {} }: Side, asked: Call[], more: string[]): Promise<unknown[]> {
  const all = Object.entries(words)
  const input = all.reduce((text, [word, own]) => text.replaceAll(word, own), JSON.stringify(asked))
  const { out, err } = await python('python-calls.py', [uri, name, ...more], input)
  if (out === '') throw new Error(`${uri}: ${err}`)
  return JSON.parse(all.reduce((text, [word, own]) => text.replaceAll(own, word), out))
}

/** Makes the calls on both, one after the other on each, and compares. */
export async function compareCalls(t: Test, asked: Call[], theirs: Side, ours: Side, ...more: string[]): Promise<void> {
  const [expected, got] = await Promise.all([answersOf(theirs, asked, more), answersOf(ours, asked, more)])
  for (const [at, [on, method, args, how]] of asked.entries()) {
    const given = [...args.map(one => JSON.stringify(one)), ...(how.startsWith('./') ? [how] : [])]
    t.same(got[at], expected[at], `${on}.${method}(${given.join(', ')})`)
  }
}
