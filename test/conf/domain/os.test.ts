import t from 'tap'
import { formatDomain } from '../../../src/conf/domain-xml.ts'
import { loadDomain } from '../../../src/drivers/qemu/definition/passes.ts'
import { define, errorOf, guestXml, testContext } from '../../helper/definition.ts'

/** The definition with these elements in `<os>`. */
async function os(inner: string, { attributes = '', type = 'hvm', features = '<acpi/>', machine = 'q35' } = {}) {
  const xml = guestXml('', { machine, outside: `<features>${features}</features>` })
    .replace('<os>', `<os${attributes}>`)
    .replace('>hvm</type>', `>${type}</type>${inner}`)
  const { def } = await loadDomain(xml, async () => testContext())
  return formatDomain(def)
    .match(/<os[\s\S]*<\/os>/)![0]
    .replace(/\n\s*/g, '')
}
const bare = (inner: string, machine = 'pc-q35-7.2') =>
  `<os><type arch='x86_64' machine='${machine}'>hvm</type>${inner}</os>`
const LOADER = "<loader readonly='yes' type='pflash'>/srv/CODE.fd</loader>"
/** What becomes of it: its image is raw unless told otherwise. */
const FILLED = LOADER.replace('>', " format='raw'>")

t.test('what boots, as it is written', async t => {
  const cases: [given: string, shown: string][] = [
    ['', "<boot dev='hd'/>"],
    ["<boot dev='fd'/><boot dev='network'/>", "<boot dev='fd'/><boot dev='network'/>"],
    [
      "<boot dev='fd'/><boot dev='fd'/><boot dev='hd'/><boot dev='hd'/><boot dev='beyond'/>",
      "<boot dev='fd'/><boot dev='fd'/><boot dev='hd'/><boot dev='hd'/>"
    ],
    ["<bootmenu enable='no' timeout='7'/>", "<boot dev='hd'/><bootmenu enable='no'/>"],
    ["<bootmenu timeout='7'/>", "<boot dev='hd'/>"],
    ["<bios useserial='perhaps' rebootTimeout='-1'/>", "<boot dev='hd'/><bios useserial='no' rebootTimeout='-1'/>"],
    ["<smbios mode='none'/>", "<boot dev='hd'/>"],
    [
      "<kernel>/k</kernel><init>/sbin/init</init><acpi><table type='slic'>/a//b/</table></acpi>",
      "<kernel>/k</kernel><acpi><table type='slic'>/a/b</table></acpi><boot dev='hd'/>"
    ],
    ["<loader type='rom'>/srv/bios</loader>", "<loader type='rom'>/srv/bios</loader><boot dev='hd'/>"],
    ['<loader>/srv/bios</loader>', "<loader type='rom' format='raw'>/srv/bios</loader><boot dev='hd'/>"],
    [LOADER, `${FILLED}<nvram format='raw'>/lib/nvram/guest_VARS.fd</nvram><boot dev='hd'/>`],
    [
      `${LOADER}<nvram template='/t' templateFormat='qcow2'/>`,
      `${FILLED}<nvram template='/t' templateFormat='qcow2' format='qcow2'>/lib/nvram/guest_VARS.qcow2</nvram>` +
        "<boot dev='hd'/>"
    ],
    [
      `${LOADER}<nvram type='block' format='qcow2'><source dev='/dev/x'/></nvram>`,
      `${FILLED}<nvram type='block' format='qcow2'><source dev='/dev/x'/></nvram><boot dev='hd'/>`
    ],
    [
      `${LOADER}<nvram type='file'><source/></nvram>`,
      `${FILLED}<nvram type='file' format='raw'><source file='/lib/nvram/guest_VARS.fd'/></nvram><boot dev='hd'/>`
    ],
    [
      '<kernel>/k</kernel><shim>/s</shim><dtb>/d</dtb>',
      "<kernel>/k</kernel><shim>/s</shim><dtb>/d</dtb><boot dev='hd'/>"
    ]
  ]
  for (const [given, shown] of cases) t.equal(await os(given), bare(shown), given)
  t.equal(
    await os("<firmware><feature name='enrolled-keys' enabled='yes'/></firmware>", { attributes: " firmware='efi'" }),
    bare(
      "<firmware><feature enabled='yes' name='enrolled-keys'/><feature enabled='yes' name='secure-boot'/></firmware>" +
        "<loader readonly='yes' secure='yes' type='pflash' format='raw'>/fw/secure.fd</loader>" +
        "<nvram template='/fw/secure.vars.fd' templateFormat='raw' format='raw'>/lib/nvram/guest_VARS.fd</nvram>" +
        "<boot dev='hd'/>"
    ).replace('<os>', "<os firmware='efi'>")
  )
})

