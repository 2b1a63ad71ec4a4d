import { fragments } from '../../helper/fragments.ts'

fragments('who asks', {
  around: ["<disk type='network' device='disk'>", "<target dev='vda' bus='virtio'/></disk>"],
  show: ['disk']
})`
  <source protocol='rbd' name='a/b'><auth username='u'><secret type='ceph' usage='s'/></auth></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='a/b'><auth username='u'><secret type='ceph' usage='s'/></auth></source><target dev='vda' bus='virtio'/></disk>
  <auth username='u'><secret type='ceph' uuid='6DD3E4A5-1D76-44CE-961F-F119F5AAD935'/></auth><source protocol='rbd' name='a/b'/>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><auth username='u'><secret type='ceph' uuid='6dd3e4a5-1d76-44ce-961f-f119f5aad935'/></auth><source protocol='rbd' name='a/b'/><target dev='vda' bus='virtio'/></disk>
  <auth username='u'><secret type='ceph' usage='s'/></auth><source protocol='rbd' name='a/b'><auth username='u'><secret type='ceph' usage='s'/></auth></source>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: an <auth> definition already found for disk source
  <source protocol='iscsi' name='iqn.2013-07.a:b'><host name='h'/><auth username='u'><secret type='iscsi' usage='s'/></auth></source>
    = <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='iscsi' name='iqn.2013-07.a:b/0'><host name='h' port='3260'/><auth username='u'><secret type='iscsi' usage='s'/></auth></source><target dev='vda' bus='virtio'/></disk>
  <source protocol='rbd' name='a/b'><auth username='u'><secret type='iscsi' usage='s'/></auth></source>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: invalid secret type 'iscsi'
  <source protocol='rbd' name='a/b'><auth username='u'><secret type='x' usage='s'/></auth></source>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown secret type 'x'
  <source protocol='rbd' name='a/b'><auth username='u'><secret usage='s'/></auth></source>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown secret type '<null>'
  <source protocol='rbd' name='a/b'><auth username='u'><secret type='ceph'/></auth></source>
    ! VIR_ERR_XML_ERROR: XML error: missing secret uuid or usage attribute
  <source protocol='rbd' name='a/b'><auth username='u'><secret type='ceph' usage='s' uuid='6dd3e4a5-1d76-44ce-961f-f119f5aad935'/></auth></source>
    ! VIR_ERR_XML_ERROR: XML error: either secret uuid or usage expected
  <source protocol='rbd' name='a/b'><auth username='u'><secret type='ceph' uuid='x'/></auth></source>
    ! VIR_ERR_XML_ERROR: XML error: invalid secret uuid 'x'
  <source protocol='rbd' name='a/b'><auth username='u'/></source>
    ! VIR_ERR_XML_ERROR: XML error: Missing <secret> element in auth
  <source protocol='rbd' name='a/b'><auth><secret type='ceph' usage='s'/></auth></source>
    ! VIR_ERR_XML_ERROR: XML error: missing username for auth
  <source protocol='nbd'><host name='h'/><auth username='u'><secret type='ceph' usage='s'/></auth></source>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: authentication is not supported for protocol 'nbd'
`

fragments('encryption', {
  around: [
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'>",
    "</source><target dev='vda' bus='virtio'/></disk>"
  ],
  show: ['disk']
})`
  <encryption format='luks'><secret type='passphrase' usage='s'/></encryption>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'><encryption format='luks' engine='qemu'><secret type='passphrase' usage='s'/></encryption></source><target dev='vda' bus='virtio'/></disk>
  <encryption format='luks' engine='qemu'><secret type='passphrase' usage='s'/></encryption>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'><encryption format='luks' engine='qemu'><secret type='passphrase' usage='s'/></encryption></source><target dev='vda' bus='virtio'/></disk>
  <encryption format='luks2'><secret type='passphrase' usage='s'/></encryption>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'luks2' is currently not supported by the qemu encryption engine
  <encryption format='qcow'><secret type='passphrase' usage='s'/></encryption>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: old qcow/qcow2 encryption is not supported
  <encryption format='default'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: old qcow/qcow2 encryption is not supported
  <encryption format='luks'/>
    = <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'><encryption format='luks' engine='qemu'/></source><target dev='vda' bus='virtio'/></disk>
  <encryption><secret type='passphrase' usage='s'/></encryption>
    ! VIR_ERR_XML_ERROR: XML error: unknown volume encryption format
  <encryption format='x'><secret type='passphrase' usage='s'/></encryption>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown volume encryption format type x
  <encryption format='luks' engine='x'><secret type='passphrase' usage='s'/></encryption>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'engine' in element 'encryption': 'x'.
  <encryption format='luks' engine='librbd'><secret type='passphrase' usage='s'/></encryption>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: librbd encryption is supported only with RBD backed disks
  <encryption format='luks'><secret type='x' usage='s'/></encryption>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown volume encryption secret type x
  <encryption format='luks'><secret usage='s'/></encryption>
    ! VIR_ERR_XML_ERROR: XML error: unknown volume encryption secret type
  <encryption format='luks'><secret type='passphrase'/></encryption>
    ! VIR_ERR_XML_ERROR: XML error: missing secret uuid or usage attribute
  <encryption format='luks'><secret type='passphrase' usage='s'/><secret type='passphrase' usage='s'/></encryption>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: qemu encryption engine expects only a single secret
  <encryption format='luks'><cipher name='aes' size='256' mode='cbc' hash='sha256'/><secret type='passphrase' usage='s'/></encryption>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: supplying <cipher> for domain disk definition is unnecessary
`
