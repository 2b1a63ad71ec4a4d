import t from 'tap'
import { VirError } from '../../src/conf/error.ts'
import { formatXml, parseXml, textOf } from '../../src/conf/xml.ts'

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
  t.match(formatXml(root), `<q:d xmlns:q='u'/>`)
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

t.test('refuses document types: entity bombs and external entities', async t => {
  const bomb = `<!DOCTYPE a [<!ENTITY x "${'y'.repeat(99)}"><!ENTITY z "&x;&x;">]><a>&z;</a>`
  t.equal(codeOf(bomb), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'), 'VIR_ERR_XML_DETAIL')
})

t.test('refuses huge and deep documents at once', async t => {
  t.equal(codeOf(`<a>${' '.repeat(10 * 1024 * 1024)}</a>`), 'VIR_ERR_XML_DETAIL')
  t.equal(codeOf('<a>'.repeat(100_000) + '</a>'.repeat(100_000)), 'VIR_ERR_XML_DETAIL')
})
