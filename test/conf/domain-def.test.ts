// A definition as a whole: which of several errors is told.
import t from 'tap'
import { parseDomain } from '../../src/conf/domain-xml.ts'

/** One wrong thing each, and what is said about it, in the order libvirt reads them (virDomainDefParseXML). */
const WRONG: [xml: string, message: RegExp][] = [
  ['<uuid>x</uuid>', /malformed uuid/],
  ['<genid/><genid/>', /'genid' can only appear once/],
  ['<title>a\nb</title>', /title can't contain newlines/],
  ["<seclabel type='x'/>", /'type' in element 'seclabel'/],
  ['<memory>x</memory>', /memory\[1\]/],
  ['<currentMemory>x</currentMemory>', /currentMemory\[1\]/],
  ['<maxMemory>x</maxMemory>', /maxMemory\[1\]/],
  ["<memoryBacking><allocation threads='x'/></memoryBacking>", /allocation threads/],
  ["<memoryBacking><hugepages><page size='x'/></hugepages></memoryBacking>", /@size/],
  ['<blkiotune><device/></blkiotune>', /per-device path/],
  ['<memtune><hard_limit>x</hard_limit></memtune>', /hard_limit/],
  ["<vcpu current='x'>2</vcpu>", /'current' in element 'vcpu'/],
  ['<iothreads>x</iothreads>', /iothreads count/],
  ['<cputune><shares>x</shares></cputune>', /cputune shares/],
  ["<cpu mode='x'/>", /Invalid mode attribute/],
  ['<numatune/><numatune/>', /only one numatune/],
  ['<resource/><resource/>', /only one resource/],
  ['<features><x/></features>', /unexpected feature 'x'/],
  ['<on_reboot>x</on_reboot>', /unknown on_reboot/],
  ['<on_poweroff>x</on_poweroff>', /unknown on_poweroff/],
  ["<pm><suspend-to-mem enabled='x'/></pm>", /suspend-to-mem/],
  ["<perf><event name='x'/></perf>", /'name' in element 'event'/],
  ["<clock offset='x'/>", /clock offset/],
  ["<os><firmware><feature name='x'/></firmware></os>", /'name' in element 'feature'/],
  ['<os><acpi><table/></acpi></os>', /'type' in element 'table'/],
  ["<os><boot dev='x'/></os>", /'dev' in element 'boot'/],
  ["<os><bios rebootTimeout='x'/></os>", /'rebootTimeout' in element 'bios'/],
  ["<devices><controller type='x'/></devices>", /'controller'/],
  ["<devices><parallel type='x'/></devices>", /character device: x/],
  ["<devices><graphics type='x'/></devices>", /'graphics'/],
  ['<devices><memballoon/><memballoon/></devices>', /single memory balloon/],
  ['<devices><tpm/><tpm/><tpm/></devices>', /two TPM devices/],
  ["<devices><redirdev bus='x'/></devices>", /redirdev bus/],
  ['<launchSecurity/>', /'launchSecurity'/],
  ['<devices><iommu/><iommu/></devices>', /single IOMMU/],
  ["<idmap><uid start='x'/></idmap>", /idmap/],
  ["<sysinfo type='x'/>", /'sysinfo'/],
  ["<os><smbios mode='x'/></os>", /smbios mode/],
  ["<keywrap><cipher name='x'/></keywrap>", /'cipher'/]
]

t.test('of several errors the first in the order of reading is told', t => {
  WRONG.forEach(([xml, message], index) => {
    // the other way round in the document
    const parts = WRONG.slice(index).map(([part]) => part)
    const text = `<domain type='qemu'><name>g</name><os><type>hvm</type></os>${parts.reverse().join('')}</domain>`
    t.throws(() => parseDomain(text), { message }, xml)
  })
  t.end()
})
