import { fragments } from '../../helper/fragments.ts'

fragments('types')`
  <interface type='user'/>
    = <interface type='user'><model type='rtl8139'/></interface>
  <interface/>
    = <interface type='user'><model type='rtl8139'/></interface>
  <interface type='ethernet'/>
    = <interface type='ethernet'><model type='rtl8139'/></interface>
  <interface type='ethernet'><target dev='tap7' managed='no'/></interface>
    = <interface type='ethernet'><target dev='tap7' managed='no'/><model type='rtl8139'/></interface>
  <interface type='bridge'><source bridge='br0'/></interface>
    = <interface type='bridge'><source bridge='br0'/><model type='rtl8139'/></interface>
  <interface type='network'><source network='default' portgroup='g'/></interface>
    = <interface type='network'><source network='default' portgroup='g'/><model type='rtl8139'/></interface>
  <interface type='direct'><source dev='eth0'/></interface>
    = <interface type='direct'><source dev='eth0' mode='vepa'/><model type='rtl8139'/></interface>
  <interface type='direct'><source dev='eth0' mode='passthrough'/></interface>
    = <interface type='direct'><source dev='eth0' mode='passthrough'/><model type='rtl8139'/></interface>
  <interface type='server'><source address='127.0.0.1' port='5558'/></interface>
    = <interface type='server'><source address='127.0.0.1' port='5558'/><model type='rtl8139'/></interface>
  <interface type='server'><source port='5558'/></interface>
    = <interface type='server'><source port='5558'/><model type='rtl8139'/></interface>
  <interface type='client'><source address='127.0.0.1' port='5558'/></interface>
    = <interface type='client'><source address='127.0.0.1' port='5558'/><model type='rtl8139'/></interface>
  <interface type='mcast'><source address='230.0.0.1' port='5558'/></interface>
    = <interface type='mcast'><source address='230.0.0.1' port='5558'/><model type='rtl8139'/></interface>
  <interface type='udp'><source address='127.0.0.1' port='1'><local address='127.0.0.1' port='2'/></source></interface>
    = <interface type='udp'><source address='127.0.0.1' port='1'><local address='127.0.0.1' port='2'/></source><model type='rtl8139'/></interface>
  <interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/><model type='virtio'/></interface>
    =
  <interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>
    = <interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/><model type='virtio'/></interface>
  <interface type='internal'><source name='a'/></interface>
    = <interface type='internal'><source name='a'/><model type='rtl8139'/></interface>
  <interface type='hostdev' managed='yes'><source><address type='pci' domain='0x0' bus='0x3' slot='0x7' function='0x1'/></source></interface>
    = <interface type='hostdev' managed='yes'><source><address type='pci' domain='0x0000' bus='0x03' slot='0x07' function='0x1'/></source><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></interface>
  <interface type='null'/>
    = <interface type='null'><model type='rtl8139'/></interface>
  <interface type='vds'><source switchid='77777777-7777-7777-7777-777777777777' portid='-1' portgroupid='g' connectionid='1'/></interface>
    = <interface type='vds'><source switchid='77777777-7777-7777-7777-777777777777' portid='-1' portgroupid='g' connectionid='1'/><model type='rtl8139'/></interface>
  <interface type='vds'><source switchid='77777777-7777-7777-7777-777777777777'/></interface>
    = <interface type='vds'><source switchid='77777777-7777-7777-7777-777777777777' portid='0' connectionid='0'/><model type='rtl8139'/></interface>
  <interface type='hostdev'><driver name='vfio' model='mlx5_vfio_pci'/><source><address type='pci' domain='0x0000' bus='0x03' slot='0x07' function='0x1'/></source><address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/></interface>
    =
  <interface type='user'><source dev=''/><backend type='passt'/></interface>
    = <interface type='user'><source dev=''/><model type='rtl8139'/><backend type='passt'/></interface>
  <interface type='user'><backend logFile=''/></interface>
    = <interface type='user'><model type='rtl8139'/><backend logFile=''/></interface>
  <interface type='user'><backend type='passt' logFile='/a//b'/><mtu size='9000'/></interface>
    = <interface type='user'><model type='rtl8139'/><backend type='passt' logFile='/a//b'/><mtu size='9000'/></interface>
  <interface type='user'><portForward proto='tcp'><range/></portForward><backend type='passt'/></interface>
    = <interface type='user'><portForward proto='tcp'/><model type='rtl8139'/><backend type='passt'/></interface>
`

