import { fragments } from '../../helper/fragments.ts'

const inDisk = (target: string): { around: [string, string]; show: string[] } => ({
  around: ["<disk type='file' device='disk'>", `<source file='/a'/>${target}</disk>`],
  show: ['disk']
})

fragments('of a virtio disk', inDisk("<target dev='vda' bus='virtio'/>"))`
  <driver/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver name='qemu'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver name='tap'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unsupported driver name 'tap' for disk 'vda'
  <driver name='qemu' type='qcow2'/>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver type='aio'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver type='raw' cache='default'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver cache='none' io='native'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' io='native'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver cache='directsync' io='native'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' cache='directsync' io='native'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver cache='writethrough' io='native'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: io='native' needs either no disk cache or directsync cache mode
  <driver io='native'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: io='native' needs either no disk cache or directsync cache mode
  <driver io='threads' cache='unsafe'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' cache='unsafe' io='threads'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver io='io_uring' cache='writeback'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback' io='io_uring'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver error_policy='stop' rerror_policy='ignore'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' error_policy='stop' rerror_policy='ignore'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver error_policy='enospace'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' error_policy='enospace'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver ioeventfd='on' event_idx='off'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' ioeventfd='on' event_idx='off'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver copy_on_read='on' type='qcow2'/>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2' copy_on_read='on'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver discard='unmap' detect_zeroes='unmap'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' discard='unmap' detect_zeroes='unmap'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver discard='ignore' detect_zeroes='unmap'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' discard='ignore' detect_zeroes='unmap'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver detect_zeroes='off'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' detect_zeroes='off'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver queues='4' queue_size='256'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' queues='4' queue_size='256'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver queues='0' queue_size='0'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver iommu='on' ats='on' packed='on' page_per_vq='on'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' iommu='on' ats='on' packed='on' page_per_vq='on'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver type='qcow2'><metadata_cache><max_size unit='KiB'>1</max_size></metadata_cache></driver>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'><metadata_cache><max_size unit='bytes'>1024</max_size></metadata_cache></driver><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver type='qcow2'><metadata_cache/></driver>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver type='qcow2'><metadata_cache><max_size unit='bytes'>0</max_size></metadata_cache></driver>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
`

fragments('refused', inDisk("<target dev='vda' bus='virtio'/>"))`
  <driver type='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown driver format value 'x'
  <driver type='dir'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'directory' storage format is not directly supported by QEMU, use 'dir' disk type instead
  <driver type='vpc'/>
    = <disk type='file' device='disk'><driver name='qemu' type='vpc'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver cache='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'cache' in element 'driver': 'x'.
  <driver error_policy='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'error_policy' in element 'driver': 'x'.
  <driver rerror_policy='enospace'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid disk read error policy: 'enospace'
  <driver io='aio'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'io' in element 'driver': 'aio'.
  <driver ioeventfd='yes'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'ioeventfd' in element 'driver': 'yes'.
  <driver event_idx='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'event_idx' in element 'driver': 'x'.
  <driver copy_on_read='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'copy_on_read' in element 'driver': 'x'.
  <driver discard='trim'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'discard' in element 'driver': 'trim'.
  <driver detect_zeroes='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'detect_zeroes' in element 'driver': 'x'.
  <driver iothread='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'iothread' in element 'driver': Zero is not permitted
  <driver iothread='1'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Disk iothread '1' not defined in iothreadid
  <driver queues='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'queues' in element 'driver': 'x'. Expected non-negative integer value
  <driver queues='-1'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'queues' in element 'driver': '-1'. Expected non-negative integer value
  <driver queue_size='100'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw' queue_size='100'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <driver queue_size='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'queue_size' in element 'driver': 'x'. Expected non-negative integer value
  <driver packed='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'packed' in element 'driver': 'x'.
  <driver type='raw'><metadata_cache><max_size unit='KiB'>1</max_size></metadata_cache></driver>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: metadata cache max size control is supported only with qcow2 images
  <driver type='qcow2'><metadata_cache><max_size unit='x'>1</max_size></metadata_cache></driver>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
`

fragments('of a SCSI disk', inDisk("<target dev='sda' bus='scsi'/>"))`
  <driver name='qemu'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/></disk>
  <driver queues='4'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: queues attribute in disk driver element is only supported for virtio bus
  <driver event_idx='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk event_idx mode supported only for virtio bus
  <driver ioeventfd='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk ioeventfd mode supported only for virtio bus
  <driver iommu='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: iommu driver option is only supported for virtio devices
  <driver ats='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ats driver option is only supported for virtio devices
  <driver packed='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: packed driver option is only supported for virtio devices
  <driver page_per_vq='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: page_per_vq option is only supported for virtio devices
  <driver iothread='1'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: IOThreads not available for bus scsi target sda
`
