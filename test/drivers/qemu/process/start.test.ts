// Devices of every family on a real QEMU (TCG): whether what the command line says is what QEMU understands. Each guest
// stays in its firmware, which is enough for QEMU to have made all its devices.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { leftovers } from '../../../helper/refusal.ts'
import { Shim } from '../../../helper/shim.ts'

const RUNNING = 1

t.setTimeout(180_000)

interface Guest {
  machine?: string
  arch?: string
  memory?: string
  /** inside `<os>`, beside the type */
  os?: string
  /** outside `<devices>` */
  outside?: string
  /** `@` is a directory of the guest's own, with raw images 0.img … 9.img and a directory `shared` */
  devices: string
  /** what the guest needs of the host; without it, it is left out */
  needs?: string[]
}

const disk = (n: number, target: string, bus: string, more = '') =>
  `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='@/${n}.img'/><target dev='${target}' bus='${bus}'/>${more}</disk>`

const SPICE =
  "<graphics type='spice' autoport='yes' passwd='secret'><image compression='off'/><mouse mode='client'/></graphics>"
const SPICE_CHANNEL =
  "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel><graphics type='spice'/>"

const MODULES = '/usr/lib/x86_64-linux-gnu/qemu'
/** What QEMU has by a module, on a host that has it: some distributions pack SPICE and D-Bus apart. */
const withModule = (name: string, xml: string) => (existsSync(`${MODULES}/${name}.so`) ? xml : '')

