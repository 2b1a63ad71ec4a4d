import { existsSync, readdirSync } from 'node:fs'
import t from 'tap'
import { bareGuest, Shim } from '../helper/shim.ts'

const USAGE = 2
const FAILED = 1

const cases: [name: string, xml: string, status: number, message: RegExp][] = [
  ['malformed', '<domain', USAGE, /domain_definition/],
  ['not a domain', '<network/>', USAGE, /expecting root element of 'domain', not 'network'/],
  ['no name', "<domain type='qemu'><memory>1</memory></domain>", USAGE, /missing name/],
  ['wrong unit', bareGuest('b').replace("'MiB'", "'furlong'"), FAILED, /unknown suffix 'furlong'/],
  [
    'wrong bus',
    bareGuest('b', "<disk type='file'><source file='/x'/><target dev='vda' bus='tin'/></disk>"),
    USAGE,
    /'bus' in element 'target': 'tin'/
  ],
  [
    'missing emulator',
    bareGuest('b', '<emulator>/nonexistent/qemu</emulator>'),
    FAILED,
    /Cannot check QEMU binary \/nonexistent\/qemu/
  ],
  [
    'missing disk',
    bareGuest('b', "<disk type='file'><source file='/nonexistent.img'/><target dev='vda' bus='virtio'/></disk>"),
    FAILED,
    /nonexistent\.img/
  ],
  [
    'missing kernel',
    bareGuest('b').replace('hvm</type>', 'hvm</type><kernel>/nonexistent-kernel</kernel>'),
    FAILED,
    /nonexistent-kernel/
  ]
]

for (const [name, xml, status, message] of cases) {
  t.test(`${name}: a clear error, nothing left`, async t => {
    const shim = new Shim(xml)
    t.teardown(() => shim.end())
    t.equal(await shim.start(), status, shim.stderr)
    t.match(shim.stderr, message)
    const left = existsSync(shim.root) ? readdirSync(shim.root) : []
    t.same(
      left.filter(file => file !== 'log'),
      []
    )
  })
}
