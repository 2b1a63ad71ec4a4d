import { fragments } from '../../helper/fragments.ts'

fragments('backends')`
  <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    =
  <rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>
    =
  <rng model='virtio'><backend model='random'/></rng>
    = <rng model='virtio'><backend model='random'>/dev/random</backend></rng>
  <rng model='virtio'><backend model='random'>/tmp/entropy</backend></rng>
    =
  <rng model='virtio'><backend model='builtin'/></rng>
    =
  <rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='/run/egd'/></backend></rng>
    =
  <rng model='virtio'><backend model='egd' type='tcp'><source mode='connect' host='a' service='1'/><protocol type='raw'/></backend></rng>
    =
  <rng model='virtio'><backend model='egd' type='udp'><source mode='bind' service='1234'/><source mode='connect' host='1.2.3.4' service='1234'/></backend></rng>
    =
  <rng model='virtio-transitional'><backend model='builtin'/></rng>
    =
  <rng model='virtio'><rate bytes='1234' period='2000'/><backend model='builtin'/></rng>
    =
  <rng model='virtio'><rate bytes='1234'/><backend model='builtin'/></rng>
    =
  <rng model='virtio'><rate period='5'/><backend model='builtin'/></rng>
    = <rng model='virtio'><backend model='builtin'/></rng>
  <rng model='virtio'><rate bytes='0'/><backend model='builtin'/></rng>
    = <rng model='virtio'><backend model='builtin'/></rng>
  <rng model='virtio'><backend model='builtin'/><driver iommu='on'/><alias name='ua-r'/></rng>
    =
  <rng model='virtio'><backend model='builtin'/></rng><rng model='virtio'><backend model='random'>/dev/random</backend></rng>
    =
`

fragments('refused')`
  <rng><backend model='builtin'/></rng>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'model' in element 'rng'
  <rng model='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'rng': 'x'.
  <rng model='virtio'/>
    ! VIR_ERR_XML_ERROR: XML error: only one RNG backend is supported
  <rng model='virtio'><backend/></rng>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'model' in element 'backend'
  <rng model='virtio'><backend model='x'/></rng>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'backend': 'x'.
  <rng model='virtio'><backend model='builtin'/><backend model='builtin'/></rng>
    ! VIR_ERR_XML_ERROR: XML error: only one RNG backend is supported
  <rng model='virtio'><backend model='egd'/></rng>
    ! VIR_ERR_XML_ERROR: XML error: missing EGD backend type
  <rng model='virtio'><backend model='egd' type='x'/></rng>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown backend type 'x' for egd
  <rng model='virtio'><backend model='egd' type='pty'/></rng>
    =
  <rng model='virtio'><backend model='egd' type='unix'/></rng>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source path attribute for char device
  <rng model='virtio'><rate bytes='x'/><backend model='builtin'/></rng>
    ! VIR_ERR_XML_ERROR: XML error: invalid RNG rate bytes value
  <rng model='virtio'><rate bytes='-1'/><backend model='builtin'/></rng>
    ! VIR_ERR_XML_ERROR: XML error: invalid RNG rate bytes value
  <rng model='virtio'><rate bytes='1' period='x'/><backend model='builtin'/></rng>
    ! VIR_ERR_XML_ERROR: XML error: invalid RNG rate period value
  <rng model='virtio'><backend model='builtin'/><address type='isa' iobase='1'/></rng>
    = <rng model='virtio'><backend model='builtin'/><address type='isa' iobase='0x1'/></rng>
`
