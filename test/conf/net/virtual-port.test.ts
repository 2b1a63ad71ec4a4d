import { fragments } from '../../helper/fragments.ts'

fragments('of a bridge', {
  around: ["<interface type='bridge'><source bridge='br0'/>", '</interface>'],
  show: ['interface']
})`
  <virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f' profileid='p'/></virtualport>
    = <interface type='bridge'><source bridge='br0'/><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f' profileid='p'/></virtualport><model type='rtl8139'/></interface>
  <virtualport type='openvswitch'><parameters interfaceid='09B11C53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>
    = <interface type='bridge'><source bridge='br0'/><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <virtualport type='openvswitch'><parameters interfaceid='x'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: cannot parse interfaceid parameter as a uuid
  <virtualport type='midonet'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>
    = <interface type='bridge'><source bridge='br0'/><virtualport type='midonet'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <virtualport type='midonet'/>
    ! VIR_ERR_XML_ERROR: XML error: missing interfaceid in <virtualport type='midonet'>
  <virtualport type='midonet'><parameters profileid='p'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: missing interfaceid in <virtualport type='midonet'>
  <virtualport type='openvswitch'><parameters managerid='1'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: extra managerid unsupported in <virtualport type='openvswitch'>
  <virtualport type='802.1Qbh'><parameters profileid='p'/></virtualport>
    = <interface type='bridge'><source bridge='br0'/><virtualport type='802.1Qbh'><parameters profileid='p'/></virtualport><model type='rtl8139'/></interface>
  <virtualport type='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown virtualport type x
  <virtualport/>
    ! VIR_ERR_XML_ERROR: XML error: missing required virtualport type
`

fragments('of a device', {
  around: ["<interface type='direct'><source dev='eth0' mode='vepa'/>", '</interface>'],
  show: ['interface']
})`
  <virtualport type='802.1Qbg'><parameters managerid='11' typeid='0xabcdef' typeidversion='1' instanceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>
    = <interface type='direct'><source dev='eth0' mode='vepa'/><virtualport type='802.1Qbg'><parameters managerid='11' typeid='11259375' typeidversion='1' instanceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport><model type='rtl8139'/></interface>
  <virtualport type='802.1Qbg'><parameters managerid='11' typeid='1193047' typeidversion='2'/></virtualport>
    = <interface type='direct'><source dev='eth0' mode='vepa'/><virtualport type='802.1Qbg'><parameters managerid='11' typeid='1193047' typeidversion='2' instanceid='UUID'/></virtualport><model type='rtl8139'/></interface>
  <virtualport type='802.1Qbg'><parameters managerid='256' typeid='1' typeidversion='2'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: value of managerid out of range
  <virtualport type='802.1Qbg'><parameters managerid='1' typeid='16777216' typeidversion='2'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: value for typeid out of range
  <virtualport type='802.1Qbg'><parameters managerid='1' typeid='1' typeidversion='256'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: value of typeidversion out of range
  <virtualport type='802.1Qbg'><parameters managerid='x' typeid='1' typeidversion='2'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: cannot parse value of managerid parameter
  <virtualport type='802.1Qbg'><parameters managerid='1' typeid='1' typeidversion='2' instanceid='x'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: cannot parse instanceid parameter as a uuid
  <virtualport type='802.1Qbg'/>
    ! VIR_ERR_XML_ERROR: XML error: missing managerid in <virtualport type='802.1Qbg'>
  <virtualport type='802.1Qbg'><parameters managerid='1' typeid='1'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: missing typeidversion in <virtualport type='802.1Qbg'>
  <virtualport type='802.1Qbh'><parameters profileid='p'/></virtualport>
    = <interface type='direct'><source dev='eth0' mode='vepa'/><virtualport type='802.1Qbh'><parameters profileid='p'/></virtualport><model type='rtl8139'/></interface>
  <virtualport type='802.1Qbh'/>
    ! VIR_ERR_XML_ERROR: XML error: missing profileid in <virtualport type='802.1Qbh'>
  <virtualport type='802.1Qbh'><parameters profileid='1234567890123456789012345678901234567890'/></virtualport>
    ! VIR_ERR_XML_ERROR: XML error: profileid parameter too long
  <virtualport type='openvswitch'/>
    = <interface type='direct'><source dev='eth0' mode='vepa'/><virtualport type='openvswitch'><parameters interfaceid='UUID'/></virtualport><model type='rtl8139'/></interface>
`

fragments('of a network', {
  around: ["<interface type='network'><source network='n'/>", '</interface>'],
  show: ['interface']
})`
  <virtualport><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f' profileid='p'/></virtualport>
    = <interface type='network'><source network='n'/><virtualport><parameters instanceid='UUID' interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f' profileid='p'/></virtualport><model type='rtl8139'/></interface>
  <virtualport/>
    = <interface type='network'><source network='n'/><virtualport><parameters instanceid='UUID' interfaceid='UUID'/></virtualport><model type='rtl8139'/></interface>
  <virtualport><parameters/></virtualport>
    = <interface type='network'><source network='n'/><virtualport><parameters instanceid='UUID' interfaceid='UUID'/></virtualport><model type='rtl8139'/></interface>
  <virtualport type='openvswitch'/>
    = <interface type='network'><source network='n'/><virtualport type='openvswitch'><parameters interfaceid='UUID'/></virtualport><model type='rtl8139'/></interface>
`
