import { fragments } from '../../helper/fragments.ts'

fragments('USB')`
  <hostdev mode='subsystem' type='usb' managed='no'><source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>
    =
  <hostdev mode='subsystem' type='usb'><source startupPolicy='optional' guestReset='uninitialized'><vendor id='1234'/><product id='0'/></source></hostdev>
    = <hostdev mode='subsystem' type='usb' managed='no'><source startupPolicy='optional' guestReset='uninitialized'><vendor id='0x04d2'/><product id='0x0000'/></source></hostdev>
  <hostdev mode='subsystem' type='usb' managed='yes'><source><address bus='14' device='0x6'/></source></hostdev>
    = <hostdev mode='subsystem' type='usb' managed='yes'><source><address bus='14' device='6'/></source><address type='usb' bus='0' port='1'/></hostdev>
  <hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0xbeef'/><address bus='1' device='2'/></source><boot order='1'/></hostdev>
    = <hostdev mode='subsystem' type='usb' managed='no'><source><vendor id='0x1234'/><product id='0xbeef'/><address bus='1' device='2'/></source><boot order='1'/><address type='usb' bus='0' port='1'/></hostdev>
  <hostdev mode='subsystem' type='usb'><source/></hostdev>
    = <hostdev mode='subsystem' type='usb' managed='no'/>
  <hostdev mode='subsystem' type='usb'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing <source> element in hostdev device
  <hostdev mode='subsystem' type='usb'><source><vendor id='0'/><product id='1'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'id' in element 'vendor': Zero is not permitted
  <hostdev mode='subsystem' type='usb'><source><vendor id='1'/></source></hostdev>
    ! VIR_ERR_INTERNAL_ERROR: internal error: missing product
  <hostdev mode='subsystem' type='usb'><source><product id='1'/></source></hostdev>
    ! VIR_ERR_INTERNAL_ERROR: internal error: missing vendor
  <hostdev mode='subsystem' type='usb'><source><vendor/><product id='1'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'id' in element 'vendor'
  <hostdev mode='subsystem' type='usb'><source><vendor id='x'/><product id='1'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'id' in element 'vendor': 'x'. Expected non-negative integer value
  <hostdev mode='subsystem' type='usb'><source><address bus='1'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'device' in element 'address'
  <hostdev mode='subsystem' type='usb'><source><address bus='0' device='0'/></source></hostdev>
    = <hostdev mode='subsystem' type='usb' managed='no'><address type='usb' bus='0' port='1'/></hostdev>
  <hostdev mode='subsystem' type='usb'><source startupPolicy='x'><address bus='1' device='2'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'startupPolicy' in element 'source': 'x'.
  <hostdev mode='subsystem' type='usb'><source guestReset='x'><address bus='1' device='2'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'guestReset' in element 'source': 'x'.
  <hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev><hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Hostdev already exists in the domain configuration
`

