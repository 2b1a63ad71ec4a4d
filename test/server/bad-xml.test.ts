// XML that is broken, hostile or wrong: every time libvirt's error, in time, and nothing is left of the attempt.
import t from 'tap'
import { leftovers, refuses } from '../helper/refusal.ts'
import { bareGuest, Shim } from '../helper/shim.ts'

const USAGE = 2
const RUNNING = 1
const MiB = 1024 * 1024

const guest = bareGuest('t-bad-xml')
/** The guest with one thing in it replaced. */
const but = (old: string, now: string) => guest.replace(old, () => now)
const withDevice = (device: string) => bareGuest('t-bad-xml', device)
const disk = (target: string) => `<disk type='file'><source file='/dev/null'/><target ${target}/></disk>`
/** A valid document until its last byte is read, with as many levels as asked for. */
const nested = (levels: number) => but('<devices>', `${'<a>'.repeat(levels)}${'</a>'.repeat(levels)}<devices>`)

const documents: [name: string, xml: string | Buffer, message: RegExp][] = [
  ['malformed', '<domain', /at line \d+: /],
  ['empty', '', /at line 1: .*(empty|Start tag expected)/],
  ['white space only', ' \n\t\n', /at line \d+: /],
  ['no XML at all', 'virsh start guest', /at line 1: .*expected/],
  ['cut off in the middle', guest.slice(0, 200), /at line \d+: /],
  ['two roots', guest + guest, /Extra content at the end of the document/],
  ['text behind the root', `${guest}tail`, /Extra content at the end of the document/],
  ['tags that do not match', but('</vcpu>', '</memory>'), /at line \d+: /],
  ['an attribute twice', but("type='qemu'", "type='qemu' type='kvm'"), /type/],
  ['an attribute without quotes', but("type='qemu'", 'type=qemu'), /at line \d+: /],
  [
    'huge and valid',
    but('<os>', `<description>${'x'.repeat(10 * MiB)}</description><os>`),
    /larger than 4194304 bytes/
  ],
  ['huge with unknown elements', but('<os>', `${'<what/>'.repeat(2 * MiB)}<os>`), /larger than 4194304 bytes/],
  ['huge garbage', Buffer.alloc(10 * MiB, '<'), /larger than 4194304 bytes/],
  ['garbage of the largest size', Buffer.alloc(4 * MiB, '<a b=&'), /at line \d+: /],
  ['a hundred thousand levels', nested(100_000), /[Nn]ested tags|depth/],
  [
    'entity bomb',
    `<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>${but('t-bad-xml', '&b;')}`,
    /document type declarations are not accepted/
  ],
  [
    'external entity',
    `<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>${but('t-bad-xml', '&a;')}`,
    /document type declarations are not accepted/
  ],
  ['external DTD', `<!DOCTYPE d SYSTEM "http://127.0.0.1/d">${guest}`, /document type declarations are not accepted/],
  ['unknown entity', but('t-bad-xml', '&passwd;'), /Entity 'passwd' not defined/],
  ['bad UTF-8', Buffer.from(but('t-bad-xml', 't-\xff\xfe'), 'latin1'), /not proper UTF-8/],
  ['unknown encoding', `<?xml version='1.0' encoding='ebcdic-9'?>${guest}`, /[Uu]nsupported encoding.*ebcdic-9/],
  ['NUL byte', but('t-bad-xml', 't-\0bad'), /invalid Char value/],
  ['control character', but('t-bad-xml', 't-\x07bad'), /invalid Char value/],
  ['reference to NUL', but('t-bad-xml', 't-&#0;bad'), /invalid xmlChar value 0/],
  ['a root of another kind', '<network/>', /expecting root element of 'domain', not 'network'/]
]

const values: [name: string, xml: string, status: number, message: RegExp][] = [
  ['no name', "<domain type='qemu'><memory>1</memory></domain>", USAGE, /missing name/],
  ['a name with a slash', but('t-bad-xml', '../../etc'), USAGE, /name.*'?\/'?/],
  ['unknown hypervisor', but("type='qemu'", "type='abacus'"), USAGE, /abacus/],
  ['broken uuid', but('<os>', '<uuid>1234</uuid><os>'), USAGE, /uuid/],
  ['unknown unit', but("'MiB'", "'furlong'"), USAGE, /unknown suffix 'furlong'/],
  ['memory that is no number', but('>64<', '>lots<'), USAGE, /memory.*lots|lots/],
  ['negative memory', but('>64<', '>-64<'), USAGE, /-64|memory/],
  ['no memory', but('>64<', '>0<'), USAGE, /memory/],
  ['no vCPU', but('<vcpu>1<', '<vcpu>0<'), USAGE, /vcpu|maximum/i],
  ['unknown architecture', but("'x86_64'", "'abacus'"), USAGE, /abacus/],
  ['unknown bus', withDevice(disk("dev='vda' bus='tin'")), USAGE, /'bus' in element 'target': 'tin'/],
  [
    'a PCI address out of range',
    withDevice(disk("dev='vda' bus='virtio'").replace('<target', "<address type='pci' slot='0x99'/><target")),
    USAGE,
    /slot|0x99/
  ]
]

for (const [name, xml, message] of documents) {
  t.test(name, t => refuses(t, { xml, status: USAGE, message }))
}
for (const [name, xml, status, message] of values) {
  t.test(name, t => refuses(t, { xml, status, message }))
}

t.test('large, odd but valid: it starts, and what is unknown is ignored', async t => {
  const unknown = '<what ever="so"><deep/></what>'.repeat(50_000)
  const description = `<description>${'y'.repeat(2 * MiB)}</description>`
  const shim = new Shim(but('<os>', `${description}${unknown}<os>`))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  const { xml } = (await shim.call('virDomainGetXMLDesc')).body
  t.ok(xml.includes(description))
  t.notOk(xml.includes('<what'))
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
  t.same(leftovers(shim.root, 't-bad-xml'), [])
})

t.test('another encoding than UTF-8, declared', async t => {
  const xml = `<?xml version='1.0' encoding='ISO-8859-1'?>${but('<os>', '<title>Gru\xdf</title><os>')}`
  const shim = new Shim(Buffer.from(xml, 'latin1'))
  t.teardown(() => shim.end())
  const exited = shim.start()
  await shim.untilState(RUNNING)
  t.match((await shim.call('virDomainGetXMLDesc')).body.xml, /<title>Gruß<\/title>/)
  await shim.call('virDomainDestroy', {})
  t.equal(await exited, 0)
})
