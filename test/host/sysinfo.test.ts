// dmidecode's output as <sysinfo>: empty entries and slots are left out, OEM strings come last.
import t from 'tap'
import { sysinfoOf } from '../../src/host/sysinfo.ts'

const OUTPUT = `BIOS Information
\tVendor: Maker
\tVersion: 1.2
\tRelease Date: 01/02/2020
\tCharacteristics:
\t\tPCI is supported

System Information
\tManufacturer: A & B
\tProduct Name: Machine
\tSerial Number:

Processor Information
\tSocket Designation: CPU0
\tType: Central Processor
\tMax Speed: 3500 MHz

Memory Device
\tSize: No Module Installed
\tLocator: DIMM 1

Memory Device
\tSize: 16 GB
\tLocator: DIMM 0
\tBank Locator: P0
\tType: DDR4
\tType Detail: Synchronous

OEM Strings
\tString 1: one
`

t.test('blocks come in the order of libvirt', async t => {
  t.equal(
    sysinfoOf(OUTPUT),
    `<sysinfo type='smbios'>
  <bios>
    <entry name='vendor'>Maker</entry>
    <entry name='version'>1.2</entry>
    <entry name='date'>01/02/2020</entry>
  </bios>
  <system>
    <entry name='manufacturer'>A &amp; B</entry>
    <entry name='product'>Machine</entry>
  </system>
  <processor>
    <entry name='socket_destination'>CPU0</entry>
    <entry name='type'>Central Processor</entry>
    <entry name='max_speed'>3500 MHz</entry>
  </processor>
  <memory_device>
    <entry name='size'>16 GB</entry>
    <entry name='locator'>DIMM 0</entry>
    <entry name='bank_locator'>P0</entry>
    <entry name='type'>DDR4</entry>
    <entry name='type_detail'>Synchronous</entry>
  </memory_device>
  <oemStrings>
    <entry>one</entry>
  </oemStrings>
</sysinfo>
`
  )
})
