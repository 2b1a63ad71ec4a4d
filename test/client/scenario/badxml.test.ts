// Definitions with one fault each: refused with the same words, or taken all the same, by virsh on either side.
import t from 'tap'
import { scenario } from '../../helper/scenario.ts'

// up to three programs at a time on a busy machine
t.setTimeout(600_000)

/** A guest that can be defined. */
const base = (inside = '', devices = '', head = "type='qemu'") =>
  `<domain ${head}><name>$G</name><uuid>$U22</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>${inside}<devices>${devices}</devices></domain>`
/** The same with devices. */
const dev = (devices: string) => base('', devices)

/** Documents with one fault each, by what is wrong. */
const bad: Record<string, string> = {
  empty: '',
  blank: '   \n',
  text: 'hello',
  unclosed: '<domain><name>x</name>',
  mismatch: '<domain><name>x</nome></domain>',
  noquote: '<domain type=qemu><name>x</name></domain>',
  twice: "<domain type='qemu' type='kvm'/>",
  amp: '<domain><name>a & b</name></domain>',
  entity: '<domain><name>&nosuch;</name></domain>',
  tworoots: '<domain/><domain/>',
  otherroot: '<network><name>x</name></network>',
  trailing: `${base()}garbage`,
  comment: '<domain><!-- a -- b --></domain>',
  pi: '<?xml version="1.0"',
  badutf: '<domain><name>\u0001</name></domain>',
  lt: "<domain type='<'/>",
  prefix: '<a:domain/>',
  cdata: '<domain><![CDATA[x</domain>',
  notype: base('', '', ''),
  badtype: base('', '', "type='nosuch'"),
  noname: base().replace('<name>$G</name>', ''),
  emptyname: base().replace('$G', ''),
  slashname: base().replace('$G', 'a/b'),
  newlinename: base().replace('$G', 'a\nb'),
  baduuid: base().replace(/<uuid>[^<]*/, '<uuid>nonsense'),
  zerouuid: base().replace(/<uuid>[^<]*/, '<uuid>00000000-0000-0000-0000-000000000000'),
  shortuuid: base().replace(/<uuid>[^<]*/, '<uuid>1234'),
  nomemory: base().replace(/<memory.*memory>/, ''),
  zeromem: base().replace('>64<', '>0<'),
  negmem: base().replace('>64<', '>-1<'),
  wordmem: base().replace('>64<', '>much<'),
  badunit: base().replace("'MiB'", "'nosuch'"),
  hugemem: base().replace('>64<', '>99999999999999999999<'),
  overmem: base().replace("'MiB'>64", "'EiB'>64"),
  novcpu: base().replace('<vcpu>1</vcpu>', ''),
  zerovcpu: base().replace('<vcpu>1', '<vcpu>0'),
  wordvcpu: base().replace('<vcpu>1', '<vcpu>x'),
  manyvcpu: base().replace('<vcpu>1', '<vcpu>70000'),
  vcpu300: base().replace('<vcpu>1', '<vcpu>300'),
  currentover: base().replace('<vcpu>', "<vcpu current='3'>"),
  placement: base().replace('<vcpu>', "<vcpu placement='x'>"),
  cpuset: base().replace('<vcpu>', "<vcpu cpuset='a-b'>"),
  noos: base().replace(/<os>.*<\/os>/, ''),
  notypeos: base().replace(/<type.*type>/, ''),
  ostype: base().replace('hvm', 'nosuch'),
  xen: base().replace('>hvm', '>xen'),
  badarch: base().replace('x86_64', 'nosuch'),
  otherarch: base().replace('x86_64', 's390x'),
  badmachine: base().replace("'pc'", "'nosuch'"),
  boot: base().replace('hvm</type>', "hvm</type><boot dev='nosuch'/>"),
  firmware: base().replace('<os>', "<os firmware='x'>"),
  loader: base().replace('hvm</type>', "hvm</type><loader type='x'>/a</loader>"),
  bootmenu: base().replace('hvm</type>', "hvm</type><bootmenu enable='x'/>"),
  smbios: base().replace('hvm</type>', "hvm</type><smbios mode='x'/>"),
  bios: base().replace('hvm</type>', "hvm</type><bios rebootTimeout='70000'/>"),
  onpoweroff: base('<on_poweroff>nosuch</on_poweroff>'),
  oncrash: base('<on_crash>nosuch</on_crash>'),
  onreboot: base('<on_reboot>x</on_reboot>'),
  clock: base("<clock offset='nosuch'/>"),
  timer: base("<clock offset='utc'><timer name='nosuch'/></clock>"),
  tickpolicy: base("<clock offset='utc'><timer name='rtc' tickpolicy='x'/></clock>"),
  adj: base("<clock offset='variable' adjustment='x'/>"),
  tz: base("<clock offset='timezone'/>"),
  feature: base('<features><nosuch/></features>'),
  acpi: base("<features><apic eoi='x'/></features>"),
  hyperv: base("<features><hyperv><nosuch state='on'/></hyperv></features>"),
  hypervstate: base("<features><hyperv><relaxed state='x'/></hyperv></features>"),
  spinlocks: base("<features><hyperv><spinlocks state='on' retries='1'/></hyperv></features>"),
  gic: base("<features><gic version='x'/></features>"),
  smm: base("<features><smm state='x'/></features>"),
  kvmf: base("<features><kvm><hidden state='x'/></kvm></features>"),
  cpumode: base("<cpu mode='nosuch'/>"),
  cpumatch: base("<cpu match='nosuch'><model>qemu64</model></cpu>"),
  cpumodel: base("<cpu mode='custom'><model>nosuch</model></cpu>"),
  cpufeature: base("<cpu mode='custom'><model>qemu64</model><feature name='nosuch' policy='require'/></cpu>"),
  cpupolicy: base("<cpu mode='custom'><model>qemu64</model><feature name='sse' policy='x'/></cpu>"),
  topology: base("<cpu><topology sockets='2' cores='2' threads='1'/></cpu>"),
  topo0: base("<cpu><topology sockets='0' cores='2' threads='1'/></cpu>"),
  topomiss: base("<cpu><topology sockets='1'/></cpu>"),
  numa: base("<cpu><numa><cell id='1' cpus='0' memory='1' unit='KiB'/></numa></cpu>"),
  numabad: base("<cpu><numa><cell id='0' cpus='x' memory='65536'/></numa></cpu>"),
  numamem: base("<cpu><numa><cell id='0' cpus='0'/></numa></cpu>"),
  numaover: base("<cpu><numa><cell id='0' cpus='0-3' memory='65536'/></numa></cpu>"),
  fallback: base("<cpu mode='custom'><model fallback='x'>qemu64</model></cpu>"),
  vendorid: base("<cpu mode='host-model'><model vendor_id='x'/></cpu>"),
  cache: base("<cpu mode='custom'><model>qemu64</model><cache level='9' mode='emulate'/></cpu>"),
  emulator: dev('<emulator>/nosuch</emulator>'),
  emulator2: dev('<emulator>/bin/true</emulator>'),
  disktype: dev("<disk type='nosuch' device='disk'><target dev='vda'/></disk>"),
  diskdev: dev("<disk type='file' device='nosuch'><target dev='vda'/></disk>"),
  notarget: dev("<disk type='file' device='disk'><source file='/a'/></disk>"),
  badtarget: dev("<disk type='file' device='disk'><source file='/a'/><target dev='nosuch'/></disk>"),
  badbus: dev("<disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='nosuch'/></disk>"),
  sametarget: dev(
    "<disk type='file'><source file='/a'/><target dev='vda'/></disk><disk type='file'><source file='/b'/><target dev='vda'/></disk>"
  ),
  nosource: dev("<disk type='file' device='disk'><target dev='vda'/></disk>"),
  driver: dev("<disk type='file' device='disk'><driver name='nosuch'/><source file='/a'/><target dev='vda'/></disk>"),
  format: dev(
    "<disk type='file' device='disk'><driver name='qemu' type='nosuch'/><source file='/a'/><target dev='vda'/></disk>"
  ),
  cachemode: dev(
    "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='nosuch'/><source file='/a'/><target dev='vda'/></disk>"
  ),
  io: dev(
    "<disk type='file' device='disk'><driver name='qemu' type='raw' io='nosuch'/><source file='/a'/><target dev='vda'/></disk>"
  ),
  native: dev(
    "<disk type='file' device='disk'><driver name='qemu' type='raw' io='native'/><source file='/a'/><target dev='vda'/></disk>"
  ),
  discard: dev(
    "<disk type='file' device='disk'><driver name='qemu' type='raw' discard='x'/><source file='/a'/><target dev='vda'/></disk>"
  ),
  errpol: dev(
    "<disk type='file' device='disk'><driver name='qemu' type='raw' error_policy='x'/><source file='/a'/><target dev='vda'/></disk>"
  ),
  vdafloppy: dev("<disk type='file' device='floppy'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"),
  cdvirtio: dev("<disk type='file' device='cdrom'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"),
  lunfile: dev("<disk type='file' device='lun'><source file='/a'/><target dev='sda' bus='scsi'/></disk>"),
  netproto: dev("<disk type='network'><source protocol='nosuch' name='a'/><target dev='vda'/></disk>"),
  nethost: dev(
    "<disk type='network'><source protocol='nbd'><host transport='x' name='a'/></source><target dev='vda'/></disk>"
  ),
  netport: dev(
    "<disk type='network'><source protocol='nbd'><host name='a' port='x'/></source><target dev='vda'/></disk>"
  ),
  noproto: dev("<disk type='network'><source name='a'/><target dev='vda'/></disk>"),
  serial: dev("<disk type='file'><source file='/a'/><target dev='vda'/><serial>a?b</serial></disk>"),
  wwn: dev("<disk type='file'><source file='/a'/><target dev='sda' bus='scsi'/><wwn>x</wwn></disk>"),
  iotune: dev(
    "<disk type='file'><source file='/a'/><target dev='vda'/><iotune><total_bytes_sec>1</total_bytes_sec><read_bytes_sec>1</read_bytes_sec></iotune></disk>"
  ),
  iotunebad: dev(
    "<disk type='file'><source file='/a'/><target dev='vda'/><iotune><total_bytes_sec>x</total_bytes_sec></iotune></disk>"
  ),
  bootorder: dev("<disk type='file'><source file='/a'/><target dev='vda'/><boot order='0'/></disk>"),
  bootdup: dev(
    "<disk type='file'><source file='/a'/><target dev='vda'/><boot order='1'/></disk><disk type='file'><source file='/b'/><target dev='vdb'/><boot order='1'/></disk>"
  ),
  geom: dev("<disk type='file'><source file='/a'/><geometry cyls='x' heads='1' secs='1'/><target dev='vda'/></disk>"),
  blockio: dev("<disk type='file'><source file='/a'/><blockio logical_block_size='x'/><target dev='vda'/></disk>"),
  startup: dev("<disk type='file'><source file='/a' startupPolicy='x'/><target dev='vda'/></disk>"),
  snapshot: dev("<disk type='file' snapshot='x'><source file='/a'/><target dev='vda'/></disk>"),
  sgio: dev("<disk type='file' sgio='x'><source file='/a'/><target dev='vda'/></disk>"),
  volume: dev("<disk type='volume'><source pool='a'/><target dev='vda'/></disk>"),
  encryption: dev("<disk type='file'><source file='/a'><encryption format='x'/></source><target dev='vda'/></disk>"),
  secret: dev(
    "<disk type='file'><source file='/a'><encryption format='luks'><secret type='x'/></encryption></source><target dev='vda'/></disk>"
  ),
  queues: dev(
    "<disk type='file'><driver name='qemu' type='raw' queues='x'/><source file='/a'/><target dev='vda'/></disk>"
  ),
  iftype: dev("<interface type='nosuch'/>"),
  ifmodel: dev("<interface type='user'><model type='no such'/></interface>"),
  ifmodel2: dev("<interface type='user'><model type='nosuch'/></interface>"),
  mac: dev("<interface type='user'><mac address='nosuch'/></interface>"),
  macmulti: dev("<interface type='user'><mac address='01:00:00:00:00:01'/></interface>"),
  maclong: dev("<interface type='user'><mac address='52:54:00:00:00:00:01'/></interface>"),
  nobridge: dev("<interface type='bridge'/>"),
  nonet: dev("<interface type='network'/>"),
  link: dev("<interface type='user'><link state='x'/></interface>"),
  mtu: dev("<interface type='user'><mtu size='x'/></interface>"),
  ifdriver: dev("<interface type='user'><model type='virtio'/><driver name='x'/></interface>"),
  direct: dev("<interface type='direct'><source dev='a' mode='x'/></interface>"),
  directnone: dev("<interface type='direct'/>"),
  vhostuser: dev("<interface type='vhostuser'/>"),
  vhusertype: dev("<interface type='vhostuser'><source type='tcp' path='/a' mode='client'/></interface>"),
  ip: dev("<interface type='user'><ip address='x' family='ipv4'/></interface>"),
  prefix2: dev("<interface type='user'><ip address='10.0.0.1' family='ipv4' prefix='99'/></interface>"),
  server: dev("<interface type='server'/>"),
  mcastport: dev("<interface type='mcast'><source address='230.0.0.1'/></interface>"),
  bandwidth: dev("<interface type='user'><bandwidth><inbound/></bandwidth></interface>"),
  vlan: dev("<interface type='user'><vlan><tag id='5000'/></vlan></interface>"),
  filter: dev("<interface type='user'><filterref filter='x'/></interface>"),
  ethernet: dev("<interface type='ethernet'><target dev='a' managed='x'/></interface>"),
  rom: dev("<interface type='user'><rom bar='x'/></interface>"),
  serialtype: dev("<serial type='nosuch'/>"),
  notype2: dev('<serial/>'),
  devnosrc: dev("<serial type='dev'/>"),
  filenosrc: dev("<serial type='file'/>"),
  tcpnohost: dev("<serial type='tcp'><source mode='connect'/></serial>"),
  tcpmode: dev("<serial type='tcp'><source mode='x' host='a' service='1'/></serial>"),
  tcpproto: dev("<serial type='tcp'><source mode='connect' host='a' service='1'/><protocol type='x'/></serial>"),
  udp: dev("<serial type='udp'><source mode='connect' host='a'/></serial>"),
  consoletype: dev("<console type='pty'><target type='nosuch'/></console>"),
  serialtarget: dev("<serial type='pty'><target type='nosuch'/></serial>"),
  serialmodel: dev("<serial type='pty'><target type='isa-serial'><model name='x'/></target></serial>"),
  serialmismatch: dev("<serial type='pty'><target type='isa-serial'><model name='usb-serial'/></target></serial>"),
  targetport: dev("<serial type='pty'><target port='x'/></serial>"),
  channel: dev("<channel type='unix'><target type='nosuch'/></channel>"),
  channelnone: dev("<channel type='unix'/>"),
  guestfwd: dev("<channel type='pty'><target type='guestfwd'/></channel>"),
  spicevmc: dev("<channel type='spicevmc'><target type='guestfwd'/></channel>"),
  parallel: dev("<parallel type='x'/>"),
  log: dev("<serial type='pty'><log append='on'/></serial>"),
  logappend: dev("<serial type='pty'><log file='/a' append='x'/></serial>"),
  sockrecon: dev(
    "<serial type='unix'><source mode='bind' path='/a'><reconnect enabled='yes' timeout='1'/></source></serial>"
  ),
  graphics: dev("<graphics type='nosuch'/>"),
  vncport: dev("<graphics type='vnc' port='x'/>"),
  vncportneg: dev("<graphics type='vnc' port='-2'/>"),
  vncbig: dev("<graphics type='vnc' port='100000'/>"),
  listen: dev("<graphics type='vnc'><listen type='x'/></graphics>"),
  listennet: dev("<graphics type='vnc'><listen type='network'/></graphics>"),
  listenmismatch: dev("<graphics type='vnc' listen='1.2.3.4'><listen type='address' address='127.0.0.1'/></graphics>"),
  vncauto: dev("<graphics type='vnc' autoport='x'/>"),
  passvalid: dev("<graphics type='vnc' passwd='x' passwdValidTo='x'/>"),
  share: dev("<graphics type='vnc' sharePolicy='x'/>"),
  spicechannel: dev("<graphics type='spice'><channel name='x' mode='secure'/></graphics>"),
  spicemode: dev("<graphics type='spice'><channel name='main' mode='x'/></graphics>"),
  image: dev("<graphics type='spice'><image compression='x'/></graphics>"),
  sdl: dev("<graphics type='sdl' fullscreen='x'/>"),
  twovnc: dev("<graphics type='vnc'/><graphics type='vnc'/>"),
  gl: dev("<graphics type='spice'><gl enable='x'/></graphics>"),
  headless: dev("<graphics type='egl-headless'><gl/></graphics>"),
  video: dev("<video><model type='nosuch'/></video>"),
  vram: dev("<video><model type='vga' vram='x'/></video>"),
  heads: dev("<video><model type='vga' heads='0'/></video>"),
  headsx: dev("<video><model type='vga' heads='x'/></video>"),
  video2: dev("<video><model type='vga' primary='yes'/></video><video><model type='vga' primary='yes'/></video>"),
  accel: dev("<video><model type='virtio'><acceleration accel3d='x'/></model></video>"),
  res: dev("<video><model type='vga'><resolution x='a' y='1'/></model></video>"),
  ram: dev("<video><model type='vga' ram='1'/></video>"),
  nonevideo: dev("<video><model type='none'/></video><video><model type='vga'/></video>"),
  controller: dev("<controller type='nosuch'/>"),
  ctrlmodel: dev("<controller type='scsi' model='nosuch'/>"),
  ctrlindex: dev("<controller type='scsi' index='x'/>"),
  ctrldup: dev("<controller type='scsi' index='0'/><controller type='scsi' index='0'/>"),
  pciroot: dev("<controller type='pci' index='0' model='pcie-root'/>"),
  usbports: dev("<controller type='usb' model='qemu-xhci' ports='99'/>"),
  usbmodel: dev("<controller type='usb' model='x'/>"),
  pcimodel: dev("<controller type='pci' index='1' model='x'/>"),
  pcinomodel: dev("<controller type='pci' index='1'/>"),
  vports: dev("<controller type='virtio-serial' ports='x'/>"),
  qdriver: dev("<controller type='scsi' model='virtio-scsi'><driver queues='x'/></controller>"),
  pcieport: dev("<controller type='pci' index='1' model='pcie-root-port'/>"),
  addrtype: dev("<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='nosuch'/></rng>"),
  addrslot: dev(
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' slot='0x40'/></rng>"
  ),
  addrfunc: dev(
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' slot='5' function='9'/></rng>"
  ),
  addrbus: dev(
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' bus='9' slot='5'/></rng>"
  ),
  addrdom: dev(
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' domain='1' bus='0' slot='5'/></rng>"
  ),
  addrdup: dev(
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' slot='5'/></rng><memballoon model='virtio'><address type='pci' slot='5'/></memballoon>"
  ),
  addrzero: dev(
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' slot='0'/></rng>"
  ),
  addrmulti: dev(
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' slot='5' multifunction='x'/></rng>"
  ),
  addrone: dev(
    "<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='pci' slot='1'/></rng>"
  ),
  addrusb: dev("<input type='tablet' bus='usb'><address type='usb' bus='9' port='1'/></input>"),
  addrusbport: dev("<input type='tablet' bus='usb'><address type='usb' bus='0' port='x'/></input>"),
  driveaddr: dev(
    "<disk type='file'><source file='/a'/><target dev='hda' bus='ide'/><address type='drive' controller='0' bus='2' unit='0'/></disk>"
  ),
  driveaddr2: dev(
    "<disk type='file'><source file='/a'/><target dev='hda' bus='ide'/><address type='drive' controller='9' bus='0' unit='0'/></disk>"
  ),
  drivedup: dev(
    "<disk type='file'><source file='/a'/><target dev='hda' bus='ide'/><address type='drive' controller='0' bus='0' unit='0'/></disk><disk type='file'><source file='/b'/><target dev='hdb' bus='ide'/><address type='drive' controller='0' bus='0' unit='0'/></disk>"
  ),
  rngmodel: dev("<rng model='nosuch'><backend model='random'/></rng>"),
  rngback: dev("<rng model='virtio'><backend model='nosuch'/></rng>"),
  rngnone: dev("<rng model='virtio'/>"),
  rngrate: dev("<rng model='virtio'><rate period='1'/><backend model='random'/></rng>"),
  rngfile: dev("<rng model='virtio'><backend model='random'>/dev/null</backend></rng>"),
  rngegd: dev("<rng model='virtio'><backend model='egd'/></rng>"),
  tpm: dev("<tpm model='nosuch'><backend type='emulator'/></tpm>"),
  tpmback: dev("<tpm model='tpm-tis'><backend type='nosuch'/></tpm>"),
  tpmver: dev("<tpm model='tpm-tis'><backend type='emulator' version='9.0'/></tpm>"),
  tpmcrb12: dev("<tpm model='tpm-crb'><backend type='emulator' version='1.2'/></tpm>"),
  tpmtwo: dev(
    "<tpm model='tpm-tis'><backend type='emulator'/></tpm><tpm model='tpm-tis'><backend type='emulator'/></tpm>"
  ),
  watchdog: dev("<watchdog model='nosuch'/>"),
  wdaction: dev("<watchdog model='i6300esb' action='x'/>"),
  wdnomodel: dev('<watchdog/>'),
  balloon: dev("<memballoon model='nosuch'/>"),
  balloon2: dev("<memballoon model='virtio'/><memballoon model='virtio'/>"),
  balloonnone: dev('<memballoon/>'),
  balloonperiod: dev("<memballoon model='virtio'><stats period='x'/></memballoon>"),
  panic: dev("<panic model='x'/>"),
  panichv: dev("<panic model='pseries'/>"),
  sound: dev("<sound model='nosuch'/>"),
  soundnone: dev('<sound/>'),
  codec: dev("<sound model='ich6'><codec type='x'/></sound>"),
  audio: dev("<audio id='0' type='none'/>"),
  audiotype: dev("<audio id='1' type='x'/>"),
  audioid: dev("<audio type='none'/>"),
  inputt: dev("<input type='nosuch' bus='usb'/>"),
  inputb: dev("<input type='tablet' bus='nosuch'/>"),
  inputps2: dev("<input type='tablet' bus='ps2'/>"),
  inputpass: dev("<input type='passthrough' bus='virtio'/>"),
  hub: dev("<hub type='x'/>"),
  smartcard: dev("<smartcard mode='x'/>"),
  smartcard2: dev("<smartcard mode='host-certificates'/>"),
  redir: dev("<redirdev bus='x' type='tcp'/>"),
  redirfilter: dev("<redirfilter><usbdev allow='x'/></redirfilter>"),
  shmem: dev('<shmem/>'),
  shmemname: dev("<shmem name='a/b'/>"),
  shmemmodel: dev("<shmem name='a'><model type='x'/></shmem>"),
  shmemsize: dev("<shmem name='a'><size unit='M'>3</size></shmem>"),
  vsock: dev("<vsock model='x'/>"),
  vsockcid: dev("<vsock model='virtio'><cid auto='no' address='1'/></vsock>"),
  vsockcidx: dev("<vsock model='virtio'><cid auto='x'/></vsock>"),
  iommu: dev("<iommu model='x'/>"),
  iommuintel: dev("<iommu model='intel'/>"),
  nvram: dev('<nvram/>'),
  fs: dev("<filesystem type='x'><source dir='/a'/><target dir='b'/></filesystem>"),
  fsnone: dev("<filesystem type='mount'/>"),
  fsnotarget: dev("<filesystem type='mount'><source dir='/a'/></filesystem>"),
  fsaccess: dev("<filesystem type='mount' accessmode='x'><source dir='/a'/><target dir='b'/></filesystem>"),
  virtiofs: dev("<filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/><target dir='b'/></filesystem>"),
  fsdriver: dev("<filesystem type='mount'><driver type='x'/><source dir='/a'/><target dir='b'/></filesystem>"),
  memdev: dev("<memory model='dimm'><target><size unit='MiB'>64</size><node>0</node></target></memory>"),
  memmodel: dev("<memory model='x'><target><size>1</size></target></memory>"),
  memnosize: dev("<memory model='dimm'><target><node>0</node></target></memory>"),
  maxmem: base("<maxMemory slots='1' unit='MiB'>64</maxMemory>"),
  maxslots: base("<maxMemory unit='MiB'>128</maxMemory>"),
  lease: dev('<lease/>'),
  hostdevmode: dev("<hostdev mode='nosuch'/>"),
  hostdevtype: dev("<hostdev mode='subsystem' type='nosuch'/>"),
  hostdevnone: dev("<hostdev mode='subsystem' type='pci'/>"),
  hostdevpci: dev(
    "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0' bus='0x100' slot='0' function='0'/></source></hostdev>"
  ),
  hostdevusb: dev("<hostdev mode='subsystem' type='usb'><source/></hostdev>"),
  hostdevusbv: dev("<hostdev mode='subsystem' type='usb'><source><vendor id='x'/><product id='1'/></source></hostdev>"),
  hostdevusb0: dev("<hostdev mode='subsystem' type='usb'><source><vendor id='0'/><product id='1'/></source></hostdev>"),
  mdev: dev("<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='x'/></source></hostdev>"),
  mdevnomodel: dev("<hostdev mode='subsystem' type='mdev'><source><address uuid='$U22'/></source></hostdev>"),
  scsih: dev("<hostdev mode='subsystem' type='scsi'><source><adapter name='x'/></source></hostdev>"),
  managed: dev(
    "<hostdev mode='subsystem' type='usb' managed='x'><source><vendor id='1'/><product id='1'/></source></hostdev>"
  ),
  vhost: dev("<hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='x'/></hostdev>"),
  vcpupin: base("<cputune><vcpupin vcpu='5' cpuset='0'/></cputune>"),
  vcpupinx: base("<cputune><vcpupin vcpu='x' cpuset='0'/></cputune>"),
  vcpupinnone: base("<cputune><vcpupin cpuset='0'/></cputune>"),
  period: base('<cputune><period>1</period></cputune>'),
  quota: base('<cputune><quota>1</quota></cputune>'),
  shares: base('<cputune><shares>x</shares></cputune>'),
  emupin: base('<cputune><emulatorpin/></cputune>'),
  iothreadpin: base("<cputune><iothreadpin iothread='1' cpuset='0'/></cputune>"),
  iothreads: base('<iothreads>x</iothreads>'),
  iothreadids: base("<iothreads>1</iothreads><iothreadids><iothread id='0'/></iothreadids>"),
  sched: base("<cputune><vcpusched vcpus='0' scheduler='x'/></cputune>"),
  schedp: base("<cputune><vcpusched vcpus='0' scheduler='fifo'/></cputune>"),
  numatune: base("<numatune><memory mode='x' nodeset='0'/></numatune>"),
  numanode: base("<numatune><memory mode='strict' nodeset='x'/></numatune>"),
  numaplace: base("<numatune><memory mode='strict' placement='x'/></numatune>"),
  memtune: base('<memtune><hard_limit>x</hard_limit></memtune>'),
  blkio: base('<blkiotune><weight>1</weight></blkiotune>'),
  blkiodev: base('<blkiotune><device><weight>500</weight></device></blkiotune>'),
  hugepages: base("<memoryBacking><hugepages><page size='x'/></hugepages></memoryBacking>"),
  memsource: base("<memoryBacking><source type='x'/></memoryBacking>"),
  memaccess: base("<memoryBacking><access mode='x'/></memoryBacking>"),
  alloc: base("<memoryBacking><allocation mode='x'/></memoryBacking>"),
  seclabel: base("<seclabel type='x'/>"),
  seclabelstatic: base("<seclabel type='static' model='dac'/>"),
  seclabelmodel: base("<seclabel type='dynamic' model='nosuch'/>"),
  seclabelrelabel: base("<seclabel type='none' relabel='x'/>"),
  resource: base('<resource/>'),
  partition: base('<resource><partition>x</partition></resource>'),
  genid: base('<genid>x</genid>'),
  sysinfo: base("<sysinfo type='x'/>"),
  sysinfouuid: base("<sysinfo type='smbios'><system><entry name='uuid'>x</entry></system></sysinfo>"),
  sysinfodate: base("<sysinfo type='smbios'><bios><entry name='date'>x</entry></bios></sysinfo>"),
  sysentry: base("<sysinfo type='smbios'><bios><entry>x</entry></bios></sysinfo>"),
  title: base('<title>a\nb</title>'),
  metadata: base('<metadata><a/></metadata>'),
  metadatadup: base("<metadata><a:x xmlns:a='u'/><b:x xmlns:b='u'/></metadata>"),
  launch: base("<launchSecurity type='x'/>"),
  sev: base("<launchSecurity type='sev'/>"),
  perf: base("<perf><event name='x' enabled='yes'/></perf>"),
  keywrap: base('<keywrap/>'),
  idmap: base("<idmap><uid start='x' target='0' count='1'/></idmap>"),
  pm: base("<pm><suspend-to-mem enabled='x'/></pm>"),
  cachetune: base("<cputune><cachetune vcpus='0'><cache id='0' level='x' type='both' size='1'/></cachetune></cputune>"),
  qemuarg: base(
    "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg/></qemu:commandline>"
  ),
  qemuenv: base(
    "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:env name='1a'/></qemu:commandline>"
  ),
  qemuenvnone: base(
    "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:env/></qemu:commandline>"
  ),
  caps: base(
    "<qemu:capabilities xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:add capability='nosuch'/></qemu:capabilities>"
  ),
  vtype: base('', '', "type='xen'"),
  kvm: base('', '', "type='kvm'"),
  vmware: base('', '', "type='vmware'"),
  id: base('', '', "type='qemu' id='x'"),
  unknown: base('<nosuch/>'),
  unknownattr: base().replace('<memory ', "<memory nosuch='1' "),
  unknowndev: dev('<nosuch/>')
}

await scenario({
  group: 'badxml',
  files: Object.fromEntries(Object.entries(bad).map(([name, xml]) => [`${name}.xml`, xml])),
  lines: Object.keys(bad).flatMap(name => [`define $D/${name}.xml`, 'undefine $G'])
})
