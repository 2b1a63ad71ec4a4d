import { fragments } from '../../helper/fragments.ts'

fragments('watchdog')`
  <watchdog model='i6300esb'/>
    = <watchdog model='i6300esb' action='reset'/>
  <watchdog model='ib700' action='poweroff'/>
    =
  <watchdog model='i6300esb' action='inject-nmi'><alias name='ua-dog'/></watchdog>
    =
  <watchdog model='i6300esb' action='shutdown'><address type='pci' domain='0x0000' bus='0x00' slot='0x0a' function='0x0'/></watchdog>
    =
  <watchdog model='i6300esb' action='dump'/>
    =
  <watchdog model='i6300esb' action='pause'/>
    =
  <watchdog model='i6300esb' action='none'/>
    =
  <watchdog/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'model' in element 'watchdog'
  <watchdog model='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'watchdog': 'x'.
  <watchdog model='i6300esb' action='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'action' in element 'watchdog': 'x'.
  <watchdog model='diag288'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: diag288 model of watchdog is allowed for s390 and s390x only
  <watchdog model='ib700'><address type='pci' slot='9'/></watchdog>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ib700 model of watchdog does not support configuring the address
  <watchdog model='i6300esb'><address type='isa' iobase='0x1'/></watchdog>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: i6300esb model of watchdog can go only on PCI bus
  <watchdog model='i6300esb'/><watchdog model='ib700'/>
    = <watchdog model='i6300esb' action='reset'/><watchdog model='ib700' action='reset'/>
`
