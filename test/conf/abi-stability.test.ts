// Definitions that a guest's memory fits or not: one change at a time, and libvirt's words for it.
import t from 'tap'
import { checkAbiStability } from '../../src/conf/abi-stability.ts'
import { parseDomain } from '../../src/conf/domain-xml.ts'
import { failureOf } from '../helper/stand-in-guest.ts'

const XML = `<domain type='qemu'><name>one</name><uuid>7b1c5a5e-0000-4000-8000-00000000000a</uuid>
<genid>7b1c5a5e-0000-4000-8000-00000000000b</genid>
<maxMemory slots='4' unit='KiB'>4194304</maxMemory><memory unit='KiB'>1048576</memory>
<currentMemory unit='KiB'>1048576</currentMemory><vcpu>4</vcpu>
<sysinfo type='smbios'><bios><entry name='vendor'>A</entry></bios></sysinfo>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><smbios mode='sysinfo'/></os>
<features><acpi/><apic eoi='on'/><pmu state='off'/><hyperv><relaxed state='on'/><spinlocks state='on' retries='8191'/></hyperv>
<kvm><hidden state='on'/></kvm><smm state='on'><tseg unit='MiB'>48</tseg></smm></features>
<cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><vendor>AMD</vendor>
<topology sockets='1' cores='4' threads='1'/><feature policy='require' name='aes'/>
<numa><cell id='0' cpus='0-1' memory='512' unit='MiB'/><cell id='1' cpus='2-3' memory='512' unit='MiB'/></numa></cpu>
<clock offset='utc'><timer name='rtc' present='yes'/><timer name='tsc' frequency='1000000' mode='native'/></clock>
<devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2' queues='2' ats='on'/><source file='/a'/>
<target dev='vda' bus='virtio'/><serial>S</serial><wwn>500000e0ffffffff</wwn><blockio logical_block_size='512'/>
<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></disk>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/>
<address type='drive' controller='0' bus='0' target='0' unit='1'/></disk>
<controller type='usb' index='0' model='qemu-xhci' ports='8'/>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/><mtu size='1500'/><acpi index='3'/></interface>
<serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
<channel type='unix'><target type='virtio' name='org.a'/></channel>
<input type='tablet' bus='usb'/><sound model='ich9'/><video><model type='qxl' ram='65536' vram='65536' heads='1'/></video>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm><watchdog model='itco' action='reset'/>
<memballoon model='virtio' freePageReporting='on'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<panic model='isa'/><shmem name='s' role='master'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
<iommu model='intel'><driver intremap='on'/></iommu><vsock model='virtio'><cid auto='yes'/></vsock>
</devices></domain>`

const from = parseDomain(XML)

async function changed(what: string | RegExp, to: string, skipVolatile = false): Promise<string> {
  const xml = XML.replace(what, () => to)
  t.not(xml, XML, `${what} is there`)
  return failureOf(() => checkAbiStability(from, parseDomain(xml), { skipVolatile }))
}

t.test('what the guest does not see may change', async t => {
  checkAbiStability(from, parseDomain(XML))
  for (const [what, to] of [
    ["file='/a'", "file='/b'"],
    ["type='qcow2'", "type='raw'"],
    ["<serial type='pty'>", "<serial type='null'>"],
    ['/dev/urandom', '/dev/random'],
    ["action='reset'", "action='pause'"]
  ] as const) {
    t.equal(await changed(what, to), '', to)
  }
  const current = ["<currentMemory unit='KiB'>1048576", "<currentMemory unit='KiB'>524288"] as const
  t.equal(await changed(...current, true), '')
  t.match(await changed(...current), /Target domain current memory 524288 does not match source 1048576/)
})

