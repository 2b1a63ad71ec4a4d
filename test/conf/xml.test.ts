import { readFileSync } from 'node:fs'
import t from 'tap'
import { VirError } from '../../src/conf/error.ts'
import { formatXml, gathered, parseXml, textOf } from '../../src/conf/xml.ts'

const codeOf = (text: string) => {
  try {
    parseXml(text)
  } catch (error) {
    return error instanceof VirError ? error.code : String(error)
  }
  return 'accepted'
}

t.test('keeps order, entities and namespaces', async t => {
  const root = parseXml(`<a x='1 &amp; 2'><b/>t&lt;<![CDATA[<c>]]><q:d xmlns:q='u'/></a>`)
  t.equal(root.attributes.x, '1 & 2')
  t.equal(textOf(root), 't<<c>')
  t.match(formatXml(root), '<q:d xmlns:q="u"/>')
})

t.test('refuses what is not well formed, with libvirt code', async t => {
  for (const text of [
    '',
    'x',
    '<a>',
    '<a><b></a>',
    '<a b=1/>',
    '<a/><b/>',
    '<a/>x',
    '<a>&foo;</a>',
    '<a>\u0001</a>',
    '<a>&#0;</a>'
  ]) {
    t.equal(codeOf(text), 'VIR_ERR_XML_DETAIL', JSON.stringify(text))
  }
})

t.test('a name of JavaScript does no harm', async t => {
  t.equal(codeOf("<a __proto__='x'/>"), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf('<a><constructor/></a>'), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf("<a toString='x' hasOwnProperty='y'/>"), 'accepted')
})

t.test('refuses document types: entity bombs and external entities', async t => {
  const bomb = `<!DOCTYPE a [<!ENTITY x "${'y'.repeat(99)}"><!ENTITY z "&x;&x;">]><a>&z;</a>`
  t.equal(codeOf(bomb), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'), 'VIR_ERR_XML_DETAIL')
})

t.test('refuses huge and deep documents at once', async t => {
  t.equal(codeOf(`<a>${' '.repeat(10 * 1024 * 1024)}</a>`), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf('<a>'.repeat(100_000) + '</a>'.repeat(100_000)), 'VIR_ERR_XML_DETAIL')
})

t.test('long texts of one kind are no harm to regular expressions', async t => {
  const times = (text: string) => text.repeat((1024 * 1024) / text.length)
  t.equal(codeOf(`<a>${times('&lt;')}</a>`), 'accepted')
  t.equal(codeOf(`<a>${times('&lt;')}&</a>`), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf(`<a>${times('&')}</a>`), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf(`<a><!--${times('- ')}--></a>`), 'accepted')
  t.equal(codeOf(`<a${times(" b=''")}/>`), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf(`<a b='${times('"')}<'/>`), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf(`<a b${times(' ')}/>`), 'VIR_ERR_XML_DETAIL')
})

t.test('errors say where and why, in libvirt’s form', async t => {
  const message = (text: string) => {
    try {
      parseXml(text, '(domain_definition)')
    } catch (error) {
      return (error as VirError).message
    }
    return 'accepted'
  }
  for (const [text, reason] of [
    ['<a>\n <b>\n</a>', / line 3: Opening and ending tag mismatch: b line 2 and a\n<\/a>\n-*\^$/],
    ['<a>', / line 1: Premature end of data in tag a line 1\n<a>\n---\^$/],
    ["<a b='1' b='2'/>", / line 1: Attribute b redefined/],
    ["<a b='1'c='2'/>", / line 1: /],
    ["<a\nb='<'/>", / line 2: Unescaped '<' not allowed in attributes values\nb='<'\/>\n---\^$/],
    ["<a b='1' c=\"'<\"/>", / line 1: Unescaped '<' not allowed in attributes values/],
    ["<a = b='1'/>", / line 1: error parsing attribute name/],
    ['<a><!b></a>', / line 1: StartTag: invalid element name/],
    ['<a>\n<?xml version="1.0"?></a>', / line 2: XML declaration allowed only at the start of the document/],
    ['<a/>\n<?b', / line 2: ParsePI: PI b space expected/],
    ['<a/><!-- b', / line 1: Comment not terminated/],
    ['<a/><![CDATA[b]]>', / line 1: Extra content at the end of the document/],
    ['<a b/>', / line 1: Specification mandates value for attribute b/],
    ['<a>&;</a>', / line 1: /],
    ['<a>\n&amp</a>', / line 2: /],
    ['<a>]]></a>', / line 1: Sequence ']]>' not allowed in content\n<a>\]\]><\/a>\n---\^$/],
    ['<a><!-- x', / line 1: /],
    ['<a><!-- x -- y --></a>', / line 1: Double hyphen within comment/],
    [' <?xml version="1.0"?><a/>', / line 1: XML declaration allowed only at the start of the document/]
  ] as const) {
    t.match(message(text), reason)
    t.match(message(text), /^at line \d+: /)
  }
})

