// Definitions: made, changed, renamed, in each other's way, and given up.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const random = (text: string) => text.replace(/<uuid>[^<]*/, '<uuid>')
const minimal = (suffix: string, os: string) =>
  `<domain type='qemu'><name>$G${suffix}</name><memory>65536</memory><os>${os}</os></domain>`

await scenario({
  group: 'define',
  files: {
    'g.xml': guest(),
    'changed.xml': guest({ devices: "<sound model='ich6'/>" }),
    'otheruuid.xml': guest({ number: '44' }),
    'othername.xml': guest({ suffix: '-other' }),
    'nouuid.xml': guest({ suffix: '-nouuid' }).replace(/<uuid>.*<\/uuid>/, ''),
    'second.xml': guest({ suffix: '-second', number: '55' }),
    'long.xml': guest({ suffix: '-x'.repeat(115), number: '66' }),
    'utf.xml': guest({ suffix: '-ü.ñ', number: '77' }),
    'space.xml': guest({ suffix: ' space', number: '88' }),
    'min.xml': minimal('-min', '<type>hvm</type>'),
    'arm.xml': minimal('-arm', "<type arch='aarch64' machine='virt'>hvm</type>"),
    'uefi.xml': `<domain type='qemu'><name>$G-uefi</name><uuid>$U99</uuid>
      <memory>65536</memory><os firmware='efi'><type machine='q35'>hvm</type></os><features><acpi/></features></domain>`
  },
  shown: [[/^dumpxml \$G-(min|arm)$/, random]]
})
