import t from 'tap'
import { findMethod } from '../../src/drivers/qemu/index.ts'
import { fromQuery, wholeNumber } from '../../src/server/query.ts'
import { errorOf } from '../helper/definition.ts'

t.test('whole numbers of a query', async t => {
  t.equal(wholeNumber(undefined, 'since'), undefined)
  t.equal(wholeNumber('0', 'since'), 0)
  t.equal(wholeNumber('007', 'since'), 7)
  t.equal(wholeNumber('999999999999999', 'since'), 999999999999999)
  for (const bad of ['', '-1', '+1', '1.5', '1e3', '0x1', ' 1', '1 ', 'x', '9'.repeat(16), '\u0661']) {
    t.equal(
      await errorOf(() => wholeNumber(bad, 'since')),
      `VIR_ERR_INVALID_ARG: invalid argument: since must be a whole number, not '${bad}'`
    )
  }
})

t.test('a query as the body it stands for', async t => {
  const cases: [api: string, query: Record<string, string>, body: object][] = [
    ['virDomainGetXMLDesc', {}, {}],
    ['virDomainGetXMLDesc', { flags: '3' }, { flags: 3 }],
    ['virDomainGetXMLDesc', { flags: 'VIR_DOMAIN_XML_INACTIVE' }, { flags: ['VIR_DOMAIN_XML_INACTIVE'] }],
    ['virDomainGetXMLDesc', { flags: 'A,B' }, { flags: ['A', 'B'] }],
    ['virDomainGetXMLDesc', { flags: '' }, { flags: [''] }],
    ['virDomainGetXMLDesc', { nosuch: '3' }, { nosuch: '3' }],
    ['virDomainGetBlockInfo', { disk: '3' }, { disk: '3' }],
    ['virDomainGetBlockInfo', { disk: 'vda,vdb' }, { disk: 'vda,vdb' }],
    ['virDomainScreenshot', { screen: '99999999999999999999' }, { screen: 99999999999999999999n }],
    ['virDomainScreenshot', { screen: 'x' }, { screen: 'x' }]
  ]
  for (const [api, query, body] of cases) {
    t.same(fromQuery(query, findMethod(api)!.args), body, `${api} ${JSON.stringify(query)}`)
  }
})
