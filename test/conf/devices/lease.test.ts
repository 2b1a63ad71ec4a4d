import t from 'tap'
import { leaseFields } from '../../../src/conf/devices/lease.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

t.test('a lease is written as it was read, an offset of 0 left out', async t => {
  const xml = (offset: string) => `<lease><lockspace>l</lockspace><key>k</key><target path='/p'${offset}/></lease>`
  t.equal(throughTable(leaseFields, xml(" offset='18446744073709551615'")), xml(" offset='18446744073709551615'"))
  t.equal(throughTable(leaseFields, xml(" offset='0'")), xml(''))
})

t.test('every part but the offset must be there', async t => {
  for (const [inner, error] of [
    ["<lockspace>l</lockspace><target path='/p'/>", "VIR_ERR_XML_ERROR: XML error: Missing 'key' element for lease"],
    ['<lockspace>l</lockspace><key>k</key>', "VIR_ERR_XML_ERROR: XML error: Missing 'target' element for lease"],
    [
      '<lockspace>l</lockspace><key>k</key><target/>',
      "VIR_ERR_XML_ERROR: XML error: Missing 'path' attribute to 'target' element for lease"
    ]
  ] as const)
    t.equal(await errorOf(() => throughTable(leaseFields, `<lease>${inner}</lease>`)), error)
})