const GUESTS: Record<string, Guest> = {
  'graphics, video and sound': {
    devices: `
      <graphics type='vnc' websocket='-1' passwd='secret' keymap='de' sharePolicy='ignore' powerControl='yes'/>
      ${withModule('ui-spice-core', SPICE)}
      ${withModule('ui-dbus', "<graphics type='dbus' p2p='yes'/>")}
      <video><model type='vga' vram='8192'/></video>
      ${withModule('hw-display-qxl', "<video><model type='qxl' heads='2'/></video>")}
      <video><model type='virtio'/></video>
      <sound model='sb16'/><sound model='es1370'/><sound model='pcspk'/><sound model='ac97'/><sound model='usb'/>
      <sound model='ich6'/><sound model='ich9'><codec type='micro'/><codec type='output'/></sound>
      <audio id='1' type='none'/>`
  },
  'sockets of display servers': {
    devices: `
      <graphics type='vnc'><listen type='socket'/></graphics>
      ${withModule('ui-spice-core', "<graphics type='spice'><listen type='socket'/></graphics>")}
      <video><model type='bochs'><resolution x='800' y='600'/></model></video>`
  },
  'a display on a D-Bus of its own': {
    needs: ['/usr/bin/dbus-daemon', `${MODULES}/ui-dbus.so`],
    devices:
      "<graphics type='dbus'><audio id='1'/></graphics><audio id='1' type='dbus'/><video><model type='virtio'/></video>"
  },
  'input and USB': {
    devices: `
      <controller type='usb' index='0' model='ich9-ehci1'/>
      <controller type='usb' index='0' model='ich9-uhci1'><master startport='0'/></controller>
      <controller type='usb' index='0' model='ich9-uhci2'><master startport='2'/></controller>
      <controller type='usb' index='1' model='qemu-xhci' ports='8'/><controller type='usb' index='2' model='nec-xhci'/>
      <controller type='usb' index='3' model='piix4-uhci'/><controller type='usb' index='4' model='pci-ohci'/>
      <input type='tablet' bus='usb'/><input type='mouse' bus='usb'/><input type='keyboard' bus='usb'/>
      <input type='tablet' bus='virtio'/><input type='mouse' bus='virtio'/><input type='keyboard' bus='virtio'/>
      <hub type='usb'/><redirdev bus='usb' type='unix'><source mode='bind' path='@/redir.sock'/></redirdev>
      <smartcard mode='passthrough' type='unix'><source mode='bind' path='@/card.sock'/></smartcard>`
  },
  'disks of every bus': {
    devices: `
      ${disk(0, 'hda', 'ide')}${disk(1, 'sda', 'scsi', '<serial>one</serial><wwn>5000c50015ea71ac</wwn>')}
      ${disk(2, 'vda', 'virtio', "<boot order='1'/>")}${disk(3, 'sdb', 'usb')}${disk(4, 'sdc', 'sata')}
      <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
      <disk type='file' device='floppy'><source file='@/5.img'/><target dev='fda' bus='fdc'/></disk>
      <disk type='file'><driver name='qemu' type='raw' cache='none' io='native' discard='unmap' detect_zeroes='unmap' iothread='1' queues='1'/>
        <source file='@/6.img'/><target dev='vdb' bus='virtio'/><iotune><total_bytes_sec>1048576</total_bytes_sec></iotune></disk>
      <disk type='file'><driver name='qemu' type='raw' copy_on_read='on'/><source file='@/7.img'/><target dev='vdc' bus='virtio'/></disk>
      <controller type='scsi' index='0' model='virtio-scsi'/>`,
    outside: '<iothreads>1</iothreads>'
  },
  'SCSI controllers': {
    devices: ['lsilogic', 'lsisas1068', 'lsisas1078', 'vmpvscsi', 'am53c974', 'virtio-scsi']
      .map((model, i) => `<controller type='scsi' index='${i}' model='${model}'/>`)
      .join('')
  },
  'character devices': {
    devices: `
      <serial type='pty'/><serial type='file'><source path='@/serial.log'/></serial>
      <serial type='unix'><source mode='bind' path='@/serial.sock'/></serial><serial type='null'/>
      <serial type='tcp'><source mode='bind' host='127.0.0.1' service='0'/><target type='pci-serial'/></serial>
      <serial type='pty'><target type='usb-serial'/></serial><parallel type='null'/>
      <console type='pty'/><console type='pty'><target type='virtio'/></console>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
      <channel type='pty'><target type='virtio' name='a.port'/></channel>
      ${withModule('ui-spice-core', SPICE_CHANNEL)}`
  },
  interfaces: {
    devices: ['virtio', 'e1000', 'e1000e', 'rtl8139', 'ne2k_pci', 'pcnet', 'virtio-transitional']
      .map(
        (model, i) => `<interface type='user'><mac address='52:54:00:00:00:0${i}'/><model type='${model}'/></interface>`
      )
      .join('')
  },
  'what a host has': {
    outside: '<genid/><features><acpi/><pae/><vmcoreinfo/></features>',
    devices: `
      <rng model='virtio'><rate bytes='1024' period='2000'/><backend model='random'>/dev/urandom</backend></rng>
      <rng model='virtio'><backend model='builtin'/></rng>
      <watchdog model='i6300esb' action='pause'/>
      <panic model='isa'/><memballoon model='virtio' autodeflate='on' freePageReporting='on'><stats period='5'/></memballoon>
      <shmem name='start-test' role='master'><model type='ivshmem-plain'/><size unit='M'>1</size></shmem>
      <filesystem type='mount' accessmode='mapped'><source dir='@/shared'/><target dir='tag'/></filesystem>
      <crypto model='virtio' type='qemu'><backend model='builtin' queues='1'/></crypto>`
  },
  'memory and NUMA': {
    memory: "<maxMemory slots='4' unit='MiB'>1024</maxMemory><memory unit='MiB'>128</memory><vcpu current='2'>4</vcpu>",
    outside: `<features><acpi/></features>
      <cpu><topology sockets='2' dies='1' cores='2' threads='1'/>
      <numa><cell id='0' cpus='0-1' memory='64' unit='MiB'/><cell id='1' cpus='2-3' memory='64' unit='MiB'/></numa></cpu>
      <memtune><hard_limit unit='GiB'>4</hard_limit></memtune>`,
    devices: `<memory model='dimm'><target><size unit='MiB'>128</size><node>1</node></target></memory>
      <memory model='nvdimm'><source><path>@/9.img</path></source><target><size unit='MiB'>128</size><node>0</node></target></memory>`
  },
  'a Q35 board with bridges': {
    machine: 'q35',
    outside: '<features><acpi/><ioapic driver="qemu"/></features>',
    devices: `
      <controller type='pci' model='pcie-root'/><controller type='pci' index='1' model='pcie-root-port'/>
      <controller type='pci' index='2' model='pcie-switch-upstream-port'><address type='pci' bus='1'/></controller>
      <controller type='pci' index='3' model='pcie-switch-downstream-port'/><controller type='pci' model='pcie-root-port'/>
      <controller type='pci' model='pcie-to-pci-bridge'/><controller type='pci' model='dmi-to-pci-bridge'/>
      <controller type='pci' model='pcie-expander-bus'/><controller type='virtio-serial' index='0' ports='4' vectors='4'/>
      <iommu model='intel'><driver intremap='on' caching_mode='on' iotlb='on'/></iommu>
      <video><driver iommu='on' ats='on'/><model type='virtio'/></video><sound model='ich9'/>${disk(0, 'sda', 'sata')}
      <interface type='user'><model type='virtio-non-transitional'/><driver iommu='on' ats='on'/></interface>`
  },
  'a Q35 board with a virtio IOMMU': {
    machine: 'q35',
    outside: '<features><acpi/></features>',
    devices: `<iommu model='virtio'/><graphics type='vnc'><listen type='none'/></graphics><video><model type='ramfb'/></video>`
  },
  UEFI: {
    machine: 'q35',
    needs: ['/usr/share/OVMF/OVMF_CODE_4M.fd'],
    memory: "<memory unit='MiB'>256</memory>",
    os: `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
      <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>@/vars.fd</nvram><bootmenu enable='yes' timeout='100'/><smbios mode='sysinfo'/>`,
    outside:
      "<sysinfo type='smbios'><system><entry name='serial'>start-test</entry></system></sysinfo><features><acpi/></features>",
    devices: disk(0, 'vda', 'virtio')
  },
  'a 32 bit guest with a CPU, clock and tuning of its own': {
    arch: 'i686',
    needs: ['/usr/bin/qemu-system-i386'],
    outside: `
      <vcpu>2</vcpu><cputune><shares>512</shares></cputune><cpu mode='custom' match='exact'><model fallback='allow'>qemu32</model><feature policy='require' name='pae'/></cpu>
      <clock offset='localtime'><timer name='rtc' tickpolicy='catchup' track='guest'/><timer name='hpet' present='no'/></clock>
      <pm><suspend-to-mem enabled='no'/></pm><on_reboot>destroy</on_reboot>`,
    devices: `<serial type='pty'/>`
  },
  'the maximum CPU': {
    outside: "<cpu mode='maximum'/><clock offset='variable' adjustment='-3600' basis='utc'/>",
    devices: "<video><model type='cirrus'/></video>"
  }
}

