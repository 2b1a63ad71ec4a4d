import { fragments } from '../../helper/fragments.ts'

fragments('the host’s end')`
  <serial type='file'><source path='/a' append='on'/></serial>
    = <serial type='file'><source path='/a' append='on'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='file'><source path='/a' append='x'/></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'append' in element 'source': 'x'.
  <serial type='file'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source path attribute for char device
  <serial type='file'><source/></serial>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source path attribute for char device
  <serial type='dev'><source path='/dev/ttyS0'/></serial>
    = <serial type='dev'><source path='/dev/ttyS0'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='dev'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source path attribute for char device
  <serial type='pipe'><source path='/a'/></serial>
    = <serial type='pipe'><source path='/a'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='pipe'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source path attribute for char device
  <serial type='pty'><source path='/dev/pts/7'/></serial>
    = <serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='stdio'/>
    = <serial type='stdio'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='vc'/>
    = <serial type='vc'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='unix'><source mode='bind' path='/s'/></serial>
    = <serial type='unix'><source mode='bind' path='/s'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='unix'><source mode='connect' path='/s'><reconnect enabled='yes' timeout='20'/></source></serial>
    = <serial type='unix'><source mode='connect' path='/s'><reconnect enabled='yes' timeout='20'/></source><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='unix'><source mode='bind' path='/s'><reconnect enabled='yes' timeout='20'/></source></serial>
    ! VIR_ERR_INTERNAL_ERROR: internal error: chardev reconnect is possible only for connect mode
  <serial type='unix'><source mode='connect' path='/s'><reconnect enabled='yes'/></source></serial>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'timeout' in element 'reconnect'
  <serial type='unix'><source mode='connect' path='/s'><reconnect enabled='no'/></source></serial>
    = <serial type='unix'><source mode='connect' path='/s'><reconnect enabled='no'/></source><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='unix'><source mode='connect' path='/s'><reconnect enabled='x'/></source></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'enabled' in element 'reconnect': 'x'.
  <serial type='unix'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source path attribute for char device
  <serial type='unix'><source mode='x' path='/s'/></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'source': 'x'.
  <serial type='tcp'><source mode='bind' host='h' service='1'/><protocol type='telnet'/></serial>
    = <serial type='tcp'><source mode='bind' host='h' service='1'/><protocol type='telnet'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='tcp'><source mode='connect' host='h' service='1' tls='yes'/></serial>
    = <serial type='tcp'><source mode='connect' host='h' service='1' tls='yes'/><protocol type='raw'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='tcp'><source mode='connect' host='h' service='1' tls='x'/></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'tls' in element 'source': 'x'.
  <serial type='tcp'><source mode='connect' host='h' service='1'/><protocol type='x'/></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'protocol': 'x'.
  <serial type='tcp'><source mode='connect' host='h' service='1'/><protocol type='telnets'/></serial>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: tcp chardev protocol 'telnets' not supported
  <serial type='tcp'><source mode='connect' service='1'/></serial>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source host attribute for char device
  <serial type='tcp'><source mode='connect' host='h'/></serial>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source service attribute for char device
  <serial type='tcp'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source host attribute for char device
  <serial type='tcp'><source mode='x' host='h' service='1'/></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'source': 'x'.
  <serial type='udp'><source mode='connect' host='h' service='1'/><source mode='bind' host='i' service='2'/></serial>
    = <serial type='udp'><source mode='bind' host='i' service='2'/><source mode='connect' host='h' service='1'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='udp'><source mode='bind' host='i' service='2'/></serial>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source service attribute for char device
  <serial type='udp'><source mode='connect' host='h'/></serial>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Missing source service attribute for char device
  <serial type='spicevmc'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: spicevmc device type only supports virtio
  <serial type='spiceport'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Missing source channel attribute for char device
  <serial type='nmdm'><source master='/a' slave='/b'/></serial>
    = <serial type='nmdm'><source master='/a' slave='/b'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='nmdm'><source master='/a'/></serial>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Should define both master and slave path attributes for nmdm device
  <serial type='null'><log file='/l' append='off'/></serial>
    = <serial type='null'><log file='/l' append='off'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='null'><log append='on'/></serial>
    = <serial type='null'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='null'><log file='/l' append='x'/></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'append' in element 'log': 'x'.
  <serial type='file'><source path='/a'><seclabel model='dac' relabel='no'/></source></serial>
    = <serial type='file'><source path='/a'><seclabel model='dac' relabel='no'/></source><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <serial type='file'><source path='/a'><seclabel model='dac' relabel='x'/></source></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'relabel' in element 'seclabel': 'x'.
`
