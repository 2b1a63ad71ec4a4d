// Parts of an XML document by an XPath expression, as virsh prints them (virshDumpXML). Of XPath 1.0 there are location
// paths in their short form, unions, and predicates with positions, comparisons and the functions below; what else an
// expression has is an error.
import { escapeXml, formatXml, parseXml, textOf, type XmlElement, type XmlNode } from '../conf/xml.ts'
import { ClientError } from './failure.ts'

/** A node of the document; the document itself has no parent. */
interface Node {
  parent: Node | undefined
  children: Node[]
  attributes: Node[]
  name?: string
  element?: XmlElement
  /** of an attribute or text */
  text?: string
  /** its place in the document */
  order: number
}

type Value = Node[] | string | number | boolean

function treeOf(root: XmlElement): Node {
  let order = 0
  const make = (parent: Node | undefined, more: Partial<Node>): Node => {
    const node = { parent, children: [], attributes: [], order: order++, ...more }
    return node
  }
  const add = (parent: Node, child: XmlNode): Node => {
    if (typeof child === 'string') return make(parent, { text: child })
    const node = make(parent, { name: child.name, element: child })
    node.attributes = Object.entries(child.attributes).map(([name, text]) => make(node, { name, text }))
    node.children = child.children.map(one => add(node, one))
    return node
  }
  const document = make(undefined, {})
  document.children = [add(document, root)]
  return document
}

const stringOf = (value: Value): string => {
  if (!Array.isArray(value)) return String(value)
  const [first] = value
  return first ? (first.text ?? (first.element ? textOf(first.element) : '')) : ''
}
const numberOf = (value: Value): number =>
  typeof value === 'boolean'
    ? Number(value)
    : /^\s*-?[\d.]+\s*$/.test(stringOf(value))
      ? Number(stringOf(value))
      : Number.NaN
const isTrue = (value: Value): boolean => (Array.isArray(value) ? value.length > 0 : Boolean(value))

/** True for any node of a set that compares so, as XPath has it. */
function compare(left: Value, right: Value, by: string): boolean {
  const each = (value: Value): Value[] => (Array.isArray(value) ? value.map(node => stringOf([node])) : [value])
  return each(left).some(a =>
    each(right).some(b => {
      if (by === '=' || by === '!=') {
        const same =
          typeof a === 'number' || typeof b === 'number' ? numberOf(a) === numberOf(b) : stringOf(a) === stringOf(b)
        return same === (by === '=')
      }
      const [x, y] = [numberOf(a), numberOf(b)]
      return by === '<' ? x < y : by === '>' ? x > y : by === '<=' ? x <= y : x >= y
    })
  )
}

interface Place {
  node: Node
  position: number
  last: number
}
type Expression = (place: Place) => Value

const FUNCTIONS: Record<string, (args: Value[], place: Place) => Value> = {
  position: (_, { position }) => position,
  last: (_, { last }) => last,
  count: ([set]) => (Array.isArray(set) ? set.length : 0),
  contains: ([text = '', part = '']) => stringOf(text).includes(stringOf(part)),
  'starts-with': ([text = '', part = '']) => stringOf(text).startsWith(stringOf(part)),
  not: ([value = false]) => !isTrue(value),
  name: ([set], { node }) => (Array.isArray(set) ? (set[0]?.name ?? '') : (node.name ?? '')),
  string: ([value], { node }) => stringOf(value ?? [node]),
  'normalize-space': ([value], { node }) =>
    stringOf(value ?? [node])
      .trim()
      .replace(/\s+/g, ' '),
  true: () => true,
  false: () => false
}

const inOrder = (nodes: Node[]): Node[] => [...new Set(nodes)].sort((a, b) => a.order - b.order)
const below = (node: Node): Node[] => [node, ...node.children.flatMap(below)]

class Parser {
  readonly #tokens: string[]
  #at = 0

  constructor(text: string) {
    this.#tokens = text.match(/\/\/|\.\.|!=|<=|>=|[/@.[\]()|=<>,*]|'[^']*'|"[^"]*"|\d+(?:\.\d+)?|[\w:-]+|\S/g) ?? []
  }

  /** @throws ClientError */
  whole(): Expression {
    const expression = this.#union()
    if (this.#at < this.#tokens.length) throw wrong()
    return expression
  }

  #takes(...tokens: string[]): string | undefined {
    const token = this.#tokens[this.#at]
    if (token === undefined || !tokens.includes(token)) return undefined
    this.#at++
    return token
  }

  #must(token: string): void {
    if (!this.#takes(token)) throw wrong()
  }

