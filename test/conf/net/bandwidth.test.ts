import { fragments } from '../../helper/fragments.ts'

fragments('limits', {
  around: ["<interface type='bridge'><source bridge='br0'/><bandwidth>", '</bandwidth></interface>'],
  show: ['interface']
})`
  <inbound average='1000' peak='5000' burst='5120'/><outbound average='128' peak='256' burst='256'/>
    = <interface type='bridge'><source bridge='br0'/><bandwidth><inbound average='1000' peak='5000' burst='5120'/><outbound average='128' peak='256' burst='256'/></bandwidth><model type='rtl8139'/></interface>
  <inbound average='1'/>
    = <interface type='bridge'><source bridge='br0'/><bandwidth><inbound average='1'/></bandwidth><model type='rtl8139'/></interface>
  <inbound average='1' floor='2'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: floor attribute is not supported for this config
  <inbound floor='2'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: floor attribute is not supported for this config
  <inbound average='0'/>
    = <interface type='bridge'><source bridge='br0'/><bandwidth/><model type='rtl8139'/></interface>
  <inbound peak='1'/>
    ! VIR_ERR_XML_DETAIL: Missing mandatory average or floor attributes
  <inbound burst='1'/>
    ! VIR_ERR_XML_DETAIL: Missing mandatory average or floor attributes
  <inbound average='1' floor='1' peak='2'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: floor attribute is not supported for this config
  <outbound average='1' floor='1'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: floor attribute is not supported for this config
  <outbound floor='1'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: floor attribute is not supported for this config
  <inbound average='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'average' in element 'inbound': 'x'. Expected non-negative integer value
  <inbound average='-1'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'average' in element 'inbound': '-1'. Expected non-negative integer value
  <inbound average='1' peak='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'peak' in element 'inbound': 'x'. Expected non-negative integer value
  <inbound average='1' burst='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'burst' in element 'inbound': 'x'. Expected non-negative integer value
  <inbound average='1' floor='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'floor' in element 'inbound': 'x'. Expected non-negative integer value
  <inbound average='1'/><inbound average='2'/>
    = <interface type='bridge'><source bridge='br0'/><bandwidth><inbound average='1'/></bandwidth><model type='rtl8139'/></interface>
  <outbound average='1'/><outbound average='2'/>
    = <interface type='bridge'><source bridge='br0'/><bandwidth><outbound average='1'/></bandwidth><model type='rtl8139'/></interface>
  <inbound/>
    ! VIR_ERR_XML_DETAIL: Missing mandatory average or floor attributes
  <inbound average='18446744073709551616'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'average' in element 'inbound': '18446744073709551616'. Expected non-negative integer value
`

fragments('a floor needs a network', {
  around: ["<interface type='network'><source network='n'/><bandwidth>", '</bandwidth></interface>'],
  show: ['interface']
})`
  <inbound average='1' floor='2'/>
    = <interface type='network'><source network='n'/><bandwidth><inbound average='1' floor='2'/></bandwidth><model type='rtl8139'/></interface>
  <inbound floor='2'/>
    = <interface type='network'><source network='n'/><bandwidth><inbound floor='2'/></bandwidth><model type='rtl8139'/></interface>
`
