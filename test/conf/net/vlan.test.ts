import { fragments } from '../../helper/fragments.ts'

fragments('tags', {
  around: [
    "<interface type='bridge'><source bridge='br0'/>",
    "<virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport></interface>"
  ],
  show: ['interface']
})`
  <vlan><tag id='42'/></vlan>
    = <interface type='bridge'><source bridge='br0'/><vlan><tag id='42'/></vlan><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <vlan trunk='yes'><tag id='42'/><tag id='47'/></vlan>
    = <interface type='bridge'><source bridge='br0'/><vlan trunk='yes'><tag id='42'/><tag id='47'/></vlan><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <vlan><tag id='42'/><tag id='47'/></vlan>
    = <interface type='bridge'><source bridge='br0'/><vlan trunk='yes'><tag id='42'/><tag id='47'/></vlan><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <vlan trunk='yes'><tag id='42' nativeMode='untagged'/><tag id='47'/></vlan>
    = <interface type='bridge'><source bridge='br0'/><vlan trunk='yes'><tag id='42' nativeMode='untagged'/><tag id='47'/></vlan><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <vlan trunk='yes'><tag id='42' nativeMode='tagged'/><tag id='47' nativeMode='tagged'/></vlan>
    ! VIR_ERR_XML_ERROR: XML error: duplicate native vlan setting
  <vlan><tag id='42' nativeMode='tagged'/></vlan>
    = <interface type='bridge'><source bridge='br0'/><vlan><tag id='42' nativeMode='tagged'/></vlan><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <vlan trunk='no'><tag id='42'/><tag id='47'/></vlan>
    ! VIR_ERR_XML_ERROR: XML error: invalid "trunk='no'" in <vlan> - trunk='yes' is required for more than one vlan tag
  <vlan trunk='no'><tag id='42'/></vlan>
    = <interface type='bridge'><source bridge='br0'/><vlan><tag id='42'/></vlan><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <vlan trunk='x'><tag id='42'/></vlan>
    ! VIR_ERR_XML_ERROR: XML error: invalid "trunk='x'" in <vlan> - must be yes or no
  <vlan><tag id='0'/></vlan>
    = <interface type='bridge'><source bridge='br0'/><vlan><tag id='0'/></vlan><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <vlan><tag id='4096'/></vlan>
    ! VIR_ERR_XML_ERROR: XML error: vlan tag id 4096 too large (maximum 4095)
  <vlan><tag id='x'/></vlan>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'id' in element 'tag': 'x'. Expected non-negative integer value
  <vlan><tag/></vlan>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'id' in element 'tag'
  <vlan/>
    ! VIR_ERR_XML_ERROR: XML error: missing tag id - each <vlan> must have at least one <tag id='n'/> subelement
  <vlan trunk='yes'><tag id='42' nativeMode='x'/></vlan>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'nativeMode' in element 'tag': 'x'.
`

fragments('only where the host’s end can', {
  around: ["<interface type='bridge'><source bridge='br0'/>", '</interface>'],
  show: ['interface']
})`
  <vlan><tag id='42'/></vlan>
    = <interface type='bridge'><source bridge='br0'/><vlan><tag id='42'/></vlan><model type='rtl8139'/></interface>
`
