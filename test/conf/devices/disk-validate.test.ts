import { fragments } from '../../helper/fragments.ts'

fragments('LUNs')`
  <disk type='block' device='lun' rawio='yes' sgio='filtered'><driver name='qemu' type='raw'/><source dev='/dev/a'/><target dev='sda' bus='scsi'/></disk>
    =
  <disk type='block' device='lun'><source dev='/dev/a'/><target dev='vda' bus='virtio'/></disk>
    = <disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/a'/><target dev='vda' bus='virtio'/></disk>
  <disk type='file' device='lun'><source file='/a'/><target dev='sda' bus='scsi'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk device='lun' is only valid for block type disk source
  <disk type='network' device='lun'><source protocol='nbd' name='a'><host name='h'/></source><target dev='sda' bus='scsi'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk device='lun' is not supported for protocol='nbd'
  <disk type='network' device='lun'><source protocol='iscsi' name='iqn.2013-07.a:b/1'><host name='h' port='3260'/></source><target dev='sda' bus='scsi'/></disk>
    = <disk type='network' device='lun'><driver name='qemu' type='raw'/><source protocol='iscsi' name='iqn.2013-07.a:b/1'><host name='h' port='3260'/></source><target dev='sda' bus='scsi'/></disk>
  <disk type='block' device='lun'><driver type='qcow2'/><source dev='/dev/a'/><target dev='sda' bus='scsi'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk device 'lun' must use 'raw' format
  <disk type='block' device='lun'><source dev='/dev/a'><slices><slice type='storage' offset='0' size='1'/></slices></source><target dev='sda' bus='scsi'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk device 'lun' doesn't support storage slice
  <disk type='block' device='lun'><source dev='/dev/a'/><target dev='hda' bus='ide'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk device='lun' is not supported for bus='ide'
  <disk type='block' device='lun' sgio='unfiltered'><source dev='/dev/a'/><target dev='sda' bus='scsi'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unfiltered sgio is no longer supported
  <disk type='block' device='disk' rawio='yes'><source dev='/dev/a'/><target dev='sda' bus='scsi'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: rawio can be used only with device='lun'
  <disk type='block' device='disk' sgio='filtered'><source dev='/dev/a'/><target dev='sda' bus='scsi'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: sgio can be used only with device='lun'
  <disk type='block' device='disk'><source dev='/dev/a'><reservations managed='yes'/></source><target dev='sda' bus='scsi'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: <reservations/> allowed only for lun devices
  <disk type='block' device='lun'><source dev='/dev/a'/><target dev='sda' bus='scsi'/><vendor>A</vendor></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Setting vendor or product is not supported for lun device
`

