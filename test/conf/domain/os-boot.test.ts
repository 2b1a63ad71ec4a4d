import { fragments } from '../../helper/fragments.ts'

const os = {
  in: 'os' as const,
  show: [
    'boot',
    'bootmenu',
    'smbios',
    'bios',
    'kernel',
    'initrd',
    'cmdline',
    'dtb',
    'loader',
    'nvram',
    'acpi',
    'init',
    'firmware'
  ]
}

fragments('order and menu', os)`
  <boot dev='cdrom'/><boot dev='hd'/>
    = <boot dev='cdrom'/>
  <boot dev='network'/><boot dev='fd'/>
    =
  <boot dev='hd'/><boot dev='hd'/>
    = <boot dev='hd'/>
  <boot dev='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'dev' in element 'boot': 'x'.
  <boot/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'dev' in element 'boot'
  <bootmenu enable='yes' timeout='3000'/>
    =
  <bootmenu enable='no'/>
    =
  <bootmenu enable='maybe'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'enable' in element 'bootmenu': 'maybe'.
  <bootmenu enable='yes' timeout='65536'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: invalid value for boot menu timeout, must be in range [0,65535]
  <bootmenu enable='yes' timeout='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'timeout' in element 'bootmenu': 'x'. Expected non-negative integer value
  <bios useserial='yes' rebootTimeout='0'/>
    ! VIR_ERR_XML_ERROR: XML error: need at least one serial port to use BIOS serial output
  <bios rebootTimeout='-1'/>
    =
  <bios rebootTimeout='65536'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: invalid value for rebootTimeout, must be in range [-1,65535]
  <bios rebootTimeout='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'rebootTimeout' in element 'bios': 'x'. Expected integer value
  <bios useserial='x'/>
    = <bios useserial='no'/>
  <smbios mode='emulate'/>
    =
  <smbios mode='host'/>
    =
  <smbios mode='sysinfo'/>
    =
  <smbios mode='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown smbios mode 'x'
  <smbios/>
    -
`

fragments('kernels', os)`
  <kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd><cmdline>console=ttyS0</cmdline>
    =
  <kernel>/boot/vmlinuz</kernel><dtb>/boot/a.dtb</dtb>
    =
  <cmdline>a</cmdline>
    =
  <initrd>/boot/initrd</initrd>
    =
  <kernel/>
    -
  <init>/sbin/init</init>
    -
  <acpi><table type='slic'>/slic.dat</table></acpi>
    =
  <acpi><table type='x'>/slic.dat</table></acpi>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'table': 'x'.
  <acpi><table>/slic.dat</table></acpi>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'table'
  <acpi><table type='slic'/></acpi>
    =
  <acpi><table type='slic'>/a</table><table type='slic'>/b</table></acpi>
    ! VIR_ERR_XML_ERROR: XML error: ACPI table type 'slic' may only appear once
  <acpi><table type='slic'>/a</table><table type='raw'>/b</table><table type='raw'>/c</table><table type='msdm'>/d</table></acpi>
    =
  <acpi><table type='rawset'>/a</table></acpi>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ACPI table type 'rawset' is not supported
  <kernel>/boot/vmlinuz</kernel><shim>/boot/shim</shim>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: shim is not supported by this QEMU binary
`

fragments('firmware', { ...os, machine: 'q35' })`
  <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: UEFI requires ACPI on this architecture
  <loader readonly='yes' secure='no' type='rom'>/bios.bin</loader>
    =
  <loader>/bios.bin</loader>
    = <loader type='rom' format='raw'>/bios.bin</loader>
  <loader type='rom' format='qcow2'>/bios.bin</loader>
    =
  <loader readonly='yes' type='pflash'>/code.fd</loader><nvram template='/vars.fd'>/nvram.fd</nvram>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: UEFI requires ACPI on this architecture
  <loader type='pflash'>/code.fd</loader><nvram type='file'><source file='/nvram.fd'/></nvram>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: UEFI requires ACPI on this architecture
  <loader type='pflash'>/code.fd</loader><nvram type='network'><source protocol='iscsi' name='iqn.2013-07.a:b/0'><host name='h' port='6000'/></source></nvram>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: UEFI requires ACPI on this architecture
  <loader type='rom'>/bios.bin</loader><nvram>/nvram.fd</nvram>
    =
  <nvram>/nvram.fd</nvram>
    ! VIR_ERR_XML_DETAIL: no loader path specified and firmware auto selection disabled
  <loader type='x'>/a</loader>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'loader': 'x'.
  <loader readonly='x'>/a</loader>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'readonly' in element 'loader': 'x'.
  <loader secure='x'>/a</loader>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'secure' in element 'loader': 'x'.
  <loader secure='yes' type='pflash'>/code.fd</loader>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: UEFI requires ACPI on this architecture
  <loader type='pflash'>code.fd</loader>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: UEFI requires ACPI on this architecture
  <loader stateless='yes' type='pflash'>/code.fd</loader>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: UEFI requires ACPI on this architecture
  <loader stateless='yes' type='pflash'>/code.fd</loader><nvram>/nvram.fd</nvram>
    ! VIR_ERR_XML_DETAIL: NVRAM is not permitted when loader is stateless
  <loader stateless='yes' type='rom'>/code.fd</loader>
    = <loader type='rom' stateless='yes'>/code.fd</loader>
  <loader stateless='x' type='pflash'>/code.fd</loader>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'stateless' in element 'loader': 'x'.
  <loader type='pflash'/>
    ! VIR_ERR_XML_DETAIL: no loader path specified and firmware auto selection disabled
  <firmware><feature enabled='yes' name='secure-boot'/></firmware>
    ! VIR_ERR_XML_DETAIL: cannot use feature-based firmware autoselection when firmware autoselection is disabled
`

fragments('chosen firmware', { ...os, machine: 'q35', osAttributes: " firmware='bios'" })`
  <firmware><feature enabled='no' name='secure-boot'/></firmware>
    -
  <firmware><feature enabled='yes' name='secure-boot'/></firmware>
    ! VIR_ERR_OPERATION_FAILED: operation failed: Unable to find 'bios' firmware that is compatible with the current configuration
  <loader stateless='yes'/>
    = <loader type='rom' stateless='yes'>/fw/bios.bin</loader>
  <nvram/>
    ! VIR_ERR_XML_DETAIL: firmware type 'bios' does not support nvram
  <firmware><feature enabled='x' name='secure-boot'/></firmware>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'enabled' in element 'feature': 'x'.
  <firmware><feature enabled='yes' name='x'/></firmware>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'name' in element 'feature': 'x'.
  <firmware><feature name='secure-boot'/></firmware>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'enabled' in element 'feature'
  <firmware><feature enabled='yes'/></firmware>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'name' in element 'feature'
  <firmware><feature enabled='yes' name='enrolled-keys'/><feature enabled='no' name='secure-boot'/></firmware>
    ! VIR_ERR_XML_DETAIL: firmware feature 'enrolled-keys' cannot be enabled when firmware feature 'secure-boot' is disabled
`