fragments('refused')`
  <interface type='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'interface': 'x'.
  <interface type='bridge'/>
    ! VIR_ERR_XML_ERROR: XML error: interface type='bridge' requires a 'source' element
  <interface type='bridge'><source/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'bridge' in element 'source'
  <interface type='network'><source/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'network' in element 'source'
  <interface type='direct'><source mode='vepa'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'dev' in element 'source'
  <interface type='direct'><source dev='eth0' mode='x'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'source': 'x'.
  <interface type='server'><source address='127.0.0.1'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'port' in element 'source'
  <interface type='client'><source port='1'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'address' in element 'source'
  <interface type='client'><source address='a' port='x'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'port' in element 'source': 'x'. Expected integer value
  <interface type='udp'><source address='a' port='1'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: '<local>' element missing for 'udp' socket interface
  <interface type='udp'><source address='a' port='1'><local port='2'/></source></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'address' in element 'local'
  <interface type='vhostuser'><source type='tcp' path='/s' mode='server'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Type='tcp' unsupported for <interface type='vhostuser'>
  <interface type='vhostuser'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'path' in element 'source'
  <interface type='vhostuser'><source type='unix' mode='server'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'path' in element 'source'
  <interface type='vhostuser'><source type='unix' path='/s'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'interface' requires shared memory
  <interface type='vhostuser'><backend type='passt'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'interface' requires shared memory
  <interface type='vhostuser'><source path='/s' mode='server'><reconnect enabled='yes' timeout='3'/></source></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'reconnect' attribute is not supported when source mode='server' for <interface type='vhostuser'>
  <interface type='vhostuser'><source path='/s'/><ip address='10.0.0.1'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid attempt to set network interface guest-side IP address info, not supported by QEMU
  <interface type='vdpa'><source dev='/dev/v'/><model type='foo'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: invalid model for interface of type 'vdpa': 'unknown' - must be 'virtio'
  <interface type='user'><portForward proto='tcp'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The <portForward> element can only be used with the 'passt' backend of interface type='user' or type='vhostuser'
  <interface type='user'><portForward proto='none'/><backend type='passt'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'proto' in element 'portForward': 'none'.
  <interface type='user'><portForward proto='tcp'><range exclude='yes'/></portForward><backend type='passt'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'range' of a 'portForward' requires 'start' attribute if 'end', 'to', or 'exclude' is specified
  <interface type='user'><ip address='10.0.0.1' prefix='30'/><backend type='passt'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: invalid prefix, must be in range of 4-27
  <interface type='vhostuser'><source type='unix' path='/s' mode='x'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'source': 'x'.
  <interface type='vhostuser'><source type='unix' path='/s' mode='client'><reconnect enabled='yes'/></source></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'timeout' in element 'reconnect'
  <interface type='vhostuser'><source type='unix' path='/s' mode='client'><reconnect enabled='x'/></source></interface>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'enabled' in element 'reconnect': 'x'.
  <interface type='vdpa'><source/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'dev' in element 'source'
  <interface type='internal'><source/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'name' in element 'source'
  <interface type='hostdev'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown host device source address type '(null)'
  <interface type='hostdev' display='on'><source><address type='pci' bus='3'/></source></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: graphics device is needed for attribute value 'display=on' in <hostdev>
  <interface type='hostdev' model='virtio'><source><address type='pci' bus='3'/></source></interface>
    ! VIR_ERR_XML_ERROR: XML error: 'model' attribute in <hostdev> is only supported when type='pci'
  <interface type='hostdev'><source><address type='usb' bus='1'/></source></interface>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'device' in element 'address'
  <interface type='vds'><source switchid='x' portid='1' portgroupid='g' connectionid='1'/></interface>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'switchid' in element 'source': 'x'. Expected UUID
`

