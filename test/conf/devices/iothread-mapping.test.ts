import { fragments } from '../../helper/fragments.ts'

const outside = '<iothreads>4</iothreads>'
const inDisk = {
  outside,
  around: ["<disk type='file' device='disk'>", "<source file='/a'/><target dev='vda' bus='virtio'/></disk>"] as [
    string,
    string
  ],
  show: ['disk']
}

fragments('threads of a disk', inDisk)`
  <driver><iothreads><iothread id='1'/><iothread id='2'/></iothreads></driver>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'><iothreads><iothread id='1'/><iothread id='2'/></iothreads></driver><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver queues='2'><iothreads><iothread id='1'><queue id='0'/></iothread><iothread id='2'><queue id='1'/></iothread></iothreads></driver>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' queues='2'><iothreads><iothread id='1'><queue id='0'/></iothread><iothread id='2'><queue id='1'/></iothread></iothreads></driver><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver><iothreads/></driver>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver><iothreads><iothread/></iothreads></driver>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'id' in element 'iothread'
  <driver><iothreads><iothread id='1'><queue id='x'/></iothread></iothreads></driver>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'id' in element 'queue': 'x'. Expected non-negative integer value
  <driver iothread='2'><iothreads><iothread id='1'/></iothreads></driver>
    ! VIR_ERR_XML_ERROR: XML error: disk driver 'iothread' attribute can't be used together with 'iothreads' subelement
  <driver><iothreads><iothread id='1'><queue id='0'/></iothread></iothreads></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'queue' count must be configured for explicit iothread to queue mapping
  <driver><iothreads><iothread id='1'/><iothread id='1'/></iothreads></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: duplicate mapping for iothread '1'
  <driver><iothreads><iothread id='9'/></iothreads></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: iothread '9' not defined in iothreadid
  <driver queues='2'><iothreads><iothread id='1'><queue id='0'/></iothread><iothread id='2'/></iothreads></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: iothread to queue mapping must be provided for all iothreads or for none
  <driver queues='2'><iothreads><iothread id='1'><queue id='2'/></iothread></iothreads></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: iothread queue '2' mapping out of range
  <driver queues='2'><iothreads><iothread id='1'><queue id='0'/><queue id='0'/></iothread></iothreads></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: iothread queue '0' is already assigned
  <driver queues='2'><iothreads><iothread id='1'><queue id='1'/></iothread></iothreads></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: missing iothread mapping for queue '0'
`

fragments('where QEMU has one thread a device', {
  ...inDisk,
  missing: ['virtio-blk.iothread-mapping', 'virtio-scsi.iothread-mapping']
})`
  <driver><iothreads><iothread id='1'/></iothreads></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: IOThread mapping for disk 'vda' is not available with this QEMU binary
`

fragments('threads of controllers', { outside })`
  <controller type='scsi' index='0' model='virtio-scsi'><driver queues='1'><iothreads><iothread id='3'><queue id='0'/></iothread></iothreads></driver></controller>
    =
  <controller type='scsi' index='0' model='lsilogic'><driver><iothreads><iothread id='3'/></iothreads></driver></controller>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: iothreads are supported only by 'virtio-scsi' controllers
  <controller type='scsi' index='0' model='virtio-scsi'><driver iothread='1'><iothreads><iothread id='3'/></iothreads></driver></controller>
    ! VIR_ERR_XML_ERROR: XML error: controller driver 'iothread' attribute can't be used together with 'iothreads' subelement
`
