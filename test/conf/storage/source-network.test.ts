import { fragments } from '../../helper/fragments.ts'

const inDisk = {
  around: ["<disk type='network' device='disk'>", "<target dev='vda' bus='virtio'/></disk>"] as [string, string],
  show: ['disk']
}

fragments('protocols', inDisk)`
  <source protocol='nbd'><host name='h' port='10809'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd'><host name='h' port='10809'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd' name='export'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='export'><host name='h' port='10809'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd' name='export'><host transport='unix' socket='/s'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='export'><host transport='unix' socket='/s'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd' tls='yes' tlsHostname='n'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' tls='yes' tlsHostname='n'><host name='h' port='10809'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd' tls='no'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' tls='no'><host name='h' port='10809'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd'><host name='h'/><reconnect delay='10'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd'><host name='h' port='10809'/><reconnect delay='10'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd'><host name='h'/><reconnect delay='0'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd'><host name='h' port='10809'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='rbd' name='pool/image'><host name='mon1' port='6321'/><host name='mon2'/><snapshot name='s'/><config file='/c'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/image'><host name='mon1' port='6321'/><host name='mon2'/><snapshot name='s'/><config file='/c'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='rbd' name='pool/image'/>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/image'/><target dev='vda' bus='virtio'/></disk>
  <source protocol='sheepdog' name='a'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'sheepdog' protocol is no longer supported by any hypervisor driver
  <source protocol='gluster' name='vol/a'><host name='h' port='24007'/><host transport='rdma' name='i' port='1'/><host transport='unix' socket='/s'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='gluster' name='vol/a'><host name='h' port='24007'/><host name='i' port='1' transport='rdma'/><host transport='unix' socket='/s'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='iscsi' name='iqn.2013-07.a:b'><host name='h' port='3260'/><initiator><iqn name='iqn.2013-07.c:d'/></initiator></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='iscsi' name='iqn.2013-07.a:b/0'><host name='h' port='3260'/><initiator><iqn name='iqn.2013-07.c:d'/></initiator></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='iscsi' name='iqn.2013-07.a:b/1'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='iscsi' name='iqn.2013-07.a:b/1'><host name='h' port='3260'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='http' name='a' query='x=1&amp;y=2'><host name='h' port='80'/><cookies><cookie name='c'>v</cookie></cookies><readahead size='1024'/><timeout seconds='6'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='http' name='a' query='x=1&amp;y=2'><host name='h' port='80'/><cookies><cookie name='c'>v</cookie></cookies><readahead size='1024'/><timeout seconds='6'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='https' name='a'><host name='h'/><ssl verify='no'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='https' name='a'><host name='h' port='443'/><ssl verify='no'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='https' name='a'><host name='h'/><readahead size='0'/><timeout seconds='0'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='https' name='a'><host name='h' port='443'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='ftp' name='a'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='ftp' name='a'><host name='h' port='21'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='ftps' name='a'><host name='h' port='990'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='ftps' name='a'><host name='h' port='990'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='tftp' name='a'><host name='h'/></source>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'tftp' protocol is not supported with this QEMU binary
  <source protocol='ssh' name='/a'><host name='h' port='22'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='ssh' name='/a'><host name='h' port='22'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nfs' name='/a'><host name='h'/><identity user='u' group='g'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nfs' name='/a'><host name='h'/><identity user='u' group='g'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nfs' name='/a'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nfs' name='/a'><host name='h'/></source><target dev='vda' bus='virtio'/></disk>
`

