import { fragments } from '../../helper/fragments.ts'

fragments('ports')`
  <graphics type='vnc'/>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='address'/></graphics>
  <graphics type='vnc' port='5901'/>
    = <graphics type='vnc' port='5901' autoport='no'><listen type='address'/></graphics>
  <graphics type='vnc' port='5901' autoport='yes'/>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='address'/></graphics>
  <graphics type='vnc' port='-1'/>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='address'/></graphics>
  <graphics type='vnc' port='-1' autoport='no'/>
    = <graphics type='vnc' autoport='no'><listen type='address'/></graphics>
  <graphics type='vnc' port='0'/>
    = <graphics type='vnc' autoport='no'><listen type='address'/></graphics>
  <graphics type='vnc' autoport='maybe'/>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='address'/></graphics>
  <graphics type='vnc' port='5901' websocket='5701'/>
    = <graphics type='vnc' port='5901' autoport='no' websocket='5701'><listen type='address'/></graphics>
  <graphics type='vnc' websocket='-1'/>
    = <graphics type='vnc' port='-1' autoport='yes' websocket='-1'><listen type='address'/></graphics>
  <graphics type='vnc' port='x'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: cannot parse vnc port x
  <graphics type='vnc' websocket='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'websocket' in element 'graphics': 'x'. Expected integer value
  <graphics type='vnc' port='5899'/>
    = <graphics type='vnc' port='5899' autoport='no'><listen type='address'/></graphics>
  <graphics type='spice'/>
    = <graphics type='spice'><listen type='none'/></graphics>
  <graphics type='spice' port='5901'/>
    = <graphics type='spice' port='5901' autoport='no'><listen type='address'/></graphics>
  <graphics type='spice' port='5901' tlsPort='5902'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: spice TLS port set in XML configuration, but TLS is disabled in qemu.conf
  <graphics type='spice' autoport='yes'/>
    = <graphics type='spice' autoport='yes'><listen type='address'/></graphics>
  <graphics type='spice' port='-1' tlsPort='-1'/>
    = <graphics type='spice' autoport='yes'><listen type='address'/></graphics>
  <graphics type='spice' port='5901' tlsPort='5902' autoport='yes'/>
    = <graphics type='spice' autoport='yes'><listen type='address'/></graphics>
  <graphics type='spice' port='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'port' in element 'graphics': 'x'. Expected integer value
  <graphics type='spice' tlsPort='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'tlsPort' in element 'graphics': 'x'. Expected integer value
  <graphics type='spice' autoport='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'autoport' in element 'graphics': 'x'.
  <graphics type='rdp' port='3389'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: rdp graphics are not supported with this QEMU
  <graphics type='rdp' autoport='yes' multiUser='yes'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: rdp graphics are not supported with this QEMU
  <graphics type='rdp' port='x'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: cannot parse rdp port x
  <graphics type='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'graphics': 'x'.
  <graphics/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'graphics'
  <graphics type='vnc'/><graphics type='vnc'/>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='address'/></graphics><graphics type='vnc' port='-1' autoport='yes'><listen type='address'/></graphics>
  <graphics type='vnc' port='5901'/><graphics type='spice' port='5902'/>
    = <graphics type='vnc' port='5901' autoport='no'><listen type='address'/></graphics><graphics type='spice' port='5902' autoport='no'><listen type='address'/></graphics>
`

