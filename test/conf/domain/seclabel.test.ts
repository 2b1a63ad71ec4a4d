import t from 'tap'
import { seclabelFields } from '../../../src/conf/domain/seclabel.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const labels = (inner: string, parse = {}, format = {}) =>
  throughTable(seclabelFields, `<domain>${inner}</domain>`, { parse, format }).replace(/<\/?domain>|<domain\/>/g, '')

t.test('labels of users', async t => {
  const cases: [given: string, shown: string][] = [
    ["<seclabel type='none' model='dac'/>", "<seclabel type='none' model='dac'/>"],
    ["<seclabel type='none'/>", "<seclabel type='none' model='none'/>"],
    ["<seclabel type='dynamic'/>", "<seclabel type='none' model='none'/>"],
    ["<seclabel type='dynamic' model='dac'/>", "<seclabel type='dynamic' model='dac' relabel='yes'/>"],
    ["<seclabel model='dac'/>", ''],
    [
      "<seclabel type='static' model='dac'><label>+1:+2</label><imagelabel>x</imagelabel></seclabel>",
      "<seclabel type='static' model='dac' relabel='no'><label>+1:+2</label></seclabel>"
    ],
    [
      "<seclabel type='dynamic' model='selinux'><label>x</label><baselabel>b</baselabel></seclabel>",
      "<seclabel type='dynamic' model='selinux' relabel='yes'><baselabel>b</baselabel></seclabel>"
    ]
  ]
  for (const [given, shown] of cases) t.equal(labels(given), shown, given)
})

t.test('labels of running guests', async t => {
  const live =
    "<seclabel type='dynamic' model='dac' relabel='yes'><label>+0:+0</label><imagelabel>+0:+0</imagelabel></seclabel>"
  t.equal(labels(live, { inactive: false }, { inactive: false }), live)
})

t.test('what cannot be a label', async t => {
  const cases: [given: string, error: RegExp][] = [
    [
      "<seclabel type='none' relabel='yes' model='dac'/>",
      /CONFIG_UNSUPPORTED: .*not compatible with 'none' label type/
    ],
    ["<seclabel type='dynamic' relabel='no' model='dac'/>", /CONFIG_UNSUPPORTED: .*must use resource relabeling/],
    ["<seclabel type='static' model='dac'/>", /XML_ERROR: .*security label is missing/],
    ["<seclabel type='static'><label>x</label></seclabel>", /XML_ERROR: .*missing security model in domain seclabel/],
    ["<seclabel type='none'/><seclabel type='none' model='dac'/>", /missing security model when using multiple labels/],
    ["<seclabel model='dac'/><seclabel model='dac'/>", /XML_DETAIL: seclabel for model dac is already provided/],
    ["<seclabel type='x'/>", /XML_ERROR: .*'type' in element 'seclabel': 'x'/]
  ]
  for (const [given, error] of cases) t.match(await errorOf(() => labels(given)), error, given)
})
