import { fragments } from '../../helper/fragments.ts'

fragments('shmem')`
  <shmem name='a'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ivshmem device is no longer supported
  <shmem name='a'><model type='ivshmem-plain'/></shmem>
    = <shmem name='a'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
  <shmem name='a'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
    =
  <shmem name='a'><model type='ivshmem-plain'/><size unit='MiB'>3</size></shmem>
    ! VIR_ERR_XML_ERROR: XML error: shmem size must be a power of 2 and at least 1 MiB (1024 KiB)
  <shmem name='a'><model type='ivshmem-plain'/><size>1048576</size></shmem>
    = <shmem name='a'><model type='ivshmem-plain'/><size unit='M'>1</size></shmem>
  <shmem name='a'><model type='ivshmem-plain'/><size>0</size></shmem>
    = <shmem name='a'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
  <shmem name='a' role='master'><model type='ivshmem-plain'/></shmem>
    = <shmem name='a' role='master'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
  <shmem name='a' role='peer'><model type='ivshmem-doorbell'/><server path='/tmp/s'/><msi vectors='32' ioeventfd='on'/></shmem>
    =
  <shmem name='a'><model type='ivshmem-doorbell'/><server/></shmem>
    = <shmem name='a'><model type='ivshmem-doorbell'/><server/><msi ioeventfd='on'/></shmem>
  <shmem name='a'><model type='ivshmem-doorbell'/><server path='/s'/><msi enabled='yes'/></shmem>
    = <shmem name='a'><model type='ivshmem-doorbell'/><server path='/s'/><msi ioeventfd='on'/></shmem>
  <shmem name='a'><model type='ivshmem-doorbell'/><server path='/s'/><msi enabled='no' vectors='1'/></shmem>
    = <shmem name='a'><model type='ivshmem-doorbell'/><server path='/s'/><msi vectors='1' ioeventfd='on'/></shmem>
  <shmem name='a'><model type='ivshmem'/><server path='/s'/></shmem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ivshmem device is no longer supported
  <shmem name='a'><model type='ivshmem-doorbell'/></shmem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: shmem model 'ivshmem-doorbell' is supported only with server option enabled
  <shmem name='a'><model type='ivshmem-doorbell'/><server path='/s'/><size unit='M'>4</size></shmem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: shmem model 'ivshmem-doorbell' does not support size setting
  <shmem name='a'><model type='ivshmem-plain'/><server path='/s'/></shmem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: shmem model 'ivshmem-plain' is supported only with server option disabled
  <shmem/>
    ! VIR_ERR_XML_ERROR: XML error: shmem element must contain 'name' attribute
  <shmem name=''/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ivshmem device is no longer supported
  <shmem name='a/b'><model type='ivshmem-plain'/></shmem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: shmem name cannot include '/' character
  <shmem name='.'><model type='ivshmem-plain'/></shmem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: shmem name cannot be equal to '.'
  <shmem name='a' role='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ivshmem device is no longer supported
  <shmem name='a'><model type='x'/></shmem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'model': 'x'.
  <shmem name='a'><model/></shmem>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ivshmem device is no longer supported
  <shmem name='a'><size unit='x'>1</size></shmem>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
  <shmem name='a'><size unit='M'>x</size></shmem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './size[1]'
  <shmem name='a'><msi/></shmem>
    ! VIR_ERR_XML_ERROR: XML error: msi option is only supported with a server
  <shmem name='a'><model type='ivshmem-doorbell'/><server/><msi vectors='x'/></shmem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'vectors' in element 'msi': 'x'. Expected non-negative integer value
  <shmem name='a'><model type='ivshmem-doorbell'/><server/><msi ioeventfd='x'/></shmem>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'ioeventfd' in element 'msi': 'x'.
  <shmem name='a'><model type='ivshmem-plain'/></shmem><shmem name='a'><model type='ivshmem-plain'/></shmem>
    = <shmem name='a'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem><shmem name='a'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>
`
