import { fragments } from '../../helper/fragments.ts'

fragments('of the guest', { around: ["<interface type='user'>", '</interface>'], show: ['interface'] })`
  <ip address='10.0.2.15' family='ipv4' prefix='24'/>
    = <interface type='user'><ip address='10.0.2.15' family='ipv4' prefix='24'/><model type='rtl8139'/></interface>
  <ip address='10.0.2.15'/>
    = <interface type='user'><ip address='10.0.2.15' family='ipv4'/><model type='rtl8139'/></interface>
  <ip address='fec0::2' prefix='64'/>
    = <interface type='user'><ip address='fec0::2' family='ipv6' prefix='64'/><model type='rtl8139'/></interface>
  <ip address='fec0::2' family='ipv6' prefix='64'/>
    = <interface type='user'><ip address='fec0::2' family='ipv6' prefix='64'/><model type='rtl8139'/></interface>
  <ip address='10.0.2.15' family='ipv6'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid address '10.0.2.15' in <ip>
  <ip address='fec0::2'/>
    = <interface type='user'><ip address='fec0::2' family='ipv6'/><model type='rtl8139'/></interface>
  <ip address='10.0.2.15' prefix='33'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid prefix value '33' in <ip>
  <ip address='fec0::2' family='ipv6' prefix='129'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid prefix value '129' in <ip>
  <ip address='10.0.2.15' prefix='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid prefix value 'x' in <ip>
  <ip address='10.0.2.15' prefix='0'/>
    = <interface type='user'><ip address='10.0.2.15' family='ipv4'/><model type='rtl8139'/></interface>
  <ip address='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid address 'x' in <ip>
  <ip/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required address in <ip>
  <ip address='10.0.2.15' family='x'/>
    = <interface type='user'><ip address='10.0.2.15' family='ipv4'/><model type='rtl8139'/></interface>
  <ip address='10.0.2.15' peer='10.0.2.16'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid attempt to set peer IP for guest
  <ip address='10.0.2.15' peer='x'/>
    ! VIR_ERR_INVALID_ARG: invalid argument: Invalid peer 'x' in <ip>
  <ip address='10.0.2.15'/><ip address='10.0.2.16'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Only one IPv4 address per interface is allowed
  <ip address='10.0.2.15'/><ip address='fec0::2' family='ipv6'/>
    = <interface type='user'><ip address='10.0.2.15' family='ipv4'/><ip address='fec0::2' family='ipv6'/><model type='rtl8139'/></interface>
  <route family='ipv4' address='0.0.0.0' gateway='10.0.2.1'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid attempt to set network interface guest-side IP route, not supported by QEMU
`

fragments('of the host’s end', { around: ["<interface type='ethernet'>", '</interface>'], show: ['interface'] })`
  <source><ip address='192.168.123.1' prefix='24'/><route family='ipv4' address='192.168.42.0' prefix='24' gateway='192.168.123.4' metric='3'/></source>
    = <interface type='ethernet'><source><ip address='192.168.123.1' family='ipv4' prefix='24'/><route family='ipv4' address='192.168.42.0' prefix='24' gateway='192.168.123.4' metric='3'/></source><model type='rtl8139'/></interface>
  <source><ip address='192.168.123.1' prefix='24' peer='192.168.123.9'/></source>
    = <interface type='ethernet'><source><ip address='192.168.123.1' family='ipv4' prefix='24' peer='192.168.123.9'/></source><model type='rtl8139'/></interface>
  <source><route address='192.168.42.0' netmask='255.255.255.0' gateway='192.168.123.4'/></source>
    = <interface type='ethernet'><source><route address='192.168.42.0' netmask='255.255.255.0' gateway='192.168.123.4'/></source><model type='rtl8139'/></interface>
  <source><route address='192.168.42.1' netmask='255.255.255.0' gateway='192.168.123.4'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Address '192.168.42.1' in route definition is not a network address
  <source><route address='192.168.42.0' netmask='255.0.255.0' gateway='192.168.123.4'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Address '192.168.42.0' in route definition is not a network address
  <source><route address='192.168.42.0' prefix='24' netmask='255.255.255.0' gateway='192.168.123.4'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Route definition cannot have both a prefix and a netmask
  <source><route address='192.168.42.0' prefix='24'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Missing required gateway attribute in route definition
  <source><route gateway='192.168.123.4'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Missing required address attribute in route definition
  <source><route address='x' gateway='192.168.123.4'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Bad network address 'x' in route definition
  <source><route address='192.168.42.0' gateway='x'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Bad gateway address 'x' in route definition
  <source><route family='ipv6' address='2001:db8:ca2:3::' prefix='64' gateway='2001:db8:ca2:2::2'/></source>
    = <interface type='ethernet'><source><route family='ipv6' address='2001:db8:ca2:3::' prefix='64' gateway='2001:db8:ca2:2::2'/></source><model type='rtl8139'/></interface>
  <source><route family='ipv4' address='2001:db8:ca2:3::' prefix='64' gateway='2001:db8:ca2:2::2'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: IPv4 family specified for non-IPv4 address '2001:db8:ca2:3::' in route definition
  <source><route family='ipv6' address='2001:db8:ca2:3::' netmask='255.0.0.0' gateway='2001:db8:ca2:2::2'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Specifying netmask invalid for IPv6 address '2001:db8:ca2:3::' in route definition
  <source><route family='x' address='1.2.3.0' gateway='1.2.3.4'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Unrecognized family 'x' in route definition
  <source><route address='192.168.42.0' prefix='24' gateway='192.168.123.4' metric='0'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'metric' in element 'route': Zero is not permitted
  <source><route address='192.168.42.0' prefix='24' gateway='192.168.123.4' metric='x'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'metric' in element 'route': 'x'. Expected non-negative integer value
  <source><route address='192.168.42.0' prefix='33' gateway='192.168.123.4'/></source>
    ! VIR_ERR_XML_ERROR: XML error: interface host IP: Invalid prefix 33 specified in route definition, must be 0 - 32
`
