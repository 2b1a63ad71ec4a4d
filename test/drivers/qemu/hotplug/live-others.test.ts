// Character devices, redirections, shared memory, watchdogs, file systems, inputs and screens of paused guests attached,
// detached and updated by libvirtd and by a shim; and the devices that stay as they are.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { CONFIG, compareLive, LIVE, type LiveCase } from '../../../helper/live-steps.ts'

t.setTimeout(600_000)

const dir = mkdtempSync(join(tmpdir(), 'live-others-'))
// libvirtd's QEMU is somebody else
chmodSync(dir, 0o777)
const server = createServer()
await new Promise<void>(done => server.listen(join(dir, 'server'), done))
chmodSync(join(dir, 'server'), 0o777)
t.teardown(() => {
  server.close()
  rmSync(dir, { recursive: true, force: true })
})

/** A guest's ACPI that never runs lets no device go. */
const NATIVE = `<qemu:commandline><qemu:arg value='-global'/>
  <qemu:arg value='ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'/></qemu:commandline>`
const SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"

const guest = (devices: string, { machine = 'q35', more = '' } = {}) =>
  `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><memory unit='MiB'>64</memory><vcpu>1</vcpu>
    ${more}<os><type arch='x86_64' machine='${machine}'>hvm</type></os><features><acpi/></features>
    <devices>${devices}<memballoon model='none'/></devices>${machine === 'q35' ? NATIVE : ''}</domain>`

const ports = (count: number) =>
  "<controller type='pci' model='pcie-root'/>" +
  Array.from({ length: count }, () => "<controller type='pci' model='pcie-root-port'/>").join('')
const XHCI = "<controller type='usb' model='qemu-xhci'/>"

const channel = (name: string, source = "type='null'", inside = '') =>
  `<channel ${source}>${inside}<target type='virtio' name='${name}'/></channel>`
const virtioConsole = (source = "type='null'", inside = '') =>
  `<console ${source}>${inside}<target type='virtio'/></console>`
const usbSerial = (source = "type='null'", inside = '', port = '') =>
  `<serial ${source}>${inside}<target type='usb-serial'${port}/></serial>`

const chardevs: LiveCase = {
  name: 'channels, consoles and ports',
  guest: guest(
    `${XHCI}<controller type='virtio-serial'/>${usbSerial()}${channel('one')}<channel type='null'><target type='virtio' name='two'/><alias name='ua-two'/></channel>${ports(3)}`
  ),
  steps: [
    ['+', channel('three', "type='unix'")],
    ['+', channel('four', "type='unix'", `<source mode='bind' path='${dir}/four'/>`), LIVE | CONFIG],
    ['+', channel('five', "type='unix'", `<source mode='connect' path='${dir}/server'/>`)],
    ['+', channel('six', "type='unix'", "<source mode='connect' path='/nowhere/sock'/>")],
    ['+', channel('seven', "type='pty'")],
    ['+', channel('org.qemu.guest_agent.0', "type='unix'")],
    ['+', channel('one')],
    ['+', channel('eight', "type='spicevmc'")],
    [
      '+',
      "<channel type='null'><target type='virtio' name='nine'/><address type='virtio-serial' controller='0' bus='0' port='1'/></channel>"
    ],
    [
      '+',
      "<channel type='null'><target type='virtio' name='nine'/><address type='virtio-serial' controller='7' bus='0' port='1'/></channel>"
    ],
    [
      '+',
      "<channel type='null'><target type='virtio' name='nine'/><address type='virtio-serial' controller='0' bus='0' port='20'/></channel>"
    ],
    ['+', "<channel type='null'><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>"],
    ['+', virtioConsole("type='pty'")],
    ['+', virtioConsole()],
    ['+', "<console type='pty'/>"],
    ['+', "<console type='pty'><target type='serial' port='1'/></console>"],
    ['+', "<console type='pty'><target type='sclp'/></console>"],
    ['+', usbSerial("type='pty'")],
    ['+', usbSerial("type='file'", `<source path='${dir}/log'/>`), LIVE | CONFIG],
    ['+', usbSerial("type='file'", "<source path='/nowhere/log'/>")],
    ['+', "<serial type='null'><target type='pci-serial'/></serial>"],
    ['+', "<serial type='null'><target type='isa-serial' port='2'/></serial>"],
    ['+', "<serial type='null'/>"],
    ['+', "<parallel type='null'/>"],
    ['+', "<parallel type='pty'/>"],
    ['-', channel('one')],
    ['-', channel('one')],
    ['-', channel('four', "type='unix'", `<source mode='bind' path='${dir}/four'/>`), LIVE | CONFIG],
    ['-', "<channel type='null'><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>"],
    ['-', channel('org.qemu.guest_agent.0', "type='unix'")],
    ['-', virtioConsole("type='pty'")],
    ['-', "<console type='null'/>"],
    ['-', "<console type='pty'><target type='serial' port='0'/></console>"],
    ['-', "<parallel type='null'/>"],
    ['-', usbSerial("type='pty'", '', " port='1'")],
    ['-', usbSerial("type='null'", '', " port='7'")],
    ['-', "<serial type='null'><target type='pci-serial' port='3'/></serial>"],
    ['-', usbSerial("type='null'", '', " port='0'")],
    ['-alias', 'channel2'],
    ['-alias', 'ua-two'],
    ['~', channel('three', "type='unix'")],
    ['~', usbSerial()]
  ]
}

