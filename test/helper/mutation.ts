// Domain XML gone wrong, for fast-check: a valid document with some of its parts deleted, doubled, renamed or given
// values nobody expects.
import fc from 'fast-check'
import { childElements, formatXml, parseXml, type XmlElement } from '../../src/conf/xml.ts'

/** Values of the kinds that break parsers. */
const value = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '0',
    '-1',
    '1e9',
    '0x',
    '0xffffffffffffffffff',
    '00',
    '08',
    '4294967296',
    '18446744073709551615',
    '18446744073709551616',
    '9'.repeat(400),
    'yes',
    'no',
    'on',
    'off',
    'default',
    'none',
    '__proto__',
    'constructor',
    'toString',
    '../../etc/passwd',
    '/',
    ',',
    '=',
    'a,b=c',
    '\'"&<>',
    '%s%n',
    'ffff:ff:ff.f',
    '1-',
    '-',
    '0-4294967295',
    '1,^1',
    '1.2.3.4.5',
    'é\u{1f600}'
  ),
  fc.string({ maxLength: 20 }),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String)
)
const name = fc.constantFrom('type', 'name', 'source', 'target', 'address', 'model', 'driver', 'x', '__proto__', 'id')

interface Change {
  kind: 'delete' | 'double' | 'rename' | 'attribute' | 'newAttribute' | 'dropAttribute' | 'text' | 'move'
  /** which element, attribute and other element; taken modulo what there is */
  at: number
  attribute: number
  other: number
  value: string
  name: string
}

export const changes: fc.Arbitrary<Change[]> = fc.array(
  fc.record<Change>({
    kind: fc.constantFrom(
      'delete',
      'double',
      'rename',
      'attribute',
      'attribute',
      'attribute',
      'newAttribute',
      'dropAttribute',
      'text',
      'move'
    ),
    at: fc.nat(),
    attribute: fc.nat(),
    other: fc.nat(),
    value: value.map(text => text.replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '?')),
    name
  }),
  { minLength: 1, maxLength: 6 }
)

/** Every element with its parent, the root left out. */
function inside(node: XmlElement, out: [XmlElement, XmlElement][] = []): [XmlElement, XmlElement][] {
  for (const kid of childElements(node)) {
    out.push([kid, node])
    inside(kid, out)
  }
  return out
}

/** The document with the changes made. */
export function changed(text: string, list: Change[]): string {
  const root = parseXml(text)
  for (const change of list) {
    const all = inside(root)
    const picked = all[change.at % all.length]
    if (picked) apply(change, picked[0], picked[1], all)
  }
  return formatXml(root)
}

const PLAIN = { enumerable: true, configurable: true, writable: true }

function apply(change: Change, node: XmlElement, parent: XmlElement, all: [XmlElement, XmlElement][]): void {
  const keys = Object.keys(node.attributes)
  const key = keys[change.attribute % keys.length]
  switch (change.kind) {
    case 'delete':
      parent.children.splice(parent.children.indexOf(node), 1)
      break
    case 'double':
      parent.children.push(structuredClone(node))
      break
    case 'rename':
      node.name = change.name
      break
    case 'attribute':
      if (key !== undefined) node.attributes[key] = change.value
      break
    case 'newAttribute':
      // not by assignment, which would take __proto__ for something else
      Object.defineProperty(node.attributes, change.name, { ...PLAIN, value: change.value })
      break
    case 'dropAttribute':
      if (key !== undefined) delete node.attributes[key]
      break
    case 'text':
      node.children = [change.value]
      break
    case 'move':
      all[change.other % all.length]?.[0].children.push(structuredClone(node))
      break
  }
}
