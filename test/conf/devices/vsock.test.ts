import { fragments } from '../../helper/fragments.ts'

fragments('vsock')`
  <vsock/>
    = <vsock model='virtio'><cid auto='yes'/></vsock>
  <vsock model='default'/>
    = <vsock model='virtio'><cid auto='yes'/></vsock>
  <vsock model='virtio'><cid auto='yes'/></vsock>
    =
  <vsock model='virtio'><cid auto='no' address='3'/></vsock>
    =
  <vsock model='virtio'><cid address='4294967295'/></vsock>
    = <vsock model='virtio'><cid auto='no' address='4294967295'/></vsock>
  <vsock model='virtio'><cid auto='yes' address='7'/></vsock>
    =
  <vsock model='virtio-transitional'><cid address='5'/><driver packed='off'/></vsock>
    = <vsock model='virtio-transitional'><cid auto='no' address='5'/><driver packed='off'/></vsock>
  <vsock model='virtio-non-transitional'><alias name='ua-v'/></vsock>
    = <vsock model='virtio-non-transitional'><cid auto='yes'/><alias name='ua-v'/></vsock>
  <vsock model='virtio'><cid auto='no'/></vsock>
    =
  <vsock model='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'vsock': 'x'.
  <vsock><cid auto='x'/></vsock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'auto' in element 'cid': 'x'.
  <vsock><cid address='0'/></vsock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'address' in element 'cid': Zero is not permitted
  <vsock><cid address='2'/></vsock>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: guest CIDs must be >= 3
  <vsock><cid address='-1'/></vsock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'address' in element 'cid': '-1'. Expected non-negative integer value
  <vsock><cid address='4294967296'/></vsock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'address' in element 'cid': '4294967296'. Expected non-negative integer value
  <vsock/><vsock/>
    ! VIR_ERR_XML_ERROR: XML error: only a single vsock device is supported
  <vsock><address type='usb' bus='0' port='1'/></vsock>
    = <vsock model='virtio'><cid auto='yes'/><address type='usb' bus='0' port='1'/></vsock>
`
