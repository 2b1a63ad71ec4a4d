import { fragments } from '../../helper/fragments.ts'

fragments('redirdev')`
  <redirdev bus='usb' type='spicevmc'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spicevmc' not supported without spice graphics
  <redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' service='4000'/><protocol type='raw'/></redirdev>
    =
  <redirdev bus='usb' type='tcp'><source mode='connect' host='localhost' service='4000' tls='yes'/><protocol type='raw'/></redirdev>
    =
  <redirdev bus='usb' type='spicevmc'><boot order='1'/></redirdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spicevmc' not supported without spice graphics
  <redirdev bus='usb' type='spicevmc'><boot order='1'/><alias name='ua-r'/><address type='usb' bus='0' port='1'/></redirdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spicevmc' not supported without spice graphics
  <redirdev bus='usb' type='unix'><source mode='bind' path='/a'/></redirdev>
    =
  <redirdev type='spicevmc'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spicevmc' not supported without spice graphics
  <redirdev bus='usb'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: missing type in redirdev
  <redirdev bus='pci' type='spicevmc'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown redirdev bus 'pci'
  <redirdev bus='usb' type='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown redirdev character device type 'x'
  <redirdev bus='usb' type='spicevmc'><boot order='0'/></redirdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'order' in element 'boot': Zero is not permitted
  <redirdev bus='usb' type='spicevmc'><boot order='x'/></redirdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'order' in element 'boot': 'x'. Expected non-negative integer value
  <redirdev bus='usb' type='spicevmc'><boot order='1'/></redirdev><redirdev bus='usb' type='spicevmc'><boot order='1'/></redirdev>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: boot order '1' used for more than one device
  <redirdev bus='usb' type='spicevmc'><address type='pci' slot='5'/></redirdev>
    ! VIR_ERR_XML_ERROR: XML error: Invalid address for a USB device
  <controller type='usb' model='none'/><redirdev bus='usb' type='spicevmc'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: USB is disabled for this domain, but USB devices are present in the domain XML
  <redirdev bus='usb' type='tcp'><source mode='connect' host='a'/></redirdev>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source service attribute for char device
`