t.test('reads what is well formed', async t => {
  const read = (text: string) => parseXml(text)
  const declared = read(
    "\ufeff<?xml version='1.0' encoding=\"UTF-8\" standalone='no' ?>\r\n<!-- c --><?p q?><a\r\nb = '1'\t/><!-- d -->\n"
  )
  t.same(declared, { name: 'a', attributes: { b: '1' }, children: [] })
  t.same(read("<a x='&#65;&#x42;&lt;\t&#10;'>1&gt;<!-- - -->2<![CDATA[<&]]></a >").attributes, { x: 'AB< \n' })
  t.same(read('<a>1&gt;<!-- - -->2<![CDATA[<&]]></a>').children, ['1>2<&'])
  t.same(read("<?b it's?><a>1<?c d='?>2</a>").children, ['12'], 'processing instructions are left out')
  t.same(
    read('<a><metadata> <!-- 1 --><b>2<![CDATA[3]]></b></metadata></a>').children[0],
    {
      name: 'metadata',
      attributes: {},
      children: [
        ' ',
        { name: '#comment', attributes: {}, children: [' 1 '] },
        { name: 'b', attributes: {}, children: ['2', { name: '#cdata', attributes: {}, children: ['3'] }] }
      ]
    },
    'all of metadata'
  )
  t.same(read('<a> <b/>\n</a>').children, [{ name: 'b', attributes: {}, children: [] }], 'blanks between elements')
  t.same(read('<a> x <b/> </a>').children.length, 3, 'mixed content keeps them')
})

t.test('gathers elements of a name as XPath sees them', t => {
  const root = parseXml("<a><b x='1'><c/></b><d/><b x='2' y='3'><e/></b></a>")
  t.equal(formatXml(gathered(root, 'b')!).replace(/\n\s*/g, ''), "<b x='1' y='3'><c/><e/></b>")
  t.equal(gathered(root, 'f'), undefined)
  t.end()
})

t.test('text before the root element is told at its place', async t => {
  const cases: [text: string, message: string][] = [
    ['text<a/>', "at line 1: Start tag expected, '<' not found\ntext<a/>\n^"],
    ['\ntext<a/>', "at line 2: Start tag expected, '<' not found\ntext<a/>\n^"],
    ['\n\n  ', "at line 3: Start tag expected, '<' not found\n  \n--^"]
  ]
  for (const [text, message] of cases) t.throws(() => parseXml(text, '(domain_definition)'), { message })
})

t.test('what is not well-formed is told in libxml2’s words, at its places', async t => {
  const recorded: [text: string, message: string][] = JSON.parse(readFileSync('test/data/xml-faults.json', 'utf8'))
  t.ok(recorded.length > 80)
  for (const [text, message] of recorded) {
    t.throws(() => parseXml(text, '(domain_definition)'), { message, code: 'VIR_ERR_XML_DETAIL' }, JSON.stringify(text))
  }
})
