// Whether two command lines or two domain XMLs mean the same: order of options and of differently named elements is
// free, and what each side draws at random, or numbers for itself, does not count.
import { childElements, parseXml, textOf, type XmlElement } from '../../src/conf/xml.ts'

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi
const MAC = /\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/gi
/** the clock's start, a moment of now */
const TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\b/g

/** Replaces what is not in the source, and so was made up, by what it is. */
function withoutInventions(text: string, source: string): string {
  const known = source.toLowerCase()
  const mask = (name: string) => (found: string) => (known.includes(found.toLowerCase()) ? found.toLowerCase() : name)
  return text.replace(UUID, mask('UUID')).replace(MAC, mask('MAC')).replace(TIME, mask('TIME'))
}

/** Words of a shell command line: quotes and backslashes as a POSIX shell has them. */
export function shellWords(line: string): string[] {
  const words: string[] = []
  let word: string | undefined
  const pattern = /'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|(\s+)|([^\s'"\\]+)/gsy
  for (const [, single, double, escaped, space, plain] of line.matchAll(pattern)) {
    if (space === undefined) {
      word = (word ?? '') + (single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? plain ?? '')
    } else if (word !== undefined) {
      words.push(word)
      word = undefined
    }
  }
  if (word !== undefined) words.push(word)
  return words
}

type Value = string | Value[] | { [key: string]: Value }

/** on, yes and true are one, so are their opposites, and numbers in any notation. */
function plain(value: unknown): Value {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
  }
  const text = String(value)
  if (text === 'true' || text === 'yes') return 'on'
  if (text === 'false' || text === 'no') return 'off'
  return /^0x[0-9a-f]+$/i.test(text) ? String(BigInt(text)) : text
}

/** Keys whose values are numbers of open files or ciphertext: every run has others. */
const OWN_KEYS = new Set(['fd', 'fds', 'vhostfd', 'vhostfds', 'iv'])

/** An option's argument as an object: JSON, or key=value with the first key left out. */
function parseOption(text: string): Value {
  let value: Value
  try {
    value = plain(JSON.parse(text))
  } catch {
    const pairs = text.split(/(?<!,),(?!,)/).map((part, index) => {
      const at = part.indexOf('=')
      if (at >= 0) return [part.slice(0, at), plain(part.slice(at + 1))]
      return index === 0 ? ['', part] : [part, 'on']
    })
    value = Object.fromEntries(pairs) as Value
  }
  if (typeof value !== 'object' || Array.isArray(value)) return value
  for (const key in value) if (OWN_KEYS.has(key)) value[key] = 'OWN'
  if (value['qom-type'] === 'secret' && value.keyid !== undefined) value.data = 'OWN'
  return value
}

const sorted = (value: Value): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object') return value
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(key => [key, sorted(value[key]!)])
  )
}

/** The options of a command line, each as one comparable line. */
export function canonicalOptions(words: string[], source: string): string[] {
  const begin = words.findIndex(word => word.startsWith('/'))
  const out = [words[begin] ?? '']
  for (let i = begin + 1; i < words.length; i++) {
    const option = words[i]!
    const next = words[i + 1]
    const value = next !== undefined && !/^-[a-z]/i.test(next) ? words[++i]! : ''
    out.push(`${option} ${JSON.stringify(sorted(parseOption(withoutInventions(value, source))))}`)
  }
  return out
}

/** What one side has and the other has not; both empty if they mean the same. */
export function difference(expected: string[], got: string[]): string[] {
  const left = [...got]
  const missing = expected.filter(line => {
    const at = left.indexOf(line)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
  return [...missing.map(line => `- ${line}`), ...left.map(line => `+ ${line}`)]
}

/** Lines of an element and what is in it: path, attributes, text. Elements of one name are counted. */
function lines(node: XmlElement, path: string, out: string[]): string[] {
  const attributes = Object.entries(node.attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ` ${key}='${value}'`)
  const kids = childElements(node)
  const text = kids.length === 0 ? textOf(node).trim() : ''
  out.push(`${path}${attributes.join('')} ${text}`.trimEnd())
  const counts = new Map<string, number>()
  for (const kid of kids) {
    const count = (counts.get(kid.name) ?? 0) + 1
    counts.set(kid.name, count)
    lines(kid, `${path}/${kid.name}[${count}]`, out)
  }
  return out
}

/** The elements of a domain XML, each as one comparable line; those of one name stay in their order. */
export function canonicalXml(text: string, source: string): string[] {
  const root = parseXml(withoutInventions(text, source))
  return lines(root, `/${root.name}`, [])
}
