import { fragments } from '../../helper/fragments.ts'

fragments('filterref', {
  around: ["<interface type='bridge'><source bridge='br0'/>", '</interface>'],
  show: ['interface']
})`
  <filterref filter='clean-traffic'/>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter='clean-traffic'/></interface>
  <filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.1'/><parameter name='MAC' value='52:54:00:11:22:33'/></filterref>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.1'/><parameter name='MAC' value='52:54:00:11:22:33'/></filterref></interface>
  <filterref filter='a'><parameter name='IP' value='10.0.0.1'/><parameter name='IP' value='10.0.0.2'/></filterref>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter='a'><parameter name='IP' value='10.0.0.1'/><parameter name='IP' value='10.0.0.2'/></filterref></interface>
  <filterref filter='a'><parameter name='b'/></filterref>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter='a'/></interface>
  <filterref filter='a'><parameter name='b c' value='d'/></filterref>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter='a'/></interface>
  <filterref filter='a'><parameter name='b' value='d e'/></filterref>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter='a'/></interface>
  <filterref filter='a'><parameter name='b' value='d/e'/></filterref>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter='a'/></interface>
  <filterref filter='a'><parameter value='d'/></filterref>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter='a'/></interface>
  <filterref/>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/></interface>
  <filterref filter=''/>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/><filterref filter=''/></interface>
`

fragments('types without a tap', { around: ["<interface type='user'>", '</interface>'], show: ['interface'] })`
  <filterref filter='clean-traffic'/>
    = <interface type='user'><model type='rtl8139'/></interface>
`
