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

t.test('takes declarations from further out along', async t => {
  t.equal(kept('<a:x><a:y/></a:x>', ' xmlns:a="urn:a"'), written('    <a:x xmlns:a="urn:a">\n      <a:y/>\n    </a:x>'))
})

t.test('is set, read and removed by namespace', async t => {
  const def: { metadata?: XmlElement[] } = {}
  setMetadata(def, 'urn:a', 'a', '<x><y k="v">1</y><b:z xmlns:b="urn:b"/></x>')
  t.equal(
    formatXml(def.metadata![0]!),
    '<a:x xmlns:a="urn:a">\n  <a:y k="v">1</a:y>\n  <b:z xmlns:b="urn:b"/>\n</a:x>\n'
  )
  t.equal(getMetadata(def, 'urn:a'), '<x>\n  <y k="v">1</y>\n  <b:z xmlns:b="urn:b"/>\n</x>')
  setMetadata(def, 'urn:a', 'a', '<other/>')
  t.equal(getMetadata(def, 'urn:a'), '<other/>')
  setMetadata(def, 'urn:a', 'a', undefined)
  t.equal(getMetadata(def, 'urn:a'), undefined)
  t.match(await errorOf(() => setMetadata(def, 'urn:a', '1 2', '<x/>')), /INTERNAL_ERROR: .*prefix/)
  t.match(await errorOf(() => setMetadata(def, 'urn:a', 'a', '<x>')), /XML_DETAIL: \(metadata_xml\)/)
})
