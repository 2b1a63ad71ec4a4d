import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { secretStore } from '../../src/state/secrets.ts'
import { errorOf } from '../helper/definition.ts'

const uuid = (n: number) => `0000000${n}-0000-4000-8000-000000000000`

t.test('secrets are found by uuid and by usage', async t => {
  const directory = t.testdir()
  const put = (n: number, usage: string, value?: string) => {
    writeFileSync(join(directory, `${uuid(n)}.xml`), `<secret>${usage}</secret>`)
    if (value !== undefined) writeFileSync(join(directory, `${uuid(n)}.base64`), Buffer.from(value).toString('base64'))
  }
  put(1, "<usage type='volume'><volume>/i</volume></usage>", 'one')
  put(2, "<usage type='iscsi'><target>t</target></usage>", 'two')
  put(3, "<usage type='ceph'><name>c</name></usage>")
  writeFileSync(join(directory, 'broken.xml'), '<secret')
  const store = secretStore([join(directory, 'none'), directory])
  t.equal(Buffer.from(store.value('volume', { uuid: uuid(1) })).toString(), 'one')
  t.equal(Buffer.from(store.value('iscsi', { usage: 't' })).toString(), 'two')
  for (const [work, error] of [
    [
      () => store.value('volume', { usage: 't' }),
      "VIR_ERR_NO_SECRET: Secret not found: no secret with matching usage 't'"
    ],
    [
      () => store.value('volume', { uuid: uuid(9) }),
      `VIR_ERR_NO_SECRET: Secret not found: no secret with matching uuid '${uuid(9)}'`
    ],
    [
      () => store.value('ceph', { usage: 'c' }),
      `VIR_ERR_NO_SECRET: Secret not found: secret '${uuid(3)}' does not have a value`
    ],
    [
      () => store.value('iscsi', { uuid: uuid(1) }),
      `VIR_ERR_INVALID_ARG: invalid argument: secret with uuid ${uuid(1)} is of type 'volume' not expected 'iscsi' type`
    ]
  ] as const)
    t.equal(await errorOf(work), error)
})
