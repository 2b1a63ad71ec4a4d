// Snapshots of guests that are shut off and of such that run, inside of their images and beside them.
import t from 'tap'
import { guest, scenario } from '../../helper/scenario.ts'

t.setTimeout(600_000)

const second =
  "<disk type='file'><driver name='qemu' type='qcow2'/><source file='$D/other.qcow2'/><target dev='vdb' bus='virtio'/></disk>"
const snapshot = (inner: string) => `<domainsnapshot>${inner}</domainsnapshot>`
const redefined = (inner: string, state = 'shutoff') =>
  snapshot(`<name>r</name><state>${state}</state><creationTime>1</creationTime>${inner}`)
const uuid = '<domain><uuid>$U33</uuid></domain>'

await scenario({
  group: 'snapshot',
  files: {
    'g.xml': guest({ devices: second }),
    'bad-root.xml': '<snapshot/>',
    'no-disk-name.xml': snapshot('<disks><disk/></disks>'),
    'bad-type.xml': snapshot("<disks><disk name='vda' type='dir'/></disks>"),
    'bad-state.xml': redefined('', 'nowhere'),
    'empty-redefine.xml': snapshot('<name>r</name>'),
    'no-parent.xml': redefined(`<parent><name>gone</name></parent>${uuid}`),
    'own-parent.xml': redefined(`<parent><name>r</name></parent>${uuid}`),
    'other-uuid.xml': redefined(`<domain type='qemu'><name>x</name><uuid>6dfc3c2b-7a4e-4f6e-9f0b-000000000000</uuid>
      <memory>65536</memory><os><type>hvm</type></os></domain>`),
    'offline.xml': redefined(`<memory snapshot='internal'/>${uuid}`),
    'plain.xml': snapshot('<name>plain</name><description>second</description>')
  },
  shim: 'g.xml'
})