/** The guest's XML; its own directory is made and filled. */
function prepare(shim: Shim, name: string, guest: Guest): void {
  const own = join(shim.dir, 'own')
  mkdirSync(join(own, 'shared'), { recursive: true })
  for (let i = 0; i < 10; i++) {
    const file = join(own, `${i}.img`)
    writeFileSync(file, '')
    spawnSync('truncate', ['-s', i === 5 ? '1440K' : '128M', file])
  }
  const { machine = 'pc', arch = 'x86_64', memory = "<memory unit='MiB'>64</memory>", os = '', outside = '' } = guest
  const xml = `<domain type='qemu'><name>${name}</name>${memory}
    <os><type arch='${arch}' machine='${machine}'>hvm</type>${os}</os>${outside}<devices>${guest.devices}</devices></domain>`
  writeFileSync(shim.xmlFile, xml.replaceAll('@', own))
}

Object.entries(GUESTS).forEach(([what, guest], i) => {
  const missing = guest.needs?.find(file => !existsSync(file))
  const skip = missing !== undefined && `needs ${missing}`
  t.test(`starts ${what}`, { skip }, async t => {
    const name = `t-start-${process.pid}-${i}`
    const shim = new Shim('')
    t.teardown(() => shim.end())
    prepare(shim, name, guest)
    const exited = shim.start()
    await shim.untilState(RUNNING)
    const answer = await shim.call('virDomainQemuMonitorCommand', { cmd: '{"execute":"query-status"}' })
    t.equal(answer.status, 200)
    t.equal(JSON.parse(answer.body.result).return.status, 'running')
    t.equal((await shim.call('virDomainDestroy', {})).status, 200)
    t.equal(await exited, 0)
    t.same(leftovers(shim.root, name), [], 'nothing is left')
  })
})