t.test('what cannot boot', async t => {
  const efi = " firmware='efi'"
  const cases: [given: string, error: RegExp, options?: Parameters<typeof os>[1]][] = [
    ['', /CONFIG_UNSUPPORTED: .*unknown OS type 'hvm '/, { type: 'hvm ' }],
    ['', /CONFIG_UNSUPPORTED: .*does not support os type 'xen'/, { type: 'xen' }],
    ['', /XML_ERROR: .*init binary must be specified/, { type: 'exe' }],
    ['<init>/i</init><initarg/>', /No data supplied for <initarg> element/, { type: 'exe' }],
    ['', /XML_ERROR: .*unknown firmware value coreboot/, { attributes: " firmware='coreboot'" }],
    ['', /CONFIG_UNSUPPORTED: .*UEFI requires ACPI/, { attributes: efi, features: '' }],
    ["<loader format='qcow2'/>", /OPERATION_FAILED: .*Unable to find 'efi' firmware/, { attributes: efi }],
    ['<loader>/x</loader>', /OPERATION_FAILED: .*Unable to find 'efi' firmware/, { attributes: efi }],
    ["<nvram template='/x'/>", /OPERATION_FAILED: .*Unable to find 'efi' firmware/, { attributes: efi }],
    ["<loader format='vdi'/>", /XML_ERROR: .*Unsupported loader format 'vdi'/, { attributes: efi }],
    ["<nvram format='vdi'/>", /XML_ERROR: .*Unsupported nvram format 'vdi'/, { attributes: efi }],
    ["<nvram templateFormat='vdi'/>", /XML_ERROR: .*Unsupported nvram template format 'vdi'/, { attributes: efi }],
    ["<nvram templateFormat='x'/>", /XML_ERROR: .*'templateFormat' in element 'nvram': 'x'/, { attributes: efi }],
    ["<loader type='rom'>/x</loader><shim>/s</shim>", /CONFIG_UNSUPPORTED: .*shim only allowed with kernel option/],
    [
      '<nvram>/x</nvram>',
      /XML_DETAIL: firmware type 'bios' does not support nvram/,
      { attributes: " firmware='bios'" }
    ],
    ["<loader stateless='no'/>", /Only EFI firmware permits NVRAM/, { attributes: " firmware='bios'" }],
    ["<loader stateless='no'>/x</loader>", /XML_DETAIL: Only pflash loader type permits NVRAM/],
    ["<loader stateless='yes'>/x</loader><nvram template='/t'/>", /NVRAM template is not permitted/],
    ['<nvram>/x</nvram>', /XML_DETAIL: no loader path specified and firmware auto selection disabled/],
    ["<firmware><feature name='secure-boot' enabled='yes'/></firmware>", /XML_DETAIL: cannot use feature-based/],
    ["<loader secure='yes'>/x</loader>", /CONFIG_UNSUPPORTED: .*Secure boot requires SMM feature enabled/],
    ["<loader secure='yes'>/x</loader>", /Secure boot is supported with q35 machine types only/, { machine: 'pc' }],
    [`${LOADER}<nvram type='dir'><source dir='/x'/></nvram>`, /unsupported nvram disk type 'dir'/],
    ["<acpi><table type='dsdt'>/x</table></acpi>", /XML_ERROR: .*'type' in element 'table': 'dsdt'/],
    ['<acpi><table>/x</table></acpi>', /Missing required attribute 'type' in element 'table'/],
    ["<boot dev='tape'/>", /XML_ERROR: .*'dev' in element 'boot': 'tape'/],
    ["<bootmenu enable='yes' timeout='65536'/>", /CONFIG_UNSUPPORTED: .*boot menu timeout/],
    ["<bios rebootTimeout='-2'/>", /CONFIG_UNSUPPORTED: .*rebootTimeout/],
    ["<bios useserial='yes'/>", /XML_ERROR: .*need at least one serial port/],
    ["<smbios mode='all'/>", /CONFIG_UNSUPPORTED: .*unknown smbios mode 'all'/]
  ]
  for (const [given, error, options] of cases) t.match(await errorOf(() => os(given, options)), error, given)
  t.match(await errorOf(() => define('', { outside: '<bootloader>/x</bootloader>' })), /bootloader is not supported/)
})
