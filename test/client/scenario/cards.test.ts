// Cards, ports and screens of a guest that is paused, brought, changed and taken by virsh.
import t from 'tap'
import { scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

const ROOT_PORT = "<controller type='pci' model='pcie-root-port'/>"

/** ACPI would have devices wait for a guest that does not run. */
const GUEST = `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>$G</name><uuid>$U51</uuid>
  <memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
  <devices><controller type='pci' model='pcie-root'/>${ROOT_PORT.repeat(8)}
    <controller type='virtio-serial'/><controller type='usb' model='qemu-xhci'/>
    <interface type='user'><mac address='52:54:00:7a:51:01'/><model type='virtio'/></interface>
    <graphics type='vnc' port='$P' listen='127.0.0.1' passwd='geheim'/><video><model type='vga'/></video>
    <memballoon model='none'/></devices>
  <qemu:commandline><qemu:arg value='-global'/>
    <qemu:arg value='ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'/></qemu:commandline></domain>`

const card = (last: string, more = '') =>
  `<interface type='user'><mac address='52:54:00:7a:51:${last}'/><model type='virtio'/>${more}</interface>`
const vnc = (attributes: string, listen = '127.0.0.1') =>
  `<graphics type='vnc' port='$P' ${attributes}><listen type='address' address='${listen}'/></graphics>`

await scenario({
  group: 'cards',
  shim: 'g.xml',
  files: {
    'g.xml': GUEST,
    'second.xml': card('02', "<alias name='ua-second'/>"),
    'third.xml': card('03', "<link state='down'/>"),
    'first-down.xml': card('01', "<link state='down'/>"),
    'first-model.xml': card('01').replace('virtio', 'e1000e'),
    'first-mtu.xml': card('01', "<mtu size='1400'/>"),
    'nobody.xml': card('99'),
    'server.xml': card('04').replace("type='user'>", "type='server'><source address='127.0.0.1' port='5558'/>"),
    'channel.xml': "<channel type='null'><target type='virtio' name='one'/></channel>",
    'serial.xml': "<serial type='null'><target type='usb-serial'/></serial>",
    'console.xml': "<console type='pty'><target type='serial'/></console>",
    'watchdog.xml': "<watchdog model='ib700'/>",
    'sound.xml': "<sound model='ich9'/>",
    'password.xml': vnc("passwd='neu'"),
    'keymap.xml': vnc("passwd='neu' keymap='de'"),
    'listen.xml': vnc("passwd='neu'", '127.0.0.2'),
    'spice.xml': "<graphics type='spice' autoport='yes'/>"
  }
})