fragments('names and buses')`
  <disk type='file' device='disk'><source file='/a'/><target dev='sda' bus='scsi'/></disk>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/></disk>
  <disk type='file' device='disk'><source file='/a'/><target dev='sda'/></disk>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/></disk>
  <disk type='file' device='disk'><source file='/a'/><target dev='xvda'/></disk>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='xvda' bus='xen'/></disk>
  <disk type='file' device='disk'><source file='/a'/><target dev='uba'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: Unknown disk name 'uba' and no address specified
  <disk type='file' device='disk'><source file='/a'/><target dev='hda' bus='virtio'/></disk>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='hda' bus='virtio'/></disk>
  <disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='usb' removable='on'/></disk>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='vda' bus='usb' removable='on'/></disk>
  <disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio' removable='on'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: removable is only valid for usb or scsi disks
  <disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio' rotation_rate='7200'/></disk>
    ! VIR_ERR_INTERNAL_ERROR: internal error: rotation rate is only valid for SCSI/IDE/SATA bus
  <disk type='file' device='disk'><source file='/a'/><target dev='sda' bus='sata' rotation_rate='7200'/></disk>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='sata' rotation_rate='7200'/></disk>
  <disk type='file' device='disk'><source file='/a'/><target dev='sda' bus='sata' rotation_rate='x'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'rotation_rate' in element 'target': 'x'. Expected non-negative integer value
  <disk type='file' device='disk'><source file='/a'/><target/></disk>
    ! VIR_ERR_NO_TARGET: missing target information for device /a
  <disk type='file' device='disk'><source file='/a'/></disk>
    ! VIR_ERR_NO_TARGET: missing target information for device /a
  <disk type='file' device='disk'><source file='/a'/><target dev='1'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: Unknown disk name '1' and no address specified
  <disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='x'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'bus' in element 'target': 'x'.
  <disk type='file' device='floppy'><source file='/a'/><target dev='vda' bus='virtio'/></disk>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Invalid bus type 'virtio' for floppy disk
  <disk type='file' device='cdrom'><source file='/a'/><target dev='vda' bus='virtio'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk type of 'vda' does not support ejectable media
  <disk type='file' device='disk'><source file='/a'/><target dev='fda' bus='fdc'/></disk>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Invalid bus type 'fdc' for disk
  <disk type='file' device='cdrom'><source file='/a'/><target dev='hdc' bus='ide' tray='open'/><readonly/></disk>
    = <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='/a'/><target dev='hdc' bus='ide' tray='open'/><readonly/></disk>
  <disk type='file' device='cdrom'><source file='/a'/><target dev='hdc' bus='ide' tray='ajar'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'tray' in element 'target': 'ajar'.
  <disk type='file' device='x'><source file='/a'/><target dev='vda'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'device' in element 'disk': 'x'.
  <disk type='x' device='disk'><source file='/a'/><target dev='vda'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'disk': 'x'.
  <disk type='file' device='disk'><target dev='vda'/></disk>
    ! VIR_ERR_NO_SOURCE: missing source information for device vda
  <disk type='file' device='disk'><source/><target dev='vda'/></disk>
    ! VIR_ERR_NO_SOURCE: missing source information for device vda
  <disk type='file' device='disk'><source file='/a'/><target dev='vda'/></disk><disk type='file' device='disk'><source file='/b'/><target dev='vda'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: target 'vda' duplicated for disk sources '/a' and '/b'
  <disk type='file' device='disk'><source file='/a'/><target dev='sda' bus='sata'/><address type='pci' slot='9'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid address type 'pci' for the disk 'sda' with the bus type 'sata'
  <disk type='file' device='disk' model='virtio'><source file='/a'/><target dev='sda' bus='sata'/></disk>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk model 'virtio' not supported for bus 'sata'
  <disk type='file' device='disk' model='x'><source file='/a'/><target dev='vda'/></disk>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'disk': 'x'.
`

fragments('what a disk tells the guest', {
  around: [
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/>",
    '</disk>'
  ],
  show: ['disk']
})`
  <serial>WD-WMAP9A966149</serial>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/><serial>WD-WMAP9A966149</serial></disk>
  <serial/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/></disk>
  <serial>a b_c-d.e+f</serial>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/><serial>a b_c-d.e+f</serial></disk>
  <serial>a/b</serial>
    ! VIR_ERR_INTERNAL_ERROR: internal error: driver serial 'a/b' contains unsafe characters
  <wwn>5000c50015ea71aa</wwn>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/><wwn>5000c50015ea71aa</wwn></disk>
  <wwn>5000c50015ea71a</wwn>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Malformed wwn: 5000c50015ea71a
  <wwn>5000C50015EA71AZ</wwn>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Malformed wwn: 5000C50015EA71AZ
  <vendor>QEMU</vendor><product>ABC</product>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/><vendor>QEMU</vendor><product>ABC</product></disk>
  <vendor>123456789</vendor>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk vendor is more than 8 characters
  <product>12345678901234567</product>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: disk product is more than 16 characters
  <product>a&#233;</product>
    ! VIR_ERR_XML_ERROR: XML error: disk product is not printable string
  <geometry cyls='16383' heads='16' secs='63' trans='lba'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: CHS translation mode can only be set for 'ide' bus not 'scsi'
  <geometry cyls='16383' heads='16'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/></disk>
  <geometry cyls='x' heads='16' secs='63'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'cyls' in element 'geometry': 'x'. Expected non-negative integer value
  <geometry cyls='1' heads='16' secs='63' trans='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'trans' in element 'geometry': 'x'.
  <blockio logical_block_size='512' physical_block_size='4096'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><blockio logical_block_size='512' physical_block_size='4096'/><target dev='sda' bus='scsi'/></disk>
  <blockio physical_block_size='0'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/></disk>
  <blockio logical_block_size='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'logical_block_size' in element 'blockio': 'x'. Expected non-negative integer value
  <readonly/><shareable/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/><readonly/><shareable/></disk>
  <transient/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/><transient/></disk>
  <transient shareBacking='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'shareBacking' in element 'transient': 'x'.
  <backenddomain name='b'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><backenddomain name='b'/><target dev='sda' bus='scsi'/></disk>
  <backingStore/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><backingStore/><target dev='sda' bus='scsi'/></disk>
  <boot order='1'/>
    = <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='sda' bus='scsi'/><boot order='1'/></disk>
  <boot order='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'order' in element 'boot': 'x'. Expected non-negative integer value
`