fragments('PCI')`
  <hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source></hostdev>
    = <hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></hostdev>
  <hostdev mode='subsystem' type='pci' managed='no'><driver name='vfio'/><source writeFiltering='no'><address bus='6' slot='18' function='5'/></source><rom bar='off'/></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Write filtering of PCI device configuration space is not supported by qemu
  <hostdev mode='subsystem' type='pci' managed='yes'><source/></hostdev>
    =
  <hostdev mode='subsystem' type='pci'><source><address domain='0x10000' bus='6' slot='18' function='5'/></source></hostdev>
    = <hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x10000' bus='0x06' slot='0x12' function='0x5'/></source><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></hostdev>
  <hostdev mode='subsystem' type='pci'><source><address bus='6' slot='32' function='5'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid PCI address slot='0x20', must be <= 0x1F
  <hostdev mode='subsystem' type='pci'><source><address bus='6' slot='1' function='8'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid PCI address function=0x8, must be <= 7
  <hostdev mode='subsystem' type='pci'><driver name='x'/><source><address bus='6' slot='1' function='0'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'name' in element 'driver': 'x'.
  <hostdev mode='subsystem' type='pci'><driver name='xen'/><source><address bus='6' slot='1' function='0'/></source></hostdev>
    = <hostdev mode='subsystem' type='pci' managed='no'><driver name='xen'/><source><address domain='0x0000' bus='0x06' slot='0x01' function='0x0'/></source><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></hostdev>
  <hostdev mode='subsystem' type='pci'><source writeFiltering='x'><address bus='6' slot='1' function='0'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'writeFiltering' in element 'source': 'x'.
  <hostdev mode='subsystem' type='pci' managed='yes'><source><address bus='6' slot='18' function='5'/></source><teaming type='transient' persistent='ua-n'/></hostdev>
    = <hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source><teaming type='transient' persistent='ua-n'/><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></hostdev>
  <hostdev mode='subsystem' type='pci' managed='yes'><source><address bus='6' slot='18' function='5'/></source><teaming type='transient'/></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: missing required persistent attribute in hostdev teaming element
  <hostdev mode='subsystem' type='pci' managed='yes'><source><address bus='6' slot='18' function='5'/></source><teaming type='x'/></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown teaming type 'x'
  <hostdev mode='subsystem' type='pci'><source><address bus='6' slot='1' function='0'/></source></hostdev><hostdev mode='subsystem' type='pci'><source><address bus='6' slot='1' function='0'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Hostdev already exists in the domain configuration
`

fragments('SCSI')`
  <hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/><address bus='0' target='1' unit='2'/></source></hostdev>
    = <hostdev mode='subsystem' type='scsi' managed='no'><source><adapter name='scsi_host0'/><address bus='0' target='1' unit='2'/></source><address type='drive' controller='0' bus='0' target='0' unit='0'/></hostdev>
  <hostdev mode='subsystem' type='scsi' sgio='filtered' rawio='yes'><source protocol='adapter'><adapter name='scsi_host0'/><address bus='0' target='0' unit='9223372036854775807'/></source><readonly/><shareable/></hostdev>
    = <hostdev mode='subsystem' type='scsi' managed='no' sgio='filtered' rawio='yes'><source><adapter name='scsi_host0'/><address bus='0' target='0' unit='9223372036854775807'/></source><readonly/><shareable/><address type='drive' controller='0' bus='0' target='0' unit='0'/></hostdev>
  <hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.1992-01.com.a:b/1'><host name='example.org' port='3260'/></source></hostdev>
    = <hostdev mode='subsystem' type='scsi' managed='no'><source protocol='iscsi' name='iqn.1992-01.com.a:b/1'><host name='example.org' port='3260'/></source></hostdev>
  <hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='iqn.1992-01.com.a:b/1'><host name='h' port='3260'/><auth username='u'><secret type='iscsi' usage='s'/></auth><initiator><iqn name='iqn.c'/></initiator></source></hostdev>
    = <hostdev mode='subsystem' type='scsi' managed='no'><source protocol='iscsi' name='iqn.1992-01.com.a:b/1'><host name='h' port='3260'/><auth username='u'><secret type='iscsi' usage='s'/></auth><initiator><iqn name='iqn.c'/></initiator></source></hostdev>
  <hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: 'address' must be specified for scsi hostdev source
  <hostdev mode='subsystem' type='scsi'><source><address bus='0' target='1' unit='2'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: 'adapter' name must be specified for scsi hostdev source
  <hostdev mode='subsystem' type='scsi'><source><adapter name='a'/><address bus='0' target='1'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'unit' in element 'address'
  <hostdev mode='subsystem' type='scsi'><source protocol='x'/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'protocol' in element 'source': 'x'.
  <hostdev mode='subsystem' type='scsi'><source protocol='iscsi'><host name='h'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: missing iSCSI hostdev source path name
  <hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='a'/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: missing the host address for the iSCSI hostdev
  <hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='a'><host name='h'/><host name='i'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: only one source host address may be specified for the iSCSI hostdev
  <hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='a'><host name='h'/><auth username='u'><secret type='ceph' usage='s'/></auth></source></hostdev>
    ! VIR_ERR_INTERNAL_ERROR: internal error: hostdev invalid secret type 'ceph'
  <hostdev mode='subsystem' type='scsi'><source protocol='iscsi' name='a'><host name='h'/><auth username='u'><secret type='x' usage='s'/></auth></source></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: invalid secret type x
  <hostdev mode='subsystem' type='scsi' sgio='x'><source><adapter name='a'/><address bus='0' target='1' unit='2'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'sgio' in element 'hostdev': 'x'.
  <hostdev mode='subsystem' type='scsi' rawio='x'><source><adapter name='a'/><address bus='0' target='1' unit='2'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'rawio' in element 'hostdev': 'x'.
  <hostdev mode='subsystem' type='usb' sgio='filtered'><source><address bus='1' device='2'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: sgio is only supported for scsi host device
`