fragments('parts', {
  around: ["<interface type='bridge'><source bridge='br0'/><model type='virtio'/>", '</interface>'],
  show: ['interface']
})`
  <mac address='52:54:00:11:22:33'/>
    = <interface type='bridge'><mac address='52:54:00:11:22:33'/><source bridge='br0'/><model type='virtio'/></interface>
  <mac address='52:54:00:11:22:33' type='static' check='no' currentAddress='52:54:00:11:22:34'/>
    = <interface type='bridge'><mac address='52:54:00:11:22:33' type='static' check='no'/><source bridge='br0'/><model type='virtio'/></interface>
  <mac address='525400112233'/>
    ! VIR_ERR_XML_ERROR: XML error: unable to parse mac address '525400112233'
  <mac address='53:54:00:11:22:33'/>
    ! VIR_ERR_XML_ERROR: XML error: expected unicast mac address, found multicast '53:54:00:11:22:33'
  <mac address='52:54:00:11:22'/>
    ! VIR_ERR_XML_ERROR: XML error: unable to parse mac address '52:54:00:11:22'
  <mac address='ff:ff:ff:ff:ff:ff'/>
    ! VIR_ERR_XML_ERROR: XML error: expected unicast mac address, found multicast 'ff:ff:ff:ff:ff:ff'
  <target dev='vnet7'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
  <target dev='tap7'/>
    = <interface type='bridge'><source bridge='br0'/><target dev='tap7'/><model type='virtio'/></interface>
  <mtu size='1500'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><mtu size='1500'/></interface>
  <mtu size='0'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
  <mtu size='x'/>
    ! VIR_ERR_XML_ERROR: XML error: malformed mtu size
  <link state='down'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><link state='down'/></interface>
  <link state='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown interface link state 'x'
  <coalesce><rx><frames max='7'/></rx></coalesce>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><coalesce><rx><frames max='7'/></rx></coalesce></interface>
  <coalesce><rx/></coalesce>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
  <coalesce><rx><frames max='x'/></rx></coalesce>
    ! VIR_ERR_XML_DETAIL: cannot parse value 'x' for coalesce parameter
  <guest dev='eth0'/>
    = <interface type='bridge'><source bridge='br0'/><guest dev='eth0'/><model type='virtio'/></interface>
  <script path='/s'/>
    = <interface type='bridge'><source bridge='br0'/><script path='/s'/><model type='virtio'/></interface>
  <downscript path='/s'/>
    = <interface type='bridge'><source bridge='br0'/><downscript path='/s'/><model type='virtio'/></interface>
  <tune><sndbuf>1600</sndbuf></tune>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><tune><sndbuf>1600</sndbuf></tune></interface>
  <tune><sndbuf>0</sndbuf></tune>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><tune><sndbuf>0</sndbuf></tune></interface>
  <tune><sndbuf>x</sndbuf></tune>
    ! VIR_ERR_XML_ERROR: XML error: sndbuf must be a positive integer
  <port isolated='yes'/>
    = <interface type='bridge'><source bridge='br0'/><port isolated='yes'/><model type='virtio'/></interface>
  <port isolated='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'isolated' in element 'port': 'x'.
  <teaming type='persistent'/><alias name='ua-a'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><teaming type='persistent'/><alias name='ua-a'/></interface>
  <teaming type='transient' persistent='ua-a'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: virtio-net teaming transient interface must be type='hostdev', not 'bridge'
  <teaming type='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown teaming type 'x'
  <backenddomain name='b'/>
    = <interface type='bridge'><source bridge='br0'/><backenddomain name='b'/><model type='virtio'/></interface>
  <backend tap='/dev/net//tun' vhost='/dev/vhost-net'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><backend tap='/dev/net/tun' vhost='/dev/vhost-net'/></interface>
  <backend type='passt'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: The 'passt' backend can only be used with interface type='user' or type='vhostuser'
  <bandwidth><outbound average='1000' burst='4194304'/></bandwidth>
    ! VIR_ERR_OVERFLOW: numerical overflow: value '4194304' is too big for 'burst' parameter, maximum is '4194303'
  <ip address='1.2.3.4'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid attempt to set network interface guest-side IP address info, not supported by QEMU
  <driver name='qemu' txmode='iothread' ioeventfd='on' event_idx='off' queues='4' rx_queue_size='256' tx_queue_size='512' rss='on' rss_hash_report='off'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><driver name='qemu' txmode='iothread' ioeventfd='on' event_idx='off' queues='4' rx_queue_size='256' tx_queue_size='512' rss='on' rss_hash_report='off'/></interface>
  <driver name='vhost'><host csum='off' gso='off' tso4='off' tso6='off' ecn='off' ufo='off' mrg_rxbuf='off'/><guest csum='off' tso4='off' tso6='off' ecn='off' ufo='off'/></driver>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/><driver name='vhost'><host csum='off' gso='off' tso4='off' tso6='off' ecn='off' ufo='off' mrg_rxbuf='off'/><guest csum='off' tso4='off' tso6='off' ecn='off' ufo='off'/></driver></interface>
  <driver queues='1'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
  <driver queues='0'/>
    = <interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface>
  <driver queues='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'queues' in element 'driver': 'x'. Expected non-negative integer value
  <driver name='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'name' in element 'driver': 'x'.
  <driver txmode='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'txmode' in element 'driver': 'x'.
  <driver rx_queue_size='100'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: rx_queue_size has to be a power of two
  <driver tx_queue_size='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'tx_queue_size' in element 'driver': 'x'. Expected non-negative integer value
  <driver rss='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'rss' in element 'driver': 'x'.
  <driver><host csum='x'/></driver>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'csum' in element 'host': 'x'.
  <driver><guest ufo='x'/></driver>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'ufo' in element 'guest': 'x'.
`

