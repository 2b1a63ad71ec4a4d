import t from 'tap'
import { formatDomain } from '../../../src/conf/domain-xml.ts'
import { define, errorOf } from '../../helper/definition.ts'

/** The character devices of a definition as they are written: element, type, and target. */
async function shown(devices: string): Promise<string[]> {
  const xml = formatDomain(await define(devices)).replace(/\n\s*/g, '')
  const found = xml.matchAll(/<(serial|parallel|console|channel) type='(\w+)'.*?<target ([^>]*?)\/?>/g)
  return [...found].map(([, name, type, target]) => `${name} ${type} ${target}`)
}

t.test('a console is the first serial port, and the other way round', async t => {
  for (const [devices, expected] of [
    ["<serial type='pty'/>", ["serial pty type='isa-serial' port='0'", "console pty type='serial' port='0'"]],
    ["<console type='null'/>", ["serial null type='isa-serial' port='0'", "console null type='serial' port='0'"]],
    [
      "<serial type='pty'/><console type='file'><source path='/a'/></console><console type='pty'><target type='virtio'/></console>",
      [
        "serial pty type='isa-serial' port='0'",
        "console pty type='serial' port='0'",
        "console pty type='virtio' port='1'"
      ]
    ],
    ["<serial type='pty'><target type='usb-serial'/></serial>", ["serial pty type='usb-serial' port='0'"]]
  ] as const) {
    t.same(await shown(devices), expected)
  }
})

t.test('ports are numbered: ISA first, the rest above the highest', async t => {
  const isa = "<serial type='null'><target type='isa-serial'/></serial>"
  t.same(
    (await shown(`<serial type='null'/><serial type='null'><target type='isa-serial' port='2'/></serial>${isa}`)).slice(
      0,
      3
    ),
    [
      "serial null type='isa-serial' port='3'",
      "serial null type='isa-serial' port='2'",
      "serial null type='isa-serial' port='0'"
    ]
  )
  t.match(await errorOf(() => define(isa.repeat(5))), "Maximum supported number of ISA serial ports is '4'")
  t.same(
    await shown("<parallel type='null'/><parallel type='null'><target port='5'/></parallel><parallel type='null'/>"),
    ["parallel null port='0'", "parallel null port='5'", "parallel null port='6'"]
  )
})

t.test('channels', async t => {
  t.same(
    await shown(
      "<channel type='pty'><target type='virtio' name='a' state='connected'/></channel>" +
        "<channel type='pty'><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>"
    ),
    ["channel pty type='virtio' name='a'", "channel pty type='guestfwd' address='10.0.2.1' port='4600'"]
  )
})

t.test('refuses with libvirt’s words', async t => {
  for (const [devices, error] of [
    ["<channel type='pty'/>", 'target type must be specified for channel device'],
    ["<channel type='pty'><target name='a'/></channel>", "unknown target type '(null)'"],
    ["<channel type='pty'><target type='guestfwd' port='1'/></channel>", 'does not define a target address'],
    ["<channel type='pty'><target type='guestfwd' address='::1' port='1'/></channel>", 'only supports IPv4'],
    ["<serial type='pty'><target port='x'/></serial>", 'Invalid port number: x'],
    ["<serial type='spicevmc'/>", 'spicevmc device type only supports virtio'],
    ["<serial type='pty'><target type='usb-serial'/><address type='pci'/></serial>", 'usb-serial requires address'],
    ["<console type='pty'/><console type='pty'/>", 'Only the first console can be a serial port'],
    ["<console type='pty'><target type='uml'/></console>", 'unsupported console target type uml'],
    ["<serial type='unix'/>", 'Missing source path attribute for char device'],
    ["<serial type='tcp'><source host='a'/></serial>", 'Missing source service attribute for char device']
  ] as const) {
    t.match(await errorOf(() => define(devices)), error)
  }
})