const CASES: [what: string | RegExp, to: string, words: string][] = [
  ["type='qemu'", "type='kvm'", 'Target domain virt type kvm does not match source qemu'],
  ['00000000000a<', '00000000000c<', 'Target domain uuid 7b1c5a5e-0000-4000-8000-00000000000c does not match source'],
  ['00000000000b<', '00000000000c<', 'Target domain genid 7b1c5a5e-0000-4000-8000-00000000000c does not match source'],
  [/<genid>.*<\/genid>/, '', 'Target domain requested genid does not match source'],
  ['<name>one', '<name>two', "Target domain name 'two' does not match source 'one'"],
  ["slots='4'", "slots='5'", "Target domain memory slots count '5' doesn't match source '4'"],
  ['4194304', '8388608', "Target maximum memory size '8388608' doesn't match source '4194304'"],
  ['<vcpu>4', '<vcpu>8', 'Target domain vCPU max 8 does not match source 4'],
  ['<vcpu>4', "<vcpu current='3'>4", "State of vCPU '3' differs between source and destination definitions"],
  [
    "cpus='0-1' memory='512'",
    "cpus='0-1' memory='256'",
    "Size of target NUMA node 0 (262144) doesn't match source (524288)"
  ],
  ['pc-q35-7.2', 'pc-q35-7.1', 'Target domain machine type pc-q35-7.1 does not match source pc-q35-7.2'],
  ["smbios mode='sysinfo'", "smbios mode='host'", 'Target domain SMBIOS mode host does not match source sysinfo'],
  ['<acpi/>', '', "State of feature 'acpi' differs: source: 'on', destination: 'default'"],
  ["eoi='on'", "eoi='off'", "State of feature 'apic' differs: source: 'on,eoi=on', destination: 'on,eoi=off'"],
  ["pmu state='off'", "pmu state='on'", "State of feature 'pmu' differs: source: 'off', destination: 'on'"],
  [
    "relaxed state='on'",
    "relaxed state='off'",
    "State of HyperV enlightenment feature 'relaxed' differs: source: 'on'"
  ],
  ['8191', '8192', "HyperV spinlock retry count differs: source: '8191', destination: '8192'"],
  [
    "hidden state='on'",
    "hidden state='off'",
    "State of KVM feature 'hidden' differs: source: 'on', destination: 'off'"
  ],
  ["<timer name='rtc' present='yes'/>", '', 'Target domain timers do not match source'],
  ["present='yes'", "present='no'", "Target timer presence 'no' does not match source 'yes'"],
  ['1000000', '2000000', 'Target TSC frequency 2000000 does not match source 1000000'],
  ["mode='custom' match='exact' check='none'", "mode='host-model'", 'Target CPU mode host-model does not match source'],
  [
    '>qemu64<',
    '>kvm64<',
    'VIR_FROM_CPU: unsupported configuration: Target CPU model kvm64 does not match source qemu64'
  ],
  ['>AMD<', '>Intel<', 'Target CPU vendor Intel does not match source AMD'],
  ["sockets='1' cores='4'", "sockets='4' cores='1'", 'Target CPU sockets 4 does not match source 1'],
  ["name='aes'", "name='avx'", 'Target CPU feature avx does not match source aes'],
  ["policy='require' name='aes'", "policy='disable' name='aes'", 'Target CPU feature policy disable does not match'],
  [/<sysinfo.*<\/sysinfo>/, '', 'Target domain count of sysinfo does not match source'],
  ["dev='vda'", "dev='vdb'", 'Target disk vdb does not match source vda'],
  ['<serial>S<', '<serial>T<', 'Target disk serial T does not match source S'],
  ['<serial>S</serial>', '', 'Target disk serial <null> does not match source S'],
  ['500000e0ffffffff', '500000e0fffffffe', "Target disk wwn '500000e0fffffffe' does not match source"],
  ["queues='2'", "queues='3'", 'Target disk queue count 3 does not match source 2'],
  ["ats='on'", '', "Target device ats option 'default' does not match source 'on'"],
  ["bus='0x01'", "bus='0x02'", 'Target device PCI address 0000:02:00.0 does not match source 0000:01:00.0'],
  [/<address type='pci'[^>]*>/, '', 'Target device address type none does not match source pci'],
  ["unit='1'", "unit='2'", 'Target device drive address 0:0:2 does not match source 0:0:1'],
  [
    "logical_block_size='512'",
    "logical_block_size='4096'",
    'Target disk logical_block_size 4096 does not match source 512'
  ],
  [/<disk type='file' device='cdrom'>.*?<\/disk>/s, '', 'Target domain disk count 1 does not match source 2'],
  ["model='qemu-xhci'", "model='nec-xhci'", 'Target controller model 9 does not match source 12'],
  ["ports='8'", "ports='4'", 'Target controller ports 4 does not match source 8'],
  ['52:54:00:00:00:01', '52:54:00:00:00:02', 'Target network card mac 52:54:00:00:00:02 does not match source'],
  ["size='1500'", "size='9000'", 'Target network card MTU 9000 does not match source 1500'],
  ["acpi index='3'", "acpi index='4'", "Target ACPI index '4' does not match source '3'"],
  ["name='org.a'", "name='org.b'", 'Target channel name org.b does not match source org.a'],
  ["type='tablet'", "type='mouse'", 'Target input device type mouse does not match source tablet'],
  ["sound model='ich9'", "sound model='ich6'", 'Target sound card model ich6 does not match source ich9'],
  ["vram='65536'", "vram='32768'", 'Target video card vram 32768 does not match source 65536'],
  ['tpm-crb', 'tpm-tis', "Target TPM device model doesn't match source"],
  ["version='2.0'", "version='1.2'", "Target TPM version doesn't match source"],
  ["model='itco'", "model='ib700'", 'Target watchdog model ib700 does not match source itco'],
  [
    "freePageReporting='on'",
    '',
    "Target balloon freePageReporting attribute value 'default' does not match source 'on'"
  ],
  ["panic model='isa'", "panic model='pvpanic'", "Target panic model 'pvpanic' does not match source 'isa'"],
  ["role='master'", "role='peer'", "Target shared memory role 'peer' does not match source role 'master'"],
  ["size unit='M'>4", "size unit='M'>8", "Target shared memory size '8388608' does not match source size '4194304'"],
  ["intremap='on'", "intremap='off'", "Target domain IOMMU device intremap value 'off' does not match source 'on'"],
  [/<iommu.*<\/iommu>/, '', 'Target domain IOMMU device count does not match source'],
  [/<vsock.*<\/vsock>/, '', 'Target domain vsock device count does not match source'],
  [/<rng.*<\/rng>/, '', 'Target domain RNG device count 0 does not match source 1']
]

t.test('what it sees may not', async t => {
  for (const [what, to, words] of CASES) {
    t.ok((await changed(what, to)).includes(words), `${words}: ${await changed(what, to)}`)
  }
})