fragments('vhost and mediated devices')`
  <hostdev mode='subsystem' type='scsi_host' managed='yes'><source protocol='vhost' wwpn='naa.5123456789abcde0'/></hostdev>
    =
  <hostdev mode='subsystem' type='scsi_host' model='virtio-transitional'><source protocol='vhost' wwpn='naa.5123456789abcde0'/></hostdev>
    = <hostdev mode='subsystem' type='scsi_host' managed='no' model='virtio-transitional'><source protocol='vhost' wwpn='naa.5123456789abcde0'/></hostdev>
  <hostdev mode='subsystem' type='scsi_host'><source wwpn='naa.5123456789abcde0'/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'protocol' in element 'source'
  <hostdev mode='subsystem' type='scsi_host'><source protocol='x' wwpn='naa.5123456789abcde0'/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'protocol' in element 'source': 'x'.
  <hostdev mode='subsystem' type='scsi_host'><source protocol='vhost'/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: missing vhost-scsi hostdev source wwpn
  <hostdev mode='subsystem' type='scsi_host'><source protocol='vhost' wwpn='naa.123'/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: malformed 'wwpn' value
  <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='53764D0E-85A0-42b4-af5c-2046b460b1dc'/></source></hostdev>
    = <hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'><source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></hostdev>
  <hostdev mode='subsystem' type='mdev' model='vfio-pci' display='on' ramfb='on'><source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: graphics device is needed for attribute value 'display=on' in <hostdev>
  <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source/></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Missing <address> element
  <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address/></source></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Missing 'uuid' attribute for element <address>
  <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='x'/></source></hostdev>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Cannot parse uuid attribute of element <address>
  <hostdev mode='subsystem' type='mdev'><source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'model' in element 'hostdev'
  <hostdev mode='subsystem' type='mdev' model='x'><source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'hostdev': 'x'.
  <hostdev mode='subsystem' type='mdev' model='vfio-ap'><source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: VFIO AP device assignment is not supported by this version of QEMU
  <hostdev mode='subsystem' type='mdev' model='vfio-ccw'><source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: VFIO CCW device assignment is not supported by this version of QEMU
  <hostdev mode='subsystem' type='pci' model='vfio-pci'><source><address bus='6' slot='1' function='0'/></source></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: 'model' attribute in <hostdev> is only supported when type='pci'
`

fragments('other modes and types')`
  <hostdev mode='capabilities' type='storage'><source><block>/dev/a</block></source></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: hostdev mode 'capabilities' is not supported in qemu
  <hostdev mode='capabilities' type='misc'><source><char>/dev/a</char></source></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: hostdev mode 'capabilities' is not supported in qemu
  <hostdev mode='capabilities' type='net'><source><interface>eth0</interface></source></hostdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: hostdev mode 'capabilities' is not supported in qemu
  <hostdev mode='capabilities' type='storage'><source/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Missing <block> element in hostdev storage device
  <hostdev mode='capabilities' type='x'><source/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'hostdev': 'x'.
  <hostdev mode='subsystem' type='x'><source/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'hostdev': 'x'.
  <hostdev mode='subsystem'><source/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'hostdev'
  <hostdev mode='x' type='pci'><source/></hostdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'hostdev': 'x'.
  <hostdev type='pci' managed='x'><source/></hostdev>
    = <hostdev mode='subsystem' type='pci' managed='no'><source/></hostdev>
`
