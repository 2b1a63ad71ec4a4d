import t from 'tap'
import { parseDmidecode } from '../../src/host/smbios.ts'

t.test('reads what dmidecode says', async t => {
  const output = [
    'BIOS Information\n\tVendor: Maker\n\tVersion: 1.2: beta\n\tRelease Date: 01/02/2020\n\tCharacteristics:\n\t\tPCI is supported',
    'System Information\n\tManufacturer: M  \n\tSerial Number: S\n\tUUID: u',
    'Base Board Information\n\tProduct Name: P',
    'Chassis Information\n\tSKU Number:\n\tVersion: V',
    'OEM Strings\n\tString 1: one, two\n\tString 2: '
  ].join('\n\n')
  t.same(parseDmidecode(`${output}\n\n`), {
    type: 'smbios',
    bios: { vendor: 'Maker', version: '1.2: beta', date: '01/02/2020' },
    system: { manufacturer: 'M', serial: 'S', uuid: 'u' },
    baseBoards: [{ product: 'P' }],
    chassis: { version: 'V' },
    oemStrings: ['one, two', '']
  })
  t.same(parseDmidecode(''), { type: 'smbios', baseBoards: [] })
})