const firstPort: LiveCase = {
  name: 'the first port of a guest brings its console',
  guest: guest(XHCI),
  steps: [
    ['+', usbSerial("type='pty'")],
    ['+', usbSerial()],
    ['+', channel('one')],
    ['+', virtioConsole()],
    ['-', usbSerial("type='null'", '', " port='1'")],
    ['-', usbSerial("type='pty'", '', " port='0'")]
  ]
}

const full: LiveCase = {
  name: 'no port for another channel',
  guest: guest(`<controller type='virtio-serial' ports='2'/>${channel('one')}`),
  steps: [
    ['+', virtioConsole()],
    ['-', channel('one')],
    ['+', channel('two')]
  ]
}

const redirdev = (bus = 'usb', more = '') =>
  `<redirdev bus='${bus}' type='unix'><source mode='bind' path='${dir}/usb'/>${more}</redirdev>`
const shmem = (name: string, model = 'ivshmem-plain', more = "<size unit='M'>4</size>") =>
  `<shmem name='${name}'><model type='${model}'/>${more}</shmem>`
const watchdog = (model: string, action: string) => `<watchdog model='${model}' action='${action}'/>`
const filesystem = (target: string, source = dir, driver = "<driver type='virtiofs'/>") =>
  `<filesystem type='mount' accessmode='passthrough'>${driver}<source dir='${source}'/><target dir='${target}'/></filesystem>`

const pluggable: LiveCase = {
  name: 'redirections, shared memory, watchdogs, file systems, inputs',
  guest: guest(`${XHCI}<input type='tablet' bus='usb'/>${ports(9)}`, { more: SHARED }),
  steps: [
    ['+', redirdev()],
    ['+', redirdev('usb', "<boot order='1'/>")],
    ['+', redirdev('pci')],
    ['+', "<redirdev bus='usb' type='spicevmc'/>"],
    ['+', "<redirdev bus='usb' type='tcp'><source mode='connect' host='127.0.0.1' service='1'/></redirdev>"],
    ['-', redirdev()],
    ['-', redirdev()],
    ['+', shmem(`live${process.pid}`)],
    ['+', shmem(`live${process.pid}`)],
    ['+', shmem('three', 'ivshmem-doorbell', `<server path='/nowhere/sock'/><msi vectors='4'/>`)],
    ['+', shmem('three', 'ivshmem')],
    ['+', shmem('three', 'ivshmem-plain', "<size unit='M'>3</size>")],
    ['-', shmem(`live${process.pid}`)],
    ['-', shmem('nonesuch')],
    ['+', watchdog('i6300esb', 'poweroff')],
    ['+', watchdog('i6300esb', 'reset')],
    ['+', watchdog('ib700', 'poweroff')],
    ['+', watchdog('itco', 'poweroff')],
    ['+', watchdog('i6300esb', 'poweroff'), LIVE | CONFIG],
    ['-', watchdog('ib700', 'poweroff')],
    ['-', watchdog('itco', 'reset')],
    ['-', watchdog('i6300esb', 'poweroff')],
    ['-', watchdog('i6300esb', 'dump')],
    ['+', "<vsock model='virtio'><cid auto='no' address='7'/></vsock>"],
    ['-', "<vsock model='virtio'><cid auto='no' address='7'/></vsock>"],
    ['+', filesystem('one')],
    ['+', filesystem('two', dir, "<driver type='path'/>")],
    ['+', filesystem('three', '/nowhere')],
    ['-', filesystem('two')],
    ['-', filesystem('one')],
    ['+', filesystem('one'), LIVE | CONFIG],
    ['-', filesystem('one'), LIVE | CONFIG],
    ['+', "<input type='keyboard' bus='usb'/>"],
    ['+', "<input type='mouse' bus='virtio'/>"],
    ['+', "<input type='keyboard' bus='ps2'/>"],
    ['+', "<input type='passthrough' bus='virtio'><source evdev='/dev/input/nonesuch'/></input>"],
    ['+', "<input type='evdev'><source dev='/dev/input/nonesuch'/></input>"],
    ['-', "<input type='keyboard' bus='usb'/>"],
    ['-', "<input type='keyboard' bus='ps2'/>"],
    ['-', "<input type='evdev'><source dev='/dev/input/nonesuch'/></input>"],
    ['~', redirdev()],
    ['~', shmem('three')],
    ['~', watchdog('i6300esb', 'poweroff')],
    ['~', filesystem('one')],
    ['~', "<input type='tablet' bus='usb'/>"],
    ['~', "<vsock model='virtio'><cid auto='no' address='7'/></vsock>"]
  ]
}

