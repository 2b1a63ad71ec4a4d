// What we write is what libvirt's own schema allows, and what we call unknown is not in any of the examples.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { domainFields } from '../../src/conf/domain-def.ts'
import { checkNames, formatDomain } from '../../src/conf/domain-xml.ts'
import { childElements, parseXml, type XmlElement } from '../../src/conf/xml.ts'
import { loadDomain } from '../../src/drivers/qemu/definition/passes.ts'
import { errorOf, testContext } from '../helper/definition.ts'

const EXAMPLES = 'test/data/domain'
const SCHEMA = '/usr/share/libvirt/schemas/domain.rng'
const hasSchema = existsSync(SCHEMA) && spawnSync('xmllint', ['--version']).status === 0

/** xmllint's time doubles with each attribute an element has in any order. */
const ATTRIBUTES_MAX = 12

function mostAttributes(node: XmlElement): number {
  return Math.max(Object.keys(node.attributes).length, ...childElements(node).map(mostAttributes))
}

/** Every example we accept, as we write it, by file name. */
async function accepted(): Promise<Map<string, string>> {
  const out = new Map<string, string>()
  for (const name of readdirSync(EXAMPLES)) {
    if (!name.endsWith('.xml')) continue
    try {
      const { def } = await loadDomain(readFileSync(join(EXAMPLES, name), 'utf8'), async () => testContext())
      out.set(name, formatDomain(def, { secure: true }))
    } catch {}
  }
  return out
}

t.test('the examples', async t => {
  const written = await accepted()
  t.ok(written.size > 20)
  t.test('know no unknown names', async t => {
    for (const [name, xml] of written) {
      for (const text of [xml, readFileSync(join(EXAMPLES, name), 'utf8')]) {
        t.equal(await errorOf(() => checkNames(parseXml(text), domainFields, 'domain.rng')), 'accepted', name)
      }
    }
  })
  t.test('stay valid', { skip: hasSchema ? false : 'needs xmllint and libvirt' }, async t => {
    const dir = t.testdir()
    const checked = [...written].filter(([, xml]) => mostAttributes(parseXml(xml)) <= ATTRIBUTES_MAX)
    for (const [name, xml] of checked) {
      writeFileSync(join(dir, `given-${name}`), readFileSync(join(EXAMPLES, name)))
      writeFileSync(join(dir, `written-${name}`), xml)
    }
    const files = checked.flatMap(([name]) => [`given-${name}`, `written-${name}`])
    const { stderr } = spawnSync('xmllint', ['--noout', '--relaxng', SCHEMA, ...files], { cwd: dir, encoding: 'utf8' })
    const valid = new Set(stderr.split('\n').flatMap(line => line.match(/^(.*) validates$/)?.[1] ?? []))
    const spoiled = checked.filter(([name]) => valid.has(`given-${name}`) && !valid.has(`written-${name}`))
    t.same(
      spoiled.map(([name]) => name),
      []
    )
    t.ok(valid.size > checked.length)
  })
})