  #word(): string {
    const token = this.#tokens[this.#at++]
    if (token === undefined || !/^[\w:-]+$/.test(token)) throw wrong()
    return token
  }

  #or(): Expression {
    const parts = [this.#and()]
    while (this.#takes('or')) parts.push(this.#and())
    return parts.length === 1 ? parts[0]! : place => parts.some(part => isTrue(part(place)))
  }

  #and(): Expression {
    const parts = [this.#comparison()]
    while (this.#takes('and')) parts.push(this.#comparison())
    return parts.length === 1 ? parts[0]! : place => parts.every(part => isTrue(part(place)))
  }

  #comparison(): Expression {
    const left = this.#union()
    const by = this.#takes('=', '!=', '<=', '>=', '<', '>')
    if (!by) return left
    const right = this.#union()
    return place => compare(left(place), right(place), by)
  }

  #union(): Expression {
    const parts = [this.#value()]
    while (this.#takes('|')) parts.push(this.#value())
    if (parts.length === 1) return parts[0]!
    return place => inOrder(parts.flatMap(part => setOf(part(place))))
  }

  #value(): Expression {
    const token = this.#tokens[this.#at] ?? ''
    if (/^['"]/.test(token)) {
      this.#at++
      return () => token.slice(1, -1)
    }
    if (/^\d/.test(token)) {
      this.#at++
      return () => Number(token)
    }
    if (this.#tokens[this.#at + 1] === '(' && Object.hasOwn(FUNCTIONS, token)) return this.#call(FUNCTIONS[token]!)
    if (!this.#takes('(')) return this.#path()
    const inside = this.#or()
    this.#must(')')
    return inside
  }

  #call(run: (args: Value[], place: Place) => Value): Expression {
    this.#at += 2
    const args: Expression[] = []
    while (!this.#takes(')')) {
      if (args.length > 0) this.#must(',')
      args.push(this.#or())
    }
    return place =>
      run(
        args.map(arg => arg(place)),
        place
      )
  }

  #path(): Expression {
    const steps: ((nodes: Node[]) => Node[])[] = []
    const start = this.#takes('/', '//')
    if (start === '//') steps.push(nodes => nodes.flatMap(below))
    if (start !== '/' || this.#beginsStep()) steps.push(this.#step())
    for (let next = this.#takes('/', '//'); next; next = this.#takes('/', '//')) {
      if (next === '//') steps.push(nodes => nodes.flatMap(below))
      steps.push(this.#step())
    }
    return ({ node }) => {
      let nodes = [node]
      if (start) while (nodes[0]!.parent) nodes = [nodes[0]!.parent]
      for (const step of steps) nodes = inOrder(step(nodes))
      return nodes
    }
  }

  #beginsStep(): boolean {
    return /^([@.*]|\.\.|[\w:-]+)$/.test(this.#tokens[this.#at] ?? '')
  }

  #step(): (nodes: Node[]) => Node[] {
    const select = this.#test()
    const predicates: Expression[] = []
    while (this.#takes('[')) {
      predicates.push(this.#or())
      this.#must(']')
    }
    return nodes =>
      nodes.flatMap(node =>
        predicates.reduce(
          (found, predicate) =>
            found.filter((one, i) => {
              const value = predicate({ node: one, position: i + 1, last: found.length })
              return typeof value === 'number' ? value === i + 1 : isTrue(value)
            }),
          select(node)
        )
      )
  }

  #test(): (node: Node) => Node[] {
    if (this.#takes('..')) return ({ parent }) => (parent ? [parent] : [])
    if (this.#takes('.')) return node => [node]
    const isAttribute = this.#takes('@') !== undefined
    const from = ({ attributes, children }: Node) => (isAttribute ? attributes : children)
    if (this.#takes('*')) return node => from(node).filter(one => one.name !== undefined)
    const name = this.#word()
    if (!this.#takes('(')) return node => from(node).filter(one => one.name === name)
    this.#must(')')
    if (name === 'node') return from
    if (name === 'text') return node => from(node).filter(one => one.name === undefined)
    throw wrong()
  }
}

const wrong = () => new ClientError('XPath error : Invalid expression')

function setOf(value: Value): Node[] {
  if (Array.isArray(value)) return value
  throw new ClientError('XPath error : Invalid type')
}

/** As libxml2 writes it, whatever indent it has in the document. */
const written = (element: XmlElement): string => formatXml({ ...element, namespace: element.namespace ?? '' }).trimEnd()

function textOfNode({ element, name, text = '' }: Node): string {
  if (element) return written(element)
  return name === undefined ? escapeXml(text) : ` ${name}="${escapeXml(text)}"`
}

/**
 * The parts of a document, each on lines of its own, or with `wrap` below one element.
 * @throws ClientError for what gives no nodes, and for an expression that is none, where virsh prints nothing
 */
export function xpathParts(xml: string, expression: string, wrap: boolean): string {
  const [root] = treeOf(parseXml(xml)).children
  const nodes = setOf(new Parser(expression).whole()({ node: root!, position: 1, last: 1 }))
  if (!wrap) return nodes.map(node => `${textOfNode(node)}\n`).join('')
  const attributes = nodes.flatMap(({ element, name, text }) => (!element && name !== undefined ? [[name, text!]] : []))
  const children = nodes.flatMap(
    ({ element, name, text }) => element ?? (name === undefined && text !== undefined ? text : [])
  )
  return `${written({ name: 'nodes', attributes: Object.fromEntries(attributes), children })}\n`
}

/** Options of commands that print a document. */
export const xpathOptions = {
  xpath: { kind: 'string', help: 'xpath expression to filter the XML document' },
  wrap: { kind: 'bool', help: 'wrap xpath results in an common root element' }
} as const

/** A document, or the parts of it that are asked for. */
export function dumped(
  xml: string,
  given: { text(name: string): string | undefined; has(name: string): boolean }
): string {
  const expression = given.text('xpath')
  return expression === undefined ? xml : xpathParts(xml, expression, given.has('wrap'))
}
