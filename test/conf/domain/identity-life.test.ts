// Names, events and the settings of the whole that stand beside them.
import { fragments } from '../../helper/fragments.ts'

fragments('what is told of the guest', { in: 'domain' })`
  <title>a title</title>
    =
  <title/>
    -
  <description>some text</description>
    =
  <genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>
    =
  <genid>x</genid>
    ! VIR_ERR_INTERNAL_ERROR: internal error: malformed genid element
  <on_poweroff>preserve</on_poweroff>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: qemu driver doesn't support the 'preserve' action for 'on_reboot'/'on_poweroff'
  <on_poweroff>x</on_poweroff>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown on_poweroff action: x
  <on_reboot>destroy</on_reboot>
    =
  <on_reboot>rename-restart</on_reboot>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: qemu driver doesn't support the 'rename-restart' action for 'on_reboot'/'on_poweroff'/'on_crash'
  <on_crash>coredump-restart</on_crash>
    =
  <on_crash>x</on_crash>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown on_crash action: x
  <on_lockfailure>poweroff</on_lockfailure>
    =
  <on_lockfailure>pause</on_lockfailure>
    =
  <on_lockfailure>x</on_lockfailure>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown on_lockfailure action: x
  <bootloader>/usr/bin/pygrub</bootloader>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: bootloader is not supported by QEMU
  <metadata><a:b xmlns:a='urn:a'>c</a:b></metadata>
    = <metadata><a:b xmlns:a="urn:a">c</a:b></metadata>
  <metadata><a:b xmlns:a='urn:a'/><c:d xmlns:c='urn:a'/></metadata>
    = <metadata><a:b xmlns:a="urn:a"/></metadata>
  <metadata><b>c</b></metadata>
    = <metadata/>
  <nosuch/>
    -
`

fragments('clock', { in: 'domain' })`
  <clock offset='utc'/>
    -
  <clock offset='utc' adjustment='reset'/>
    =
  <clock offset='utc' adjustment='3600'/>
    = <clock offset='variable' adjustment='3600' basis='utc'/>
  <clock offset='localtime'><timer name='rtc' tickpolicy='catchup' track='guest'><catchup threshold='123' slew='120' limit='10000'/></timer><timer name='pit' tickpolicy='delay'/></clock>
    =
  <clock offset='utc'><timer name='hpet' present='no'/></clock>
    =
  <clock offset='utc'><timer name='rtc' present='x'/></clock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'present' in element 'timer': 'x'.
  <clock offset='utc'><timer name='rtc' tickpolicy='x'/></clock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'tickpolicy' in element 'timer': 'x'.
  <clock offset='utc'><timer name='rtc' track='x'/></clock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'track' in element 'timer': 'x'.
  <clock offset='utc'><timer name='tsc' mode='x'/></clock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'timer': 'x'.
  <clock offset='utc'><timer name='tsc' frequency='x'/></clock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'frequency' in element 'timer': 'x'. Expected non-negative integer value
  <clock offset='utc'><timer name='rtc' tickpolicy='catchup'><catchup threshold='x'/></timer></clock>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'threshold' in element 'catchup': 'x'. Expected non-negative integer value
  <clock offset='utc'><timer/></clock>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'name' in element 'timer'
  <clock offset='utc'><timer name='platform'/></clock>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unsupported timer type (name) 'platform'
  <clock offset='utc'><timer name='rtc'/><timer name='rtc'/></clock>
    =
  <clock offset='variable' adjustment='-3600' basis='utc'/>
    =
  <clock offset='timezone' timezone='Europe/Paris'/>
    =
  <clock offset='absolute' start='0'/>
    =
`

fragments('seclabel', { in: 'domain' })`
  <seclabel type='none'/>
    = <seclabel type='none' model='none'/>
  <seclabel type='static' model='dac' relabel='yes'><label>0:0</label></seclabel>
    =
  <seclabel type='dynamic' model='dac' relabel='yes'/>
    =
  <seclabel type='dynamic' model='dac' relabel='no'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: dynamic label type must use resource relabeling
  <seclabel type='static' model='dac'/>
    ! VIR_ERR_XML_ERROR: XML error: security label is missing
  <seclabel type='x' model='dac'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'seclabel': 'x'.
  <seclabel type='static' model='dac' relabel='x'><label>0:0</label></seclabel>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'relabel' in element 'seclabel': 'x'.
  <seclabel type='none' relabel='yes'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: resource relabeling is not compatible with 'none' label type
  <seclabel type='static' model='nosuch'><label>a</label></seclabel>
    = <seclabel type='static' model='nosuch' relabel='no'><label>a</label></seclabel>
  <seclabel type='dynamic' model='dac'/><seclabel type='dynamic' model='dac'/>
    ! VIR_ERR_XML_DETAIL: seclabel for model dac is already provided
`

fragments('sysinfo', { in: 'domain' })`
  <sysinfo type='smbios'><bios><entry name='vendor'>LENOVO</entry></bios><system><entry name='manufacturer'>Fedora</entry><entry name='uuid'>c7a5fdbd-edaf-9455-926a-d65c16db1809</entry></system></sysinfo>
    =
  <sysinfo type='smbios'><baseBoard><entry name='manufacturer'>A</entry></baseBoard><baseBoard><entry name='serial'>B</entry></baseBoard><chassis><entry name='sku'>C</entry></chassis><oemStrings><entry>a:b</entry></oemStrings></sysinfo>
    =
  <sysinfo type='smbios'><bios><entry name='date'>x</entry></bios></sysinfo>
    ! VIR_ERR_XML_DETAIL: Invalid BIOS 'date' format
  <sysinfo type='smbios'><bios><entry name='date'>13/01/2020</entry></bios></sysinfo>
    ! VIR_ERR_XML_DETAIL: Invalid BIOS 'date' format
  <sysinfo type='smbios'><system><entry name='uuid'>x</entry></system></sysinfo>
    ! VIR_ERR_XML_DETAIL: malformed <sysinfo> uuid element
  <sysinfo type='fwcfg'><entry name='opt/com.example/name'>v</entry><entry name='opt/com.example/f' file='/a'/></sysinfo>
    =
  <sysinfo type='fwcfg'><entry name='etc/x'>v</entry></sysinfo>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid firmware name
  <sysinfo type='fwcfg'><entry>v</entry></sysinfo>
    ! VIR_ERR_XML_ERROR: XML error: Firmware entry is missing 'name' attribute
  <sysinfo type='fwcfg'><entry name='opt/com.example/name'/></sysinfo>
    ! VIR_ERR_XML_ERROR: XML error: Firmware entry must have either value or 'file' attribute
  <sysinfo type='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'sysinfo': 'x'.
  <sysinfo/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'sysinfo'
`
