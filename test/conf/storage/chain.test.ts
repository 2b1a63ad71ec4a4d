import { fragments } from '../../helper/fragments.ts'

fragments('backing images', {
  around: [
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/>",
    "<target dev='vda' bus='virtio'/></disk>"
  ],
  show: ['disk']
})`
  <backingStore/>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore/><target dev='vda' bus='virtio'/></disk>
  <backingStore type='file'><format type='raw'/><source file='/b'/></backingStore>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore type='file'><format type='raw'/><source file='/b'/></backingStore><target dev='vda' bus='virtio'/></disk>
  <backingStore type='file'><format type='qcow2'/><source file='/b'/><backingStore/></backingStore>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore type='file'><format type='qcow2'/><source file='/b'/><backingStore/></backingStore><target dev='vda' bus='virtio'/></disk>
  <backingStore type='block' index='3'><format type='qcow2'/><source dev='/dev/b'/><backingStore type='network'><format type='raw'/><source protocol='nbd' name='x'><host name='h'/></source></backingStore></backingStore>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore type='block'><format type='qcow2'/><source dev='/dev/b'/><backingStore type='network'><format type='raw'/><source protocol='nbd' name='x'><host name='h' port='10809'/></source></backingStore></backingStore><target dev='vda' bus='virtio'/></disk>
  <backingStore type='volume'><format type='raw'/><source pool='p' volume='v'/></backingStore>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore type='volume'><format type='raw'/><source pool='p' volume='v'/></backingStore><target dev='vda' bus='virtio'/></disk>
  <backingStore type='dir'><format type='fat'/><source dir='/d'/></backingStore>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore type='dir'><format type='fat'/><source dir='/d'/></backingStore><target dev='vda' bus='virtio'/></disk>
  <backingStore type='file'><format type='qcow2'><metadata_cache><max_size unit='bytes'>5</max_size></metadata_cache></format><source file='/b'/></backingStore>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore type='file'><format type='qcow2'><metadata_cache><max_size unit='bytes'>5</max_size></metadata_cache></format><source file='/b'/></backingStore><target dev='vda' bus='virtio'/></disk>
  <backingStore type='file'><format type='raw'/><source file='/b'><slices><slice type='storage' offset='12' size='34'/></slices></source></backingStore>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore type='file'><format type='raw'/><source file='/b'><slices><slice type='storage' offset='12' size='34'/></slices></source></backingStore><target dev='vda' bus='virtio'/></disk>
  <backingStore type='file'><source file='/b'/></backingStore>
    ! VIR_ERR_XML_ERROR: XML error: missing disk backing store format
  <backingStore type='file'><format/><source file='/b'/></backingStore>
    ! VIR_ERR_XML_ERROR: XML error: missing disk backing store format
  <backingStore type='file'><format type='x'/><source file='/b'/></backingStore>
    ! VIR_ERR_XML_ERROR: XML error: unknown storage source format 'x'
  <backingStore type='file'><format type='raw'/></backingStore>
    ! VIR_ERR_XML_ERROR: XML error: missing disk backing store source
  <backingStore type='x'><format type='raw'/><source file='/b'/></backingStore>
    ! VIR_ERR_XML_ERROR: XML error: unknown storage source type 'x'
  <backingStore type='file' index='x'><format type='raw'/><source file='/b'/></backingStore>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><backingStore type='file'><format type='raw'/><source file='/b'/></backingStore><target dev='vda' bus='virtio'/></disk>
`

