import { fragments } from '../../helper/fragments.ts'

fragments('serial and parallel ports')`
  <serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
    =
  <serial type='null'><target port='7'/></serial>
    = <serial type='null'><target type='isa-serial' port='7'><model name='isa-serial'/></target></serial>
  <serial type='null'><target type='pci-serial'/></serial>
    = <serial type='null'><target type='pci-serial' port='0'><model name='pci-serial'/></target></serial>
  <serial type='null'><target type='usb-serial'/></serial>
    = <serial type='null'><target type='usb-serial' port='0'><model name='usb-serial'/></target></serial>
  <serial type='null'><target type='isa-debug'/></serial>
    = <serial type='null'><target type='isa-debug' port='0'><model name='isa-debugcon'/></target></serial>
  <serial type='null'><target type='isa-debug'/><address type='isa' iobase='0x402'/></serial>
    = <serial type='null'><target type='isa-debug' port='0'><model name='isa-debugcon'/></target><address type='isa' iobase='0x402'/></serial>
  <serial type='null'><target type='isa-serial'><model name='usb-serial'/></target></serial>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Target model 'usb-serial' requires target type 'usb-serial'
  <serial type='null'><target type='spapr-vio-serial'/></serial>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Serial device with target type 'spapr-vio-serial' and target model 'spapr-vty' not compatible with guest architecture or machine type
  <serial type='null'><target type='sclp-serial'/></serial>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Serial device with target type 'sclp-serial' and target model 'sclpconsole' not compatible with guest architecture or machine type
  <serial type='null'><target type='system-serial'/></serial>
    = <serial type='null'><target type='system-serial' port='0'/></serial>
  <serial type='null'><target type='x'/></serial>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown target type 'x' specified for character device
  <serial type='null'><target port='x'/></serial>
    ! VIR_ERR_XML_ERROR: XML error: Invalid port number: x
  <serial type='null'><target><model name='x'/></target></serial>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown target model 'x' specified for character device
  <serial type='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown type presented to host for character device: x
  <serial/>
    = <serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial>
  <parallel type='null'/>
    = <parallel type='null'><target port='0'/></parallel>
  <parallel type='dev'><source path='/dev/parport0'/><target port='3'/></parallel>
    =
  <parallel type='null'><target port='x'/></parallel>
    ! VIR_ERR_XML_ERROR: XML error: Invalid port number: x
`

fragments('channels')`
  <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    =
  <channel type='unix'><source mode='bind' path='/s'/><target type='virtio' name='a'/></channel>
    =
  <channel type='pty'><target type='virtio'/></channel>
    =
  <channel type='spicevmc'><target type='virtio'/></channel>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spicevmc' not supported without spice graphics
  <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spicevmc' not supported without spice graphics
  <channel type='spicevmc'><target type='virtio' name='x'/></channel>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spicevmc' not supported without spice graphics
  <channel type='spiceport'><source channel='org.a'/><target type='virtio' name='b'/></channel>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spiceport' not supported without spice graphics
  <channel type='unix'><target type='virtio' name='a' state='connected'/></channel>
    = <channel type='unix'><target type='virtio' name='a'/></channel>
  <channel type='null'><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>
    =
  <channel type='null'><target type='guestfwd' port='4600'/></channel>
    ! VIR_ERR_XML_ERROR: XML error: guestfwd channel does not define a target address
  <channel type='null'><target type='guestfwd' address='10.0.2.1'/></channel>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'port' in element 'target'
  <channel type='null'><target type='guestfwd' address='x' port='4600'/></channel>
    ! VIR_ERR_SYSTEM_ERROR: Cannot parse socket address 'x': Name or service not known
  <channel type='null'><target type='guestfwd' address='::1' port='4600'/></channel>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: guestfwd channel only supports IPv4 addresses
  <channel type='null'><target type='guestfwd' address='10.0.2.1' port='x'/></channel>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'port' in element 'target': 'x'. Expected non-negative integer value
  <channel type='null'><target type='xen' name='a'/></channel>
    =
  <channel type='null'><target type='x'/></channel>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown target type 'x' specified for character device
  <channel type='null'><target/></channel>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown target type '(null)' specified for character device
  <channel type='null'/>
    ! VIR_ERR_XML_ERROR: XML error: target type must be specified for channel device
  <channel type='dbus'><source channel='a'/><target type='virtio' name='b'/></channel>
    =
  <channel type='qemu-vdagent'><source><clipboard copypaste='yes'/><mouse mode='client'/></source><target type='virtio'/></channel>
    =
  <channel type='qemu-vdagent'><source><clipboard copypaste='x'/></source><target type='virtio'/></channel>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'copypaste' in element 'clipboard': 'x'.
`

fragments('consoles')`
  <console type='pty'/>
    = <console type='pty'><target type='serial' port='0'/></console>
  <console type='pty'><target type='virtio'/></console>
    = <console type='pty'><target type='virtio' port='0'/></console>
  <console type='pty'><target type='virtio' port='5'/></console>
    = <console type='pty'><target type='virtio' port='0'/></console>
  <console type='pty'><target type='serial' port='0'/></console>
    =
  <console type='null'><target type='serial'/></console><console type='null'><target type='virtio'/></console>
    = <console type='null'><target type='serial' port='0'/></console><console type='null'><target type='virtio' port='1'/></console>
  <console type='null'><target type='serial'/></console><console type='null'><target type='serial'/></console>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Only the first console can be a serial port
  <console type='null'><target type='sclp'/></console>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: sclpconsole is not supported in this QEMU binary
  <console type='null'><target type='xen'/></console>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unsupported console target type xen
  <console type='null'><target type='uml'/></console>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unsupported console target type uml
  <console type='null'><target type='x'/></console>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown target type 'x' specified for character device
  <console type='null'><target port='x'/></console>
    ! VIR_ERR_XML_ERROR: XML error: Invalid port number: x
  <serial type='pty'/><console type='pty'/>
    = <serial type='pty'><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial><console type='pty'><target type='serial' port='0'/></console>
  <serial type='tcp'><source mode='connect' host='h' service='1'/><protocol type='raw'/></serial><console type='pty'/>
    = <serial type='tcp'><source mode='connect' host='h' service='1'/><protocol type='raw'/><target type='isa-serial' port='0'><model name='isa-serial'/></target></serial><console type='tcp'><source mode='connect' host='h' service='1'/><protocol type='raw'/><target type='serial' port='0'/></console>
  <serial type='pty'><target type='usb-serial'/></serial><console type='pty'/>
    = <serial type='pty'><target type='usb-serial' port='0'><model name='usb-serial'/></target></serial><console type='pty'><target type='serial' port='0'/></console>
`
