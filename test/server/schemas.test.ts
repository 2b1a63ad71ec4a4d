// schemas/ is what the tables say, and what a shim really writes and answers is of that form.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { parseJson } from '../../src/conf/json.ts'
import { schemaFiles } from '../../src/server/schema-files.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

const RUNNING = 1
const DIR = 'schemas'
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })

t.test('the files are those the tables make', async t => {
  const made = schemaFiles()
  const there = (readdirSync(DIR, { recursive: true }) as string[]).filter(name => statSync(join(DIR, name)).isFile())
  t.same(there.sort(), Object.keys(made).sort(), 'run npm run schemas')
  const stale = there.filter(name => readFileSync(join(DIR, name), 'utf8') !== made[name])
  t.same(stale, [], 'run npm run schemas')
})

t.test('every API has a schema that compiles', async t => {
  const files = schemaFiles()
  const bad = Object.keys(files)
    .filter(name => name !== 'openapi.json')
    .filter(name => {
      try {
        ajv.compile(parseJson(files[name]!) as object)
        return false
      } catch {
        return true
      }
    })
  t.same(bad, [])
})

t.test('a running guest: status.json, its report, answers and an error', async t => {
  const shim = new Shim(
    bareGuest('t-schemas', "<graphics type='vnc'/><disk type='file' device='cdrom'><target dev='hda'/></disk>")
  )
  t.teardown(() => shim.end())
  void shim.start()
  await shim.untilState(RUNNING)
  const fits = (name: string, value: unknown) => {
    const valid = ajv.validate(name, value)
    t.ok(valid, `${name}: ${ajv.errorsText()}`)
  }
  fits('status.json', parseJson(readFileSync(join(shim.root, 'status.json'), 'utf8')))
  fits('report.json', (await shim.call('report')).body)
  fits('error.json', (await shim.call('virDomainGetInfo?what=1')).body)
  for (const api of ['virDomainGetInfo', 'virDomainGetState', 'virDomainGetXMLDesc', 'virDomainListGetStats']) {
    fits(`api/${api}.json#/$defs/output`, (await shim.call(api)).body)
  }
})
