import { fragments } from '../../helper/fragments.ts'

const SHARED = '<memoryBacking><access mode="shared"/></memoryBacking>'

fragments('9p')`
  <filesystem type='mount' accessmode='passthrough'><source dir='/a'/><target dir='t'/></filesystem>
    =
  <filesystem><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount' accessmode='mapped' fmode='0644' dmode='755'><source dir='/a'/><target dir='t'/><readonly/></filesystem>
    = <filesystem type='mount' accessmode='mapped' fmode='0644' dmode='0755'><source dir='/a'/><target dir='t'/><readonly/></filesystem>
  <filesystem type='mount' accessmode='squash' multidevs='remap'><driver type='path' wrpolicy='immediate'/><source dir='/a'/><target dir='t'/></filesystem>
    =
  <filesystem type='mount' model='virtio-transitional'><driver type='path' iommu='on'/><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough' model='virtio-transitional'><driver type='path' iommu='on'/><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount'><driver type='handle'/><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='handle'/><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount'><source dir='a//b'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><source dir='a//b'/><target dir='t'/></filesystem>
  <filesystem type='mount' fmode='8'><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'fmode' in element 'filesystem': '8'. Expected non-negative integer value
  <filesystem type='mount' fmode='1777'><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: invalid fmode: '01777'
  <filesystem type='mount' accessmode='passthrough' fmode='0600'><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: fmode and dmode must be used with accessmode=mapped
  <filesystem type='mount' accessmode='x'><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'accessmode' in element 'filesystem': 'x'.
  <filesystem type='mount' multidevs='x'><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'multidevs' in element 'filesystem': 'x'.
  <filesystem type='mount' model='x'><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'filesystem': 'x'.
  <filesystem type='x'><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'filesystem': 'x'.
  <filesystem type='mount'><target dir='t'/></filesystem>
    ! VIR_ERR_NO_SOURCE: missing source information for device t
  <filesystem type='mount'><source dir='/a'/></filesystem>
    ! VIR_ERR_NO_TARGET: missing target information for device /a
  <filesystem type='mount'><source dir='/a'/><target/></filesystem>
    ! VIR_ERR_NO_TARGET: missing target information for device /a
  <filesystem type='mount'><driver type='x'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'driver': 'x'.
  <filesystem type='mount'><driver type='path' wrpolicy='x'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'wrpolicy' in element 'driver': 'x'.
  <filesystem type='mount'><driver type='path' format='raw'/><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='path' format='raw'/><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount'><source dir='/a'/><target dir='t'/><space_hard_limit unit='G'>1</space_hard_limit></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: filesystem usage limits are not supported with QEMU
`

fragments('types QEMU has not')`
  <filesystem type='file'><source file='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only supports mount filesystem type
  <filesystem type='block'><source dev='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only supports mount filesystem type
  <filesystem type='template'><source name='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only supports mount filesystem type
  <filesystem type='ram'><source usage='10' units='MiB'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only supports mount filesystem type
  <filesystem type='ram'><source usage='x'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: cannot parse usage 'x' for RAM filesystem
  <filesystem type='bind'><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only supports mount filesystem type
  <filesystem type='volume'><source pool='p' volume='v'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: only supports mount filesystem type
  <filesystem type='volume'><source pool='p'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: 'pool' and 'volume' must be specified together for 'pool' type source
`

fragments('virtiofs', { outside: SHARED })`
  <filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount' accessmode='passthrough'><driver type='virtiofs' queue='1024'/><source dir='/a'/><target dir='t'/></filesystem>
    =
  <filesystem type='mount'><driver type='virtiofs'/><source socket='/s'/><target dir='t'/></filesystem>
    =
  <filesystem type='mount'><driver type='virtiofs'/><binary path='/v' xattr='on'><cache mode='always'/><sandbox mode='chroot'/><lock posix='on' flock='off'/></binary><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><binary path='/v' xattr='on'><cache mode='always'/><sandbox mode='chroot'/><lock posix='on' flock='off'/></binary><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount'><driver type='virtiofs'/><binary><thread_pool size='16'/></binary><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><binary><thread_pool size='16'/></binary><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount'><driver type='virtiofs'/><binary/><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount'><driver type='virtiofs' iommu='on' ats='on'/><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='virtiofs' iommu='on' ats='on'/><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount' accessmode='mapped'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: virtiofs only supports passthrough accessmode
  <filesystem type='mount' model='virtio-transitional'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: virtiofs does not support model
  <filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/><readonly/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/><readonly/></filesystem>
  <filesystem type='mount' fmode='0600'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: fmode and dmode must be used with accessmode=mapped
  <filesystem type='mount' multidevs='warn'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: virtiofs does not support multidevs
  <filesystem type='mount'><driver type='virtiofs' queue='x'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: cannot parse queue size 'x' for virtiofs
  <filesystem type='mount'><driver type='virtiofs'/><binary xattr='x'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'xattr' in element 'binary': 'x'.
  <filesystem type='mount'><driver type='virtiofs'/><binary><cache mode='auto'/></binary><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'cache': 'auto'.
  <filesystem type='mount'><driver type='virtiofs'/><binary><sandbox mode='x'/></binary><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'sandbox': 'x'.
  <filesystem type='mount'><driver type='virtiofs'/><binary><thread_pool size='x'/></binary><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_XML_ERROR: XML error: cannot parse thread pool size 'x' for virtiofs
  <filesystem type='mount'><driver type='virtiofs'/><binary path='/v'/><source socket='/s'/><target dir='t'/></filesystem>
    =
  <filesystem type='mount'><driver type='path'/><binary path='/v'/><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='path'/><source dir='/a'/><target dir='t'/></filesystem>
  <filesystem type='mount'><driver type='path' queue='4'/><source dir='/a'/><target dir='t'/></filesystem>
    = <filesystem type='mount' accessmode='passthrough'><driver type='path'/><source dir='/a'/><target dir='t'/></filesystem>
`

fragments('virtiofs needs shared memory')`
  <filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/><target dir='t'/></filesystem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'virtiofs' requires shared memory
`
