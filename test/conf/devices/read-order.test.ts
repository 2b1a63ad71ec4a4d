// Of several faults the one libvirt comes upon first is told; every document here has two.
import t from 'tap'
import { define, errorOf } from '../../helper/definition.ts'

const CASES: [devices: string, error: string][] = [
  // families, whatever the order of the document
  ["<rng model='foo'/><tpm/><disk type='foo'/>", "attribute 'type' in element 'disk': 'foo'"],
  [
    "<tpm><backend type='foo'/></tpm><rng model='foo'/>",
    "Invalid value for attribute 'model' in element 'rng': 'foo'."
  ],
  ["<serial type='foo'/><parallel type='bar'/>", 'unknown type presented to host for character device: bar'],
  // the guest's side of a character device, then the host's
  ["<channel type='unix'><source mode='foo'/><target type='bar'/></channel>", "unknown target type 'bar'"],
  ["<channel type='foo'><target type='bar'/></channel>", 'unknown type presented to host for character device: foo'],
  ["<channel type='spicevmc'><target type='guestfwd'/></channel>", 'does not define a target address'],
  // an image before its drive, and the drive's format last
  ["<disk device='foo' type='volume'><source pool='p'/></disk>", "'pool' and 'volume' must be specified together"],
  ["<disk snapshot='foo' model='bar'/>", "attribute 'model' in element 'disk': 'bar'"],
  ["<disk><driver type='foo' cache='bar'/></disk>", "attribute 'cache' in element 'driver': 'bar'"],
  ["<disk><driver type='foo' cache='bar' ats='x'/></disk>", "attribute 'ats' in element 'driver': 'x'"],
  [
    "<disk device='x'><driver><metadata_cache><max_size>y</max_size></metadata_cache></driver></disk>",
    "attribute 'device' in element 'disk': 'x'"
  ],
  [
    "<disk type='nvme'><source type='pci' managed='x' namespace='y'/></disk>",
    "attribute 'namespace' in element 'source': 'y'"
  ],
  ["<disk><source><auth type='x'/></source></disk>", 'missing username for auth'],
  // what all cards have, then what their driver has
  ["<interface type='user'><ip/><rom enabled='no' bar='on'/></interface>", 'ROM tuning is not supported'],
  ["<interface type='user'><vlan><tag id='x'/></vlan><virtualport/></interface>", '<virtualport> element unsupported'],
  // a place at the end, of input devices and panic devices earlier
  ["<controller type='usb' index='-1' model='foo'/>", "Unknown model type 'foo'"],
  [
    "<controller type='pci' ports='x'><address type='foo'/></controller>",
    "Invalid value for attribute 'type' in element 'address': 'foo'."
  ],
  [
    "<input type='mouse'><driver ats='x'/><address type='foo'/></input>",
    "Invalid value for attribute 'type' in element 'address': 'foo'."
  ],
  [
    "<panic model='foo'><address type='bar'/></panic>",
    "Invalid value for attribute 'type' in element 'address': 'bar'."
  ],
  [
    "<rng model='virtio'><backend model='builtin'/><driver ats='x'/><address/></rng>",
    "Missing required attribute 'type' in element 'address'"
  ],
  ["<hub type='usb'><address type='usb' bus='x' port='y'/></hub>", "Cannot parse <address> 'port' attribute"],
  // one device checked before the next is read
  [
    "<controller type='usb' model='none'/><input type='tablet' bus='usb'/><input type='foo'/>",
    "Can't add USB input device. USB bus is disabled"
  ],
  ["<redirdev type='pty'><address type='pci'/></redirdev><redirdev/>", 'Invalid address for a USB device'],
  // parts of a display adapter's model before what it is, the model before its driver
  ["<video><model type='foo'><acceleration/></model></video>", 'missing values for acceleration'],
  ["<video><driver name='bar'/><model type='foo'/></video>", "attribute 'type' in element 'model': 'foo'"],
  // what every backend has before what its kind has
  ["<audio id='0' type='foo'/>", "attribute 'type' in element 'audio': 'foo'"],
  [
    "<audio id='1' type='oss' dspPolicy='-1'><output><settings/></output></audio>",
    'audio settings specified without fixed settings flag'
  ],
  ["<graphics type='vnc' passwd='x' connected='fail'><audio/></graphics>", "attribute 'id' in element 'audio'"],
  ["<shmem><model type='foo'/></shmem>", "attribute 'type' in element 'model': 'foo'"],
  ["<vsock><cid auto='x' address='0'/></vsock>", "attribute 'address' in element 'cid': Zero is not permitted"],
  ["<filesystem><driver format='foo' wrpolicy='bar'/></filesystem>", "attribute 'wrpolicy' in element 'driver': 'bar'"]
]

t.test('the first of several faults is told', async t => {
  for (const [devices, error] of CASES) t.match(await errorOf(() => define(devices)), error, devices)
})
