import { fragments } from '../../helper/fragments.ts'

fragments('hub')`
  <hub type='usb'/>
    =
  <hub type='usb'><address type='usb' bus='0' port='2'/></hub>
    =
  <hub type='usb'><alias name='ua-hub'/></hub>
    =
  <hub type='usb'><alias name='hub0'/></hub>
    = <hub type='usb'/>
  <hub/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: missing hub device type
  <hub type='pci'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown hub device type 'pci'
  <hub type='usb'><address type='usb' bus='0' port='1'/></hub><hub type='usb'><address type='usb' bus='0' port='1'/></hub>
    ! VIR_ERR_XML_ERROR: XML error: Duplicate USB hub on bus 0 port 1
  <hub type='usb'><address type='usb' bus='3' port='1'/></hub>
    ! VIR_ERR_XML_ERROR: XML error: Missing USB bus 3
  <hub type='usb'><address type='pci' slot='3'/></hub>
    = <hub type='usb'><address type='usb' bus='0' port='1'/></hub>
  <controller type='usb' model='none'/><hub type='usb'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Can't add USB hub: USB is disabled for this domain
`
