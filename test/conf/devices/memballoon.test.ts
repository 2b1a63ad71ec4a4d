import { fragments } from '../../helper/fragments.ts'

fragments('memballoon')`
  <memballoon model='virtio'/>
    -
  <memballoon model='none'/>
    =
  <memballoon model='none'><alias name='ua-b'/><address type='pci' slot='7'/></memballoon>
    = <memballoon model='none'/>
  <memballoon model='virtio-transitional'/>
    =
  <memballoon model='virtio-non-transitional'/>
    =
  <memballoon model='virtio' autodeflate='on' freePageReporting='off'/>
    =
  <memballoon model='virtio'><stats period='10'/></memballoon>
    =
  <memballoon model='virtio'><stats period='0'/></memballoon>
    -
  <memballoon model='virtio'><stats period='-3'/></memballoon>
    -
  <memballoon model='virtio'><stats period='0x10'/></memballoon>
    = <memballoon model='virtio'><stats period='16'/></memballoon>
  <memballoon model='virtio'><stats/></memballoon>
    -
  <memballoon model='virtio'><driver iommu='on' ats='on'/><alias name='ua-balloon'/></memballoon>
    = <memballoon model='virtio'><alias name='ua-balloon'/><driver iommu='on' ats='on'/></memballoon>
  <memballoon/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'model' in element 'memballoon'
  <memballoon model='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'memballoon': 'x'.
  <memballoon model='xen'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Cannot automatically add a new PCI bus for a device with connect flags 00
  <memballoon model='virtio' autodeflate='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'autodeflate' in element 'memballoon': 'x'.
  <memballoon model='virtio' freePageReporting='yes'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'freePageReporting' in element 'memballoon': 'yes'.
  <memballoon model='virtio'><stats period='x'/></memballoon>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'period' in element 'stats': 'x'. Expected integer value
  <memballoon model='virtio'/><memballoon model='virtio'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: only a single memory balloon device is supported
  <memballoon model='none' autodeflate='on'/>
    =
  <memballoon model='virtio'><address type='usb' bus='0' port='1'/></memballoon>
    =
`