fragments('parts of a source', {
  around: [
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>",
    "<target dev='vda' bus='virtio'/></disk>"
  ],
  show: ['disk']
})`
  <source file='/a'><slices><slice type='storage' offset='0' size='1'/></slices></source>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'><slices><slice type='storage' offset='0' size='1'/></slices></source><target dev='vda' bus='virtio'/></disk>
  <source file='/a'><slices><slice type='storage' offset='0' size='0'/></slices></source>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'><slices><slice type='storage' offset='0' size='0'/></slices></source><target dev='vda' bus='virtio'/></disk>
  <source file='/a'><slices><slice type='x' offset='0' size='1'/></slices></source>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <source file='/a'><slices><slice type='storage' offset='x' size='1'/></slices></source>
    ! VIR_ERR_XML_ERROR: XML error: malformed value 'x' of 'offset' attribute of slice
  <source file='/a'><slices/></source>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <source file='/a' startupPolicy='optional'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a' startupPolicy='optional'/><target dev='vda' bus='virtio'/></disk>
  <source file='/a' startupPolicy='requisite'/>
    ! VIR_ERR_XML_ERROR: XML error: disk startupPolicy 'requisite' is allowed only for cdrom or floppy
  <source file='/a' startupPolicy='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'startupPolicy' in element 'source': 'x'.
  <source file='/a' index='7'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
  <source file='/a'><seclabel model='dac' relabel='no'/></source>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'><seclabel model='dac' relabel='no'/></source><target dev='vda' bus='virtio'/></disk>
  <source file='/a'><seclabel relabel='yes'><label>u:g</label></seclabel></source>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'><seclabel relabel='yes'><label>u:g</label></seclabel></source><target dev='vda' bus='virtio'/></disk>
  <source file='/a'><seclabel model='dac' relabel='x'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'relabel' in element 'seclabel': 'x'.
  <source file='/a'><seclabel model='selinux' relabel='no'><label>l</label></seclabel></source>
    ! VIR_ERR_XML_ERROR: XML error: Cannot specify a label if relabelling is turned off. model=selinux
  <source file='relative'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='relative'/><target dev='vda' bus='virtio'/></disk>
  <source dev='/a'/>
    ! VIR_ERR_NO_SOURCE: missing source information for device vda
  <source file='/a' fdgroup='g'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a' fdgroup='g'/><target dev='vda' bus='virtio'/></disk>
`

fragments('reservations', {
  around: [
    "<disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/a'>",
    "</source><target dev='sda' bus='scsi'/></disk>"
  ],
  show: ['disk']
})`
  <reservations managed='yes'/>
    = <disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/a'><reservations managed='yes'/></source><target dev='sda' bus='scsi'/></disk>
  <reservations managed='no'><source type='unix' path='/p' mode='client'/></reservations>
    = <disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/a'><reservations managed='no'><source type='unix' path='/p' mode='client'/></reservations></source><target dev='sda' bus='scsi'/></disk>
  <reservations managed='yes'><source type='unix' path='/p' mode='client'/></reservations>
    = <disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/a'><reservations managed='yes'><source type='unix' path='/p' mode='client'/></reservations></source><target dev='sda' bus='scsi'/></disk>
  <reservations/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'managed' in element 'reservations'
  <reservations managed='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'managed' in element 'reservations': 'x'.
  <reservations managed='no'/>
    ! VIR_ERR_XML_ERROR: XML error: missing connection type for <reservations/>
  <reservations managed='no'><source type='tcp' path='/p' mode='client'/></reservations>
    ! VIR_ERR_XML_ERROR: XML error: unsupported connection type for <reservations/>: tcp
  <reservations managed='no'><source type='unix' mode='client'/></reservations>
    ! VIR_ERR_XML_ERROR: XML error: missing path for <reservations/>
  <reservations managed='no'><source type='unix' path='/p' mode='server'/></reservations>
    ! VIR_ERR_XML_ERROR: XML error: unsupported connection mode for <reservations/>: server
  <reservations managed='no'><source type='unix' path='/p'/></reservations>
    ! VIR_ERR_XML_ERROR: XML error: missing connection mode for <reservations/>
`

fragments('data stores', {
  around: [
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>",
    "<target dev='vda' bus='virtio'/></disk>"
  ],
  show: ['disk']
})`
  <source file='/a'><dataStore type='block'><format type='raw'/><source dev='/d'/></dataStore></source>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'><dataStore type='block'><format type='raw'/><source dev='/d'/></dataStore></source><target dev='vda' bus='virtio'/></disk>
  <source file='/a'><dataStore type='file'><source file='/d'/></dataStore></source>
    ! VIR_ERR_XML_ERROR: XML error: missing data file store format
  <source file='/a'><dataStore type='file'><format type='raw'/></dataStore></source>
    ! VIR_ERR_XML_ERROR: XML error: missing disk data file store source
  <source file='/a'><dataStore><format type='raw'/><source file='/d'/></dataStore></source>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'dataStore'
  <source file='/a'><dataStore type='file'><format type='qcow2'/><source file='/d'/></dataStore></source>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only 'raw' images supported as <dataStore>
  <source file='/a'><dataStore type='file'><format type='raw'/><source file='/d'><slices><slice type='storage' offset='0' size='1'/></slices></source></dataStore></source>
    ! VIR_ERR_XML_ERROR: XML error: slices are not supported for <dataStore>
`