fragments('places')`
  <graphics type='vnc' listen='1.2.3.4'/>
    = <graphics type='vnc' port='-1' autoport='yes' listen='1.2.3.4'><listen type='address' address='1.2.3.4'/></graphics>
  <graphics type='vnc' port='5901' listen='1.2.3.4'><listen type='address'/></graphics>
    = <graphics type='vnc' port='5901' autoport='no' listen='1.2.3.4'><listen type='address' address='1.2.3.4'/></graphics>
  <graphics type='vnc' listen='1.2.3.4'><listen type='address' address='5.6.7.8'/></graphics>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: graphics 'listen' attribute '1.2.3.4' must match 'address' attribute of first listen element (found '5.6.7.8')
  <graphics type='vnc'><listen type='address' address='::1'/></graphics>
    = <graphics type='vnc' port='-1' autoport='yes' listen='::1'><listen type='address' address='::1'/></graphics>
  <graphics type='vnc'><listen type='address'/></graphics>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='address'/></graphics>
  <graphics type='vnc'><listen type='network' network='default'/></graphics>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='network' network='default'/></graphics>
  <graphics type='vnc'><listen type='network' network='default' address='1.2.3.4'/></graphics>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='network' network='default'/></graphics>
  <graphics type='vnc'><listen type='network'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: 'network' attribute is required for listen type 'network'
  <graphics type='vnc' socket='/s'/>
    = <graphics type='vnc' socket='/s'><listen type='socket' socket='/s'/></graphics>
  <graphics type='vnc'><listen type='socket' socket='/s'/></graphics>
    = <graphics type='vnc' socket='/s'><listen type='socket' socket='/s'/></graphics>
  <graphics type='vnc' socket='/s'><listen type='socket'/></graphics>
    = <graphics type='vnc' socket='/s'><listen type='socket' socket='/s'/></graphics>
  <graphics type='vnc' socket='/s'><listen type='socket' socket='/t'/></graphics>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: graphics 'socket' attribute '/s' must match 'socket' attribute of first listen element (found '/t')
  <graphics type='vnc' socket='/s'><listen type='address' address='1.2.3.4'/></graphics>
    = <graphics type='vnc' socket='/s'><listen type='socket' socket='/s'/></graphics>
  <graphics type='vnc'><listen type='socket'/></graphics>
    =
  <graphics type='vnc'><listen type='none'/></graphics>
    =
  <graphics type='spice'><listen type='none'/></graphics>
    =
  <graphics type='spice'><listen type='socket'/></graphics>
    =
  <graphics type='spice' autoport='yes'><listen type='address' address='0'/></graphics>
    = <graphics type='spice' autoport='yes' listen='0'><listen type='address' address='0'/></graphics>
  <graphics type='spice' port='5900'><listen type='address' address='1.2.3.4'/><listen type='address' address='5.6.7.8'/></graphics>
    = <graphics type='spice' port='5900' autoport='no' listen='1.2.3.4'><listen type='address' address='1.2.3.4'/><listen type='address' address='5.6.7.8'/></graphics>
  <graphics type='vnc'><listen/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'listen'
  <graphics type='vnc'><listen type='x'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'listen': 'x'.
  <graphics type='vnc'><listen type='address' network='default'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: 'network' attribute is valid only for listen type 'network'
  <graphics type='vnc'><listen type='address' socket='/s'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: 'socket' attribute is valid only for listen type 'socket'
  <graphics type='rdp'><listen type='socket'/></graphics>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: listen type 'socket' is not available for graphics type 'rdp'
  <graphics type='rdp'><listen type='none'/></graphics>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: listen type 'none' is not available for graphics type 'rdp'
`

fragments('passwords')`
  <graphics type='vnc' passwd='secret'/>
    = <graphics type='vnc' port='-1' autoport='yes' passwd='secret'><listen type='address'/></graphics>
  <graphics type='vnc' passwd=''/>
    = <graphics type='vnc' port='-1' autoport='yes' passwd=''><listen type='address'/></graphics>
  <graphics type='vnc' passwd='123456789'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: VNC password is 9 characters long, only 8 permitted
  <graphics type='vnc' passwd='a' passwdValidTo='2030-01-02T03:04:05'/>
    = <graphics type='vnc' port='-1' autoport='yes' passwd='a' passwdValidTo='2030-01-02T03:04:05'><listen type='address'/></graphics>
  <graphics type='vnc' passwd='a' passwdValidTo='2030-02-30T00:00:00'/>
    = <graphics type='vnc' port='-1' autoport='yes' passwd='a' passwdValidTo='1970-01-01T00:00:00'><listen type='address'/></graphics>
  <graphics type='vnc' passwd='a' passwdValidTo='1970-01-01T00:00:00'/>
    = <graphics type='vnc' port='-1' autoport='yes' passwd='a' passwdValidTo='1970-01-01T00:00:00'><listen type='address'/></graphics>
  <graphics type='vnc' passwd='a' passwdValidTo='2030-01-02'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: cannot parse password validity time '2030-01-02', expect YYYY-MM-DDTHH:MM:SS
  <graphics type='vnc' passwd='a' passwdValidTo='2030-01-02T03:04:05Z'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: cannot parse password validity time '2030-01-02T03:04:05Z', expect YYYY-MM-DDTHH:MM:SS
  <graphics type='vnc' passwdValidTo='2030-01-02T03:04:05'/>
    = <graphics type='vnc' port='-1' autoport='yes'><listen type='address'/></graphics>
  <graphics type='vnc' passwd='a' connected='keep'/>
    = <graphics type='vnc' port='-1' autoport='yes' passwd='a' connected='keep'><listen type='address'/></graphics>
  <graphics type='vnc' passwd='a' connected='fail'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: VNC supports connected='keep' only
  <graphics type='vnc' passwd='a' connected='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown connected value x
  <graphics type='spice' autoport='yes' passwd='a' connected='disconnect'/>
    = <graphics type='spice' autoport='yes' passwd='a' connected='disconnect'><listen type='address'/></graphics>
  <graphics type='spice' autoport='yes' passwd='a' connected='fail'/>
    = <graphics type='spice' autoport='yes' passwd='a' connected='fail'><listen type='address'/></graphics>
`

