// Memory modules, virtio memory and host devices, plugged into a guest that does not run its CPUs.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

t.setTimeout(600_000)

const memory = (model: string, target: string, { source = '', more = '' } = {}) =>
  `<memory model='${model}'>${source && `<source>${source}</source>`}<target>${target}</target>${more}</memory>`
const mib = (size: number, more = '<node>0</node>') => `<size unit='MiB'>${size}</size>${more}`
const virtioMem = (requested: number, more = '', size = 64) =>
  memory('virtio-mem', `${mib(size)}<block unit='MiB'>2</block><requested unit='MiB'>${requested}</requested>`, {
    more
  })
const hostdev = (type: string, source: string, more = '') =>
  `<hostdev mode='subsystem' type='${type}' ${more}><source>${source}</source></hostdev>`

const devices = {
  dimm: memory('dimm', mib(64)),
  'dimm-odd': memory('dimm', mib(33)),
  'dimm-one': memory('dimm', mib(1)),
  'dimm-slot': memory('dimm', mib(64), { more: "<address type='dimm' slot='2'/>" }),
  'dimm-taken': memory('dimm', mib(64), { more: "<address type='dimm' slot='2'/><alias name='ua-taken'/>" }),
  'dimm-far': memory('dimm', mib(64), { more: "<address type='dimm' slot='9'/>" }),
  'dimm-big': memory('dimm', mib(4096)),
  'dimm-nonode': memory('dimm', mib(64, '')),
  'dimm-badnode': memory('dimm', mib(64, '<node>7</node>')),
  'dimm-kib': memory('dimm', "<size unit='KiB'>65537</size><node>1</node>"),
  nvdimm: memory('nvdimm', mib(64), { source: '<path>$D/nv.img</path>' }),
  'virtio-mem': virtioMem(0),
  'virtio-mem-32': virtioMem(
    32,
    "<alias name='virtiomem0'/><address type='pci' domain='0' bus='0' slot='0x0b' function='0'/>"
  ),
  'virtio-mem-bad': virtioMem(33),
  'virtio-mem-size': virtioMem(
    32,
    "<alias name='virtiomem0'/><address type='pci' domain='0' bus='0' slot='0x0b' function='0'/>",
    128
  ),
  'virtio-mem-alias': virtioMem(32, "<alias name='virtiomem7'/>"),
  pmem: memory('virtio-pmem', "<size unit='MiB'>64</size>", { source: '<path>$D/pm.img</path>' }),
  epc: memory('sgx-epc', "<size unit='MiB'>64</size>"),
  'usb-host': hostdev('usb', "<vendor id='0x1234'/><product id='0xbeef'/>"),
  'usb-place': hostdev('usb', "<address bus='7' device='9'/>"),
  pci: hostdev('pci', "<address domain='0' bus='6' slot='2' function='0'/>", "managed='yes'"),
  mdev: hostdev('mdev', "<address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/>", "model='vfio-pci'"),
  scsi: hostdev('scsi', "<adapter name='scsi_host7'/><address bus='0' target='0' unit='0'/>"),
  caps: "<hostdev mode='capabilities' type='misc'><source><char>/dev/null</char></source></hostdev>"
}

const cells =
  "<numa><cell id='0' cpus='0' memory='64' unit='MiB'/><cell id='1' cpus='1' memory='64' unit='MiB'/></numa>"
const g = guest()
  .replace(
    "<memory unit='MiB'>64</memory>",
    "<maxMemory slots='3' unit='MiB'>1024</maxMemory><memory unit='MiB'>128</memory>"
  )
  .replace('</features>', `</features><cpu>${cells}</cpu>`)

await scenario({
  group: 'memory',
  files: {
    'g.xml': g,
    ...Object.fromEntries(Object.entries(devices).map(([name, xml]) => [`${name}.xml`, xml])),
    'nv.img': '\0'.repeat(64 * 1024 * 1024),
    'pm.img': '\0'.repeat(64 * 1024 * 1024)
  },
  shim: 'g.xml'
})
