import t from 'tap'
import { redirfilterFields } from '../../../src/conf/devices/redirfilter.ts'
import { errorOf, throughTable } from '../../helper/definition.ts'

const rule = (attributes: string) =>
  throughTable(redirfilterFields, `<redirfilter><usbdev ${attributes}/></redirfilter>`).replace(
    /<\/?redirfilter>|<usbdev |\/>/g,
    ''
  )

t.test('numbers become hexadecimal, -1 any, and versions decimal with two digits', async t => {
  for (const [given, expected] of [
    [
      "class='8' vendor='0x1d' product='010' version='1.1' allow='yes'",
      "class='0x08' vendor='0x001D' product='0x0008' version='1.10' allow='yes'"
    ],
    ["class='-1' version='-1' allow='no'", "allow='no'"],
    ["version='12.05' allow='yes'", "version='12.05' allow='yes'"]
  ] as const) {
    t.equal(rule(given), expected)
  }
})

t.test('refuses with libvirt’s words', async t => {
  for (const [given, error] of [
    ["class='0x100' allow='yes'", 'Invalid USB Class code 0x100'],
    ["version='1' allow='yes'", 'Cannot parse USB device version 1'],
    ["version='1.100' allow='yes'", 'Cannot parse USB device version 1.100'],
    ["vendor='q' allow='yes'", "Invalid value for attribute 'vendor' in element 'usbdev': 'q'. Expected integer value"],
    ['', "Missing required attribute 'allow' in element 'usbdev'"]
  ] as const) {
    t.match(await errorOf(() => rule(given)), error)
  }
})
