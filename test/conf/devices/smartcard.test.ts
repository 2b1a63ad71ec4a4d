import { fragments } from '../../helper/fragments.ts'

fragments('smartcard')`
  <smartcard mode='host'/>
    =
  <smartcard mode='host'><address type='ccid' controller='0' slot='0'/></smartcard>
    =
  <smartcard mode='passthrough' type='spicevmc'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: chardev 'spicevmc' not supported without spice graphics
  <smartcard mode='passthrough' type='tcp'><source mode='bind' host='127.0.0.1' service='2001'/><protocol type='raw'/></smartcard>
    =
  <smartcard mode='passthrough' type='unix'><source mode='bind' path='/s'/></smartcard>
    =
  <smartcard mode='passthrough' type='pty'/>
    =
  <smartcard mode='passthrough'/>
    ! VIR_ERR_XML_ERROR: XML error: passthrough mode requires a character device type attribute
  <smartcard mode='passthrough' type='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown type presented to host for character device: x
  <smartcard/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'mode' in element 'smartcard'
  <smartcard mode='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'smartcard': 'x'.
  <smartcard mode='host-certificates'/>
    ! VIR_ERR_XML_ERROR: XML error: host-certificates mode needs exactly three certificates
  <smartcard mode='host-certificates'><certificate>a</certificate></smartcard>
    ! VIR_ERR_XML_ERROR: XML error: host-certificates mode needs exactly three certificates
  <smartcard mode='host-certificates'><database>d</database></smartcard>
    ! VIR_ERR_XML_ERROR: XML error: host-certificates mode needs exactly three certificates
  <smartcard mode='host'><address type='pci' slot='9'/></smartcard>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Controllers must use the 'ccid' address type
  <smartcard mode='host'/><smartcard mode='host'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: this QEMU binary lacks multiple smartcard support
  <smartcard mode='host'><address type='ccid' controller='x' slot='0'/></smartcard>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'controller' in element 'address': 'x'. Expected non-negative integer value
`

fragments('certificates', {
  around: [
    "<smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate>",
    '</smartcard>'
  ],
  show: ['smartcard']
})`
  <certificate>c</certificate>
    = <smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate><certificate>c</certificate></smartcard>
  <certificate>c</certificate><database>/d</database>
    = <smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate><certificate>c</certificate><database>/d</database></smartcard>
  <certificate>c</certificate><database>d</database>
    ! VIR_ERR_XML_ERROR: XML error: expecting absolute path: d
  <certificate>c</certificate><certificate>d</certificate>
    ! VIR_ERR_XML_ERROR: XML error: host-certificates mode needs exactly three certificates
  <certificate/>
    = <smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate><certificate/></smartcard>
`
