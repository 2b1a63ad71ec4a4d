import t from 'tap'
import { getMetadata, metadataFields, setMetadata } from '../../../src/conf/domain/metadata.ts'
import { formatXml, parseXml, type XmlElement } from '../../../src/conf/xml.ts'
import { errorOf } from '../../helper/definition.ts'

const context = { inactive: true, secure: false, migratable: false, status: false }
const parse = (xml: string) => metadataFields.metadata.parse(parseXml(xml), context)
function kept(inner: string, attributes = ''): string {
  const into: XmlElement = { name: 'domain', attributes: {}, children: [] }
  metadataFields.metadata.format(parse(`<domain${attributes}><metadata>${inner}</metadata></domain>`), into, context)
  return formatXml(into)
}
const written = (inner: string) => `<domain>\n  <metadata>\n${inner}\n  </metadata>\n</domain>\n`

t.test('stays as it was', async t => {
  t.equal(
    kept(`<a:x a:z='2"q' xmlns:a="urn:a" y="1"><!-- note --><a:b>1 &lt; 2 "3"</a:b>  <c/>
      <![CDATA[<raw>]]></a:x>`),
    written(
      '    <a:x xmlns:a="urn:a" a:z="2&quot;q" y="1"><!-- note --><a:b>1 &lt; 2 "3"</a:b><c/><![CDATA[<raw>]]></a:x>'
    )
  )
  t.equal(
    kept('<a:x xmlns:a="urn:a">\n\n <a:y>text <b>bold</b> tail</a:y><!-- n --><z> </z></a:x>'),
    written(
      '    <a:x xmlns:a="urn:a">\n      <a:y>text <b>bold</b> tail</a:y>\n      <!-- n -->\n      <z> </z>\n    </a:x>'
    )
  )
})

t.test('one element of each namespace', async t => {
  t.equal(
    kept('<x/><a:x xmlns:a="urn:a"/><b:y xmlns:b="urn:a"/><c xmlns="urn:c"/>'),
    written('    <a:x xmlns:a="urn:a"/>\n    <c xmlns="urn:c"/>')
  )
  t.equal(kept('<x/>'), '<domain>\n  <metadata/>\n</domain>\n')
})

t.test('declarations stay where they are; those on <domain> come to <metadata>, in the order of use', async t => {
  // as libvirtd 9.0 writes it
  const inner = `<a:one xmlns:c="urn:c"><a:x e:at="1"/><c:y/></a:one><b:two k="v"/>
    <d:three xmlns:d="urn:d"><d:z b:at="1" xmlns:b="urn:b"/></d:three><plain xmlns="urn:p"><in/></plain><none f:at="2"/>`
  const outer = ['a', 'e', 'f', 'unused'].map(prefix => ` xmlns:${prefix}="urn:${prefix}"`).join('')
  const def = { metadata: parse(`<domain${outer}><metadata xmlns:b="urn:b">${inner}</metadata></domain>`) }
  const head = '<metadata xmlns:b="urn:b" xmlns:a="urn:a" xmlns:e="urn:e" xmlns:f="urn:f">'
  const one = '  <a:one xmlns:c="urn:c">\n    <a:x e:at="1"/>\n    <c:y/>\n  </a:one>\n'
  const three = '  <d:three xmlns:d="urn:d">\n    <d:z xmlns:b="urn:b" b:at="1"/>\n  </d:three>\n'
  const plain = '  <plain xmlns="urn:p">\n    <in/>\n  </plain>\n'
  t.equal(formatXml(def.metadata!), `${head}\n${one}  <b:two k="v"/>\n${three}${plain}</metadata>\n`)

  t.equal(getMetadata(def, 'urn:a'), '<one xmlns:c="urn:c" xmlns:e="urn:e">\n  <x e:at="1"/>\n  <c:y/>\n</one>')
  t.equal(getMetadata(def, 'urn:b'), '<two k="v"/>')
  t.equal(getMetadata(def, 'urn:c'), undefined)
  t.equal(getMetadata(def, 'urn:d'), '<three>\n  <z xmlns:b="urn:b" b:at="1"/>\n</three>')
  t.equal(getMetadata(def, 'urn:p'), '<plain>\n  <in/>\n</plain>')

  setMetadata(def, 'urn:b', 'b', '<two><q/></two>')
  setMetadata(def, 'urn:new', 'a', '<n/>')
  const two = '  <b:two xmlns:b="urn:b">\n    <b:q/>\n  </b:two>\n'
  t.equal(formatXml(def.metadata!), `${head}\n${one}${three}${plain}${two}  <a:n xmlns:a="urn:new"/>\n</metadata>\n`)
})

t.test('is set, read and removed by namespace', async t => {
  const def: { metadata?: XmlElement } = {}
  setMetadata(def, 'urn:a', 'a', '<x><y k="v">1</y><b:z xmlns:b="urn:b"/></x>')
  t.equal(
    formatXml(def.metadata!.children[0] as XmlElement),
    '<a:x xmlns:a="urn:a">\n  <a:y k="v">1</a:y>\n  <b:z xmlns:b="urn:b"/>\n</a:x>\n'
  )
  t.equal(getMetadata(def, 'urn:a'), '<x>\n  <y k="v">1</y>\n  <b:z xmlns:b="urn:b"/>\n</x>')
  setMetadata(def, 'urn:a', 'a', '<other/>')
  t.equal(getMetadata(def, 'urn:a'), '<other/>')
  setMetadata(def, 'urn:a', 'a', undefined)
  t.equal(getMetadata(def, 'urn:a'), undefined)
  t.match(await errorOf(() => setMetadata(def, 'urn:a', '1 2', '<x/>')), /INTERNAL_ERROR: .*prefix/)
  t.match(await errorOf(() => setMetadata(def, 'urn:a', 'a', '<x>')), /XML_DETAIL: at line 1: /)
})