fragments('what else servers have')`
  <graphics type='vnc' keymap='de' sharePolicy='force-shared' powerControl='yes'/>
    = <graphics type='vnc' port='-1' autoport='yes' keymap='de' sharePolicy='force-shared' powerControl='yes'><listen type='address'/></graphics>
  <graphics type='vnc' sharePolicy='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'sharePolicy' in element 'graphics': 'x'.
  <graphics type='vnc' powerControl='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'powerControl' in element 'graphics': 'x'.
  <graphics type='spice' autoport='yes' keymap='de' defaultMode='secure'/>
    = <graphics type='spice' autoport='yes' keymap='de' defaultMode='secure'><listen type='address'/></graphics>
  <graphics type='spice' autoport='yes' defaultMode='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'defaultMode' in element 'graphics': 'x'.
  <graphics type='spice' autoport='yes'><channel name='main' mode='secure'/><channel name='record' mode='insecure'/></graphics>
    = <graphics type='spice' autoport='yes'><listen type='address'/><channel name='main' mode='secure'/><channel name='record' mode='insecure'/></graphics>
  <graphics type='spice' autoport='yes'><channel name='x' mode='secure'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'name' in element 'channel': 'x'.
  <graphics type='spice' autoport='yes'><channel name='main' mode='x'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'channel': 'x'.
  <graphics type='spice' autoport='yes'><channel name='main'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'mode' in element 'channel'
  <graphics type='spice' autoport='yes'><image compression='auto_glz'/><jpeg compression='auto'/><zlib compression='never'/><playback compression='on'/><streaming mode='filter'/><mouse mode='client'/><clipboard copypaste='no'/><filetransfer enable='no'/><gl enable='no'/></graphics>
    = <graphics type='spice' autoport='yes'><listen type='address'/><image compression='auto_glz'/><jpeg compression='auto'/><zlib compression='never'/><playback compression='on'/><streaming mode='filter'/><mouse mode='client'/><clipboard copypaste='no'/><filetransfer enable='no'/><gl enable='no'/></graphics>
  <graphics type='spice' autoport='yes'><image compression='x'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'compression' in element 'image': 'x'.
  <graphics type='spice' autoport='yes'><jpeg/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'compression' in element 'jpeg'
  <graphics type='spice' autoport='yes'><streaming mode='x'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'streaming': 'x'.
  <graphics type='spice' autoport='yes'><mouse mode='x'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'mouse': 'x'.
  <graphics type='spice' autoport='yes'><clipboard copypaste='x'/></graphics>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'copypaste' in element 'clipboard': 'x'.
  <graphics type='spice'><listen type='none'/><gl enable='yes' rendernode='/dev/dri/renderD128'/></graphics>
    =
  <graphics type='sdl' display=':0' xauth='/x' fullscreen='yes'/>
    =
  <graphics type='sdl'/>
    =
  <graphics type='sdl' fullscreen='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'fullscreen' in element 'graphics': 'x'.
  <graphics type='egl-headless'/>
    =
  <graphics type='egl-headless'><gl rendernode='/dev/dri/renderD128'/></graphics>
    =
  <graphics type='dbus'/>
    =
  <graphics type='dbus' p2p='yes'/>
    =
  <graphics type='dbus' address='unix:path=/a'><gl enable='no'/><audio id='1'/></graphics>
    =
  <graphics type='dbus' p2p='yes' address='unix:path=/a'/>
    ! VIR_ERR_XML_ERROR: XML error: D-Bus p2p with an address is not supported
  <graphics type='desktop' display=':0'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: desktop graphics are not supported with this QEMU
`