fragments('vhost-user', { outside: "<memoryBacking><access mode='shared'/></memoryBacking>" })`
  <interface type='vhostuser'><source type='unix' path='/s' mode='server'/><model type='virtio'/></interface>
    =
  <interface type='vhostuser'><source type='unix' path='/s' mode='client'><reconnect enabled='yes' timeout='10'/></source><model type='virtio'/></interface>
    =
  <interface type='vhostuser'><source type='unix' path='/s' mode='client'><reconnect enabled='no' timeout='10'/></source><model type='virtio'/></interface>
    = <interface type='vhostuser'><source type='unix' path='/s' mode='client'><reconnect enabled='no'/></source><model type='virtio'/></interface>
  <interface type='vhostuser'><source path='/s'/></interface>
    = <interface type='vhostuser'><source type='unix' path='/s' mode='client'/><model type='virtio'/></interface>
  <interface type='vhostuser'><source path=''/></interface>
    = <interface type='vhostuser'><source type='unix' path='' mode='client'/><model type='virtio'/></interface>
  <interface type='vhostuser'><source dev='eth0' path='/s'/><ip address='10.0.0.1' prefix='8'/><backend type='passt'/></interface>
    = <interface type='vhostuser'><source dev='eth0'/><ip address='10.0.0.1' family='ipv4' prefix='8'/><model type='virtio'/><backend type='passt'/></interface>
  <interface type='vhostuser'><source path='/s' mode='server'/><model type='rtl8139'/></interface>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: invalid model for interface of type 'vhostuser': 'rtl8139' - must be 'virtio'
`

fragments('models', { around: ["<interface type='user'>", '</interface>'], show: ['interface'] })`
  <model type='e1000'/>
    = <interface type='user'><model type='e1000'/></interface>
  <model type='E1000'/>
    = <interface type='user'><model type='e1000'/></interface>
  <model type='IGB'/>
    = <interface type='user'><model type='igb'/></interface>
  <model type='82540em'/>
    = <interface type='user'><model type='82540EM'/></interface>
  <model type='my-card_1'/>
    = <interface type='user'><model type='my-card_1'/></interface>
  <model type='a b'/>
    ! VIR_ERR_INVALID_ARG: invalid argument: Model name contains invalid characters
  <model type=''/>
    = <interface type='user'><model type='rtl8139'/></interface>
  <model/>
    = <interface type='user'><model type='rtl8139'/></interface>
  <model type='unknown'/>
    = <interface type='user'><model type='rtl8139'/></interface>
  <model type='virtio-non-transitional'/>
    = <interface type='user'><model type='virtio-non-transitional'/></interface>
  <model type='e1000'/><driver queues='4' name='vhost'/>
    = <interface type='user'><model type='e1000'/></interface>
  <mtu size='1500'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: setting MTU on interface type user is not supported yet
  <script path='/s'/>
    = <interface type='user'><script path='/s'/><model type='rtl8139'/></interface>
  <bandwidth><inbound average='1'/></bandwidth>
    = <interface type='user'><bandwidth><inbound average='1'/></bandwidth><model type='rtl8139'/></interface>
  <vlan><tag id='1'/></vlan>
    = <interface type='user'><vlan><tag id='1'/></vlan><model type='rtl8139'/></interface>
  <virtualport type='openvswitch'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: <virtualport> element unsupported for <interface type='user'>
`