const vnc = (more = '', listen = "<listen type='address' address='127.0.0.1'/>") =>
  `<graphics type='vnc' port='-1' autoport='yes' ${more}>${listen}</graphics>`

const screens: LiveCase = {
  name: 'screens',
  guest: guest(`${vnc("passwd='first' keymap='de'")}<video><model type='vga'/></video>`),
  steps: [
    ['~', vnc("passwd='second' keymap='de'")],
    ['~', vnc("passwd='second' keymap='de'")],
    ['~', vnc("passwd='third' passwdValidTo='2040-01-02T03:04:05' keymap='de'"), LIVE | CONFIG],
    ['~', vnc("passwd='third' passwdValidTo='2001-01-02T03:04:05' keymap='de'")],
    ['~', vnc("passwd='third' connected='keep' keymap='de'")],
    ['~', vnc("passwd='third' connected='fail' keymap='de'")],
    ['~', vnc("passwd='much-too-long' keymap='de'")],
    ['~', vnc("passwd='' keymap='de'")],
    ['~', vnc("keymap='de'")],
    ['~', vnc("passwd='third'")],
    ['~', vnc("passwd='third' keymap='fr'")],
    ['~', vnc("keymap='de'", "<listen type='address' address='127.0.0.2'/>")],
    ['~', vnc("keymap='de'", "<listen type='address'/>")],
    ['~', vnc("keymap='de'", `<listen type='socket' socket='${dir}/vnc'/>`)],
    ['~', vnc("keymap='de'", "<listen type='none'/>")],
    ['~', vnc("keymap='de'", "<listen type='network' network='default'/>")],
    [
      '~',
      vnc("keymap='de'", "<listen type='address' address='127.0.0.1'/><listen type='address' address='127.0.0.2'/>")
    ],
    ['~', `<graphics type='vnc' port='5999' keymap='de'><listen type='address' address='127.0.0.1'/></graphics>`],
    ['~', "<graphics type='spice' autoport='yes'/>"],
    ['~', "<graphics type='sdl'/>"],
    ['+', "<graphics type='spice' autoport='yes'/>"],
    ['-', vnc("keymap='de'")],
    ['-alias', 'video0']
  ]
}

/** Of each kind that is there from the start to the end. */
const FIXED = [
  "<sound model='ich9'/>",
  "<video><model type='vga'/></video>",
  "<hub type='usb'/>",
  "<smartcard mode='host'/>",
  "<memballoon model='virtio'/>",
  "<nvram><address type='spapr-vio' reg='0x3000'/></nvram>",
  "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>",
  "<panic model='isa'/>",
  "<iommu model='intel'/>",
  "<audio id='1' type='none'/>",
  "<crypto model='virtio' type='qemu'><backend model='builtin'/></crypto>",
  "<pstore backend='acpi-erst'><path>/tmp/pstore</path><size unit='KiB'>64</size></pstore>",
  "<graphics type='vnc'/>",
  '<redirfilter/>',
  '<nonesuch/>'
]

const fixed: LiveCase = {
  name: 'devices that stay',
  guest: guest(''),
  steps: FIXED.flatMap(xml => (['+', '-', '~'] as const).map(verb => [verb, xml] as [typeof verb, string]))
}

t.test('devices but disks, cards and those of the host', t =>
  compareLive(t, [chardevs, firstPort, full, pluggable, screens, fixed])
)