fragments('refused', inDisk)`
  <source/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'protocol' in element 'source'
  <source protocol='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'protocol' in element 'source': 'x'.
  <source protocol='none' name='a'/>
    ! VIR_ERR_NO_SOURCE: missing source information for device vda
  <source protocol='vxhs' name='a'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='vxhs' name='a'><host name='h' port='9999'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='iscsi'><host name='h'/></source>
    ! VIR_ERR_XML_ERROR: XML error: missing name for disk source
  <source protocol='rbd'/>
    ! VIR_ERR_XML_ERROR: XML error: missing name for disk source
  <source protocol='gluster' name='a'><host name='h'/></source>
    ! VIR_ERR_XML_ERROR: XML error: can't split path 'a' into pool name and image name
  <source protocol='nbd'/>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd'/><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd'><host name='a'/><host name='b'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd'><host name='a' port='10809'/><host name='b' port='10809'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd'><host/></source>
    ! VIR_ERR_XML_ERROR: XML error: missing name for host
  <source protocol='nbd'><host name='h' port='x'/></source>
    ! VIR_ERR_INVALID_ARG: invalid argument: failed to parse port number 'x'
  <source protocol='nbd'><host name='h' port='-1'/></source>
    ! VIR_ERR_INVALID_ARG: invalid argument: failed to parse port number '-1'
  <source protocol='nbd'><host name='h' port='http'/></source>
    ! VIR_ERR_INVALID_ARG: invalid argument: failed to parse port number 'http'
  <source protocol='nbd'><host transport='x' name='h'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'transport' in element 'host': 'x'.
  <source protocol='nbd'><host transport='unix'/></source>
    ! VIR_ERR_XML_ERROR: XML error: missing socket for unix transport
  <source protocol='nbd'><host transport='tcp' socket='/s' name='h'/></source>
    ! VIR_ERR_XML_ERROR: XML error: transport 'tcp' does not support socket attribute
  <source protocol='nbd' tls='x'><host name='h'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'tls' in element 'source': 'x'.
  <source protocol='rbd' name='a/b' tls='yes'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='a/b' tls='yes'><host name='h'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nbd'><host name='h'/><reconnect delay='x'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'delay' in element 'reconnect': 'x'. Expected non-negative integer value
  <source protocol='rbd' name='a/b'><reconnect delay='1'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='a/b'/><target dev='vda' bus='virtio'/></disk>
  <source protocol='iscsi' name='iqn.2013-07.a:b/x'><host name='h'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='iscsi' name='iqn.2013-07.a:b/x'><host name='h' port='3260'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='http' name='a'><host name='h'/><cookies><cookie name='c,'>v</cookie></cookies></source>
    ! VIR_ERR_XML_ERROR: XML error: cookie name 'c,' contains invalid characters
  <source protocol='http' name='a'><host name='h'/><cookies><cookie name='c'>v;</cookie></cookies></source>
    ! VIR_ERR_XML_ERROR: XML error: value of cookie 'c' contains invalid characters
  <source protocol='http' name='a'><host name='h'/><cookies><cookie>v</cookie></cookies></source>
    ! VIR_ERR_XML_ERROR: XML error: missing cookie name
  <source protocol='http' name='a'><host name='h'/><cookies><cookie name='c'>v</cookie><cookie name='c'>w</cookie></cookies></source>
    ! VIR_ERR_XML_ERROR: XML error: duplicate cookie 'c'
  <source protocol='https' name='a'><host name='h'/><ssl verify='x'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'verify' in element 'ssl': 'x'.
  <source protocol='https' name='a'><host name='h'/><readahead size='x'/></source>
    ! VIR_ERR_XML_ERROR: XML error: invalid readahead size or timeout
  <source protocol='https' name='a'><host name='h'/><timeout seconds='x'/></source>
    ! VIR_ERR_XML_ERROR: XML error: invalid readahead size or timeout
  <source protocol='nbd'><host name='h'/><cookies><cookie name='c'>v</cookie></cookies></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd'><host name='h' port='10809'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='ssh' name='/a'><host name='h'/><timeout seconds='3'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='ssh' name='/a'><host name='h' port='22'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nfs' name='/a'><host name='h'/><identity user='u'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nfs' name='/a'><host name='h'/><identity user='u'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='nfs' name='/a'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'nfs' protocol requires the usage of exactly one host
`

fragments('SSH', inDisk)`
  <source protocol='ssh' name='a'><host name='h' port='22'/><knownHosts path='/k'/><identity username='u' keyfile='/f' agentsock='/s'/></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='ssh' name='a'><host name='h' port='22'/><knownHosts path='/k'/><identity username='u' keyfile='/f' agentsock='/s'/></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='ssh' name='a'><host name='h'/><knownHosts/></source>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'path' in element 'knownHosts'
  <source protocol='ssh' name='a'><host name='h'/><identity keyfile='/f'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'username' in element 'identity'
  <source protocol='ssh' name='a'><host name='h'/><identity username='u'/></source>
    ! VIR_ERR_XML_ERROR: XML error: element 'identity' requires either 'keyfile' or 'agentsock' attribute
  <source protocol='nbd' name='a'><host transport='fd'/></source>
    ! VIR_ERR_XML_ERROR: XML error: transport 'fd' is now allowed
`
