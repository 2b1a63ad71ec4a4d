// The OpenAPI documents against the tables they are made of, and as what they claim to be.
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { API_FACTS } from '../../src/conf/api-list.ts'
import { formatJson } from '../../src/conf/json.ts'
import { objectSchema } from '../../src/conf/wire.ts'
import { isTwoWay } from '../../src/drivers/method.ts'
import { type Api, api } from '../../src/drivers/qemu/index.ts'
import { aggregatorOpenapi } from '../../src/server/aggregator/openapi.ts'
import { openapi } from '../../src/server/openapi.ts'
import { shimRows } from '../../src/server/rows.ts'

interface Operation {
  operationId: string
  parameters?: { name: string; in: string; schema: object }[]
  requestBody?: { content: Record<string, { schema: object }> }
  responses: Record<string, { content?: Record<string, { schema?: object }> }>
}
type Path = Partial<Record<'get' | 'post' | 'delete', Operation>> & { parameters?: { name: string }[] }
interface Document {
  openapi: string
  paths: Record<string, Path>
  components: { schemas: Record<string, object> }
}

const documents = { shim: openapi() as Document, aggregator: aggregatorOpenapi() as Document }
const operations = ({ paths }: Document) =>
  Object.entries(paths).flatMap(([path, item]) =>
    (['get', 'post', 'delete'] as const).flatMap(method => {
      const operation = item[method]
      return operation ? [{ path, method, operation, item }] : []
    })
  )

t.test('each row has its path; what reads, and channels, can be got', async t => {
  const { paths } = documents.shim
  t.same(
    Object.keys(paths).sort(),
    Object.keys({ ...api, ...shimRows })
      .map(name => `/v1/${name}`)
      .sort()
  )
  for (const [name, row] of Object.entries({ ...api, ...shimRows })) {
    const { get, post } = paths[`/v1/${name}`]!
    const isChannel = isTwoWay(row as Api)
    const reads = 'readOnly' in row && row.readOnly === true
    t.same([get !== undefined, post !== undefined], [reads || isChannel, !isChannel], name)
    if (get) {
      t.same(
        get.parameters!.map(one => [one.name, one.in]),
        Object.keys(row.args).map(field => [field, 'query']),
        name
      )
      t.notOk('requestBody' in get, name)
    }
    if (!post) continue
    const json = (content: Record<string, { schema?: object }>) => content['application/json']?.schema
    t.same(json(post.requestBody!.content), objectSchema(row.args), name)
    if (!('stream' in row)) t.same(json(post.responses['200']!.content!), objectSchema(row.ret), name)
  }
})

for (const [what, document] of Object.entries(documents)) {
  t.test(`the ${what}'s document holds together`, async t => {
    t.equal(document.openapi, '3.1.0')
    const all = operations(document)
    const ids = all.map(({ operation }) => operation.operationId)
    t.equal(new Set(ids).size, ids.length, 'operations have names of their own')
    for (const { path, method, operation, item } of all) {
      const title = `${method} ${path}`
      const placed = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      const known = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(({ name }) => name)
      t.same(
        placed.filter(name => !known.includes(name!)),
        [],
        `${title}: what is in the path is a parameter`
      )
      t.ok(
        Object.keys(operation.responses).some(status => status !== 'default'),
        `${title}: has an answer`
      )
    }
    const refs = [...formatJson(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref!)
    t.ok(refs.includes('#/components/schemas/Error'))
    const missing = refs.filter(ref => {
      const [root, ...names] = ref.split('/')
      let at: unknown = root === '#' ? document : undefined
      for (const name of names) at = Object(at)[name.replaceAll('~1', '/')]
      return at === undefined && ref.startsWith('#/components')
    })
    t.same(missing, [], 'what is referred to is there')
  })
}

t.test('the schemas of bodies are schemas, and take what they describe', async t => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  for (const { path, method, operation } of operations(documents.shim)) {
    for (const { schema: told } of Object.values(operation.requestBody?.content ?? {})) {
      // bounds of 64 bits, as whoever reads the document has them
      const schema = JSON.parse(formatJson(told)) as object
      t.doesNotThrow(() => ajv.compile(schema), `${method} ${path}`)
      t.equal(ajv.validate(schema, []), false, `${path}: an array is no body`)
      t.equal(ajv.validate(schema, { nosuch: 1 }), false, `${path}: of an unknown parameter`)
    }
  }
})

t.test('what is open on read-only sockets is what libvirt says reads', async t => {
  const differing = Object.entries(api).filter(([name, row]) => {
    const fact = API_FACTS[name]
    return fact !== undefined && Boolean(fact.readOnly) !== ('readOnly' in row && row.readOnly === true)
  })
  t.same(
    differing.map(([name]) => name),
    []
  )
})
