// What every device has: alias, boot order, ROM, ACPI index, options of virtio devices.
import { fragments } from '../../helper/fragments.ts'

fragments('aliases of the user', { around: ["<hub type='usb'>", '</hub>'], show: ['hub'] })`
  <alias name='ua-a'/>
    = <hub type='usb'><alias name='ua-a'/></hub>
  <alias name='ua-A_b-9'/>
    = <hub type='usb'><alias name='ua-A_b-9'/></hub>
  <alias name='ua-'/>
    = <hub type='usb'><alias name='ua-'/></hub>
  <alias name='ua-a.b'/>
    = <hub type='usb'/>
  <alias name='hub0'/>
    = <hub type='usb'/>
  <alias/>
    = <hub type='usb'/>
`

fragments('aliases have to be unique')`
  <hub type='usb'><alias name='ua-a'/></hub><watchdog model='ib700'><alias name='ua-a'/></watchdog>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: non unique alias detected: ua-a
  <hub type='usb'><alias name='ua-a'/></hub><watchdog model='ib700'><alias name='ua-b'/></watchdog>
    = <hub type='usb'><alias name='ua-a'/></hub><watchdog model='ib700' action='reset'><alias name='ua-b'/></watchdog>
`

fragments('of a network card', {
  around: ["<interface type='user'><model type='virtio'/>", '</interface>'],
  show: ['interface']
})`
  <boot order='1'/>
    = <interface type='user'><model type='virtio'/><boot order='1'/></interface>
  <boot order='1' loadparm='a 1.b'/>
    = <interface type='user'><model type='virtio'/><boot order='1' loadparm='A 1.B'/></interface>
  <boot order='1' loadparm='a-b'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: invalid loadparm value 'A_B', expecting chars in set of [a-zA-Z0-9.] and blank spaces
  <boot order='1' loadparm=''/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: loadparm value '' must be between 1 and 8 characters
  <boot order='1' loadparm='123456789'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: loadparm value '123456789' must be between 1 and 8 characters
  <boot/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'order' in element 'boot'
  <boot order='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'order' in element 'boot': Zero is not permitted
  <boot order='4294967296'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'order' in element 'boot': '4294967296'. Expected non-negative integer value
  <rom bar='on' file='/etc/fake/boot.bin'/>
    = <interface type='user'><model type='virtio'/><rom bar='on' file='/etc/fake/boot.bin'/></interface>
  <rom bar='off'/>
    = <interface type='user'><model type='virtio'/><rom bar='off'/></interface>
  <rom enabled='no'/>
    = <interface type='user'><model type='virtio'/><rom enabled='no'/></interface>
  <rom enabled='yes' bar='on'/>
    = <interface type='user'><model type='virtio'/><rom enabled='yes' bar='on'/></interface>
  <rom enabled='no' bar='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ROM tuning is not supported when ROM is disabled
  <rom enabled='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'enabled' in element 'rom': 'x'.
  <rom bar='yes'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'bar' in element 'rom': 'yes'.
  <rom/>
    = <interface type='user'><model type='virtio'/></interface>
  <acpi index='7'/>
    = <interface type='user'><model type='virtio'/><acpi index='7'/></interface>
  <acpi index='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'index' in element 'acpi': Zero is not permitted
  <acpi index='16384'/>
    = <interface type='user'><model type='virtio'/><acpi index='16384'/></interface>
  <acpi/>
    = <interface type='user'><model type='virtio'/></interface>
  <driver iommu='on' ats='off' packed='on' page_per_vq='off'/>
    = <interface type='user'><model type='virtio'/><driver iommu='on' ats='off' packed='on' page_per_vq='off'/></interface>
  <driver ats='yes'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'ats' in element 'driver': 'yes'.
  <driver packed='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'packed' in element 'driver': 'x'.
  <driver page_per_vq='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'page_per_vq' in element 'driver': 'x'.
`

fragments('options of virtio where the device is none', {
  around: ["<interface type='user'><model type='e1000'/>", '</interface>'],
  show: ['interface']
})`
  <driver iommu='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: iommu driver option is only supported for virtio devices
  <driver ats='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ats driver option is only supported for virtio devices
  <driver packed='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: packed driver option is only supported for virtio devices
  <driver page_per_vq='on'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: page_per_vq option is only supported for virtio devices
`

fragments('boot orders have to be unique')`
  <interface type='user'><boot order='2'/></interface><interface type='user'><boot order='2'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: boot order '2' used for more than one device
  <interface type='user'><model type='e1000'/><acpi index='3'/></interface><interface type='user'><model type='e1000'/><acpi index='3'/></interface>
    =
`
