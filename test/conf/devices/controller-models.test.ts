import { fragments } from '../../helper/fragments.ts'

fragments('models')`
  <controller type='scsi' index='0'/>
    = <controller type='scsi' index='0' model='lsilogic'/>
  <controller type='scsi' index='0' model='virtio-scsi'/>
    =
  <controller type='scsi' index='0' model='lsilogic'/>
    =
  <controller type='scsi' index='0' model='buslogic'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Unsupported controller model: buslogic
  <controller type='scsi' index='0' model='vmpvscsi'/>
    =
  <controller type='scsi' index='0' model='ncr53c90'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: ncr53c90 SCSI controller is not a built-in for this machine
  <controller type='scsi' index='0' model='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Unknown model type 'x'
  <controller type='usb' index='0' model='nec-xhci' ports='8'/>
    =
  <controller type='usb' index='0' model='qemu-xhci' ports='16'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'qemu-xhci' controller only supports up to '15' ports
  <controller type='usb' index='0' model='qemu-xhci' ports='0'/>
    =
  <controller type='usb' index='0' model='ich9-ehci1'/>
    =
  <controller type='usb' index='0' model='ich9-uhci1'><master startport='2'/></controller>
    ! VIR_ERR_XML_DETAIL: No master USB controller specified
  <controller type='usb' index='0' model='ich9-uhci1'><master startport='x'/></controller>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'startport' in element 'master': 'x'. Expected non-negative integer value
  <controller type='usb' index='0' model='none'/>
    =
  <controller type='usb' index='1' model='none'/>
    =
  <controller type='usb' index='0' model='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Unknown model type 'x'
  <controller type='usb' index='0' model='qusb1'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: USB controller model type 'qusb1' or 'qusb2' is not supported in qemu
  <controller type='ide' index='0' model='piix3'/>
    =
  <controller type='ide' index='0' model='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Unknown model type 'x'
  <controller type='ide' index='1'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Only a single IDE controller is supported for this machine type
  <controller type='fdc' index='0'/>
    =
  <controller type='sata' index='0'/>
    =
  <controller type='ccid' index='0'/>
    =
  <controller type='virtio-serial' index='0' ports='16' vectors='4'/>
    =
  <controller type='virtio-serial' index='0' ports='-1'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'ports' in element 'controller': '-1'. Expected non-negative value
  <controller type='virtio-serial' index='0' vectors='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'vectors' in element 'controller': 'x'. Expected integer value
  <controller type='virtio-serial' index='0' model='virtio-transitional'/>
    =
  <controller type='xenbus' index='0'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Cannot automatically add a new PCI bus for a device with connect flags 00
  <controller type='isa' index='0'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Cannot automatically add a new PCI bus for a device with connect flags 00
  <controller type='x' index='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'controller': 'x'.
  <controller index='0'/>
    = <controller type='ide' index='0'/>
  <controller type='scsi' index='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'index' in element 'controller': 'x'. Expected integer value
  <controller type='scsi' index='-1'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'index' in element 'controller': '-1'. Expected non-negative value
  <controller type='scsi' index='0' model='lsilogic'/><controller type='scsi' index='0' model='lsilogic'/>
    ! VIR_ERR_XML_ERROR: XML error: Multiple 'scsi' controllers with index '0'
`

fragments('settings', {
  around: ["<controller type='scsi' index='0' model='virtio-scsi'>", '</controller>'],
  show: ['controller']
})`
  <driver queues='4' cmd_per_lun='50' max_sectors='512' ioeventfd='on'/>
    = <controller type='scsi' index='0' model='virtio-scsi'><driver queues='4' cmd_per_lun='50' max_sectors='512' ioeventfd='on'/></controller>
  <driver iommu='on' ats='on' packed='on' page_per_vq='on'/>
    = <controller type='scsi' index='0' model='virtio-scsi'><driver iommu='on' ats='on' packed='on' page_per_vq='on'/></controller>
  <driver iothread='1'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: controller iothread '1' not defined in iothreadid
  <driver queues='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'queues' in element 'driver': 'x'. Expected non-negative integer value
  <driver cmd_per_lun='-1'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'cmd_per_lun' in element 'driver': '-1'. Expected non-negative integer value
  <driver max_sectors='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'max_sectors' in element 'driver': 'x'. Expected non-negative integer value
  <driver ioeventfd='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'ioeventfd' in element 'driver': 'x'.
  <driver iothread='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'iothread' in element 'driver': 'x'. Expected non-negative integer value
  <address type='pci' slot='9'/>
    = <controller type='scsi' index='0' model='virtio-scsi'><address type='pci' domain='0x0000' bus='0x00' slot='0x09' function='0x0'/></controller>
  <address type='usb' bus='0' port='1'/>
    = <controller type='scsi' index='0' model='virtio-scsi'><address type='usb' bus='0' port='1'/></controller>
  <alias name='ua-c'/>
    = <controller type='scsi' index='0' model='virtio-scsi'><alias name='ua-c'/></controller>
`

fragments('PCI of q35', { machine: 'q35' })`
  <controller type='pci' index='1' model='pcie-root-port'/>
    -
  <controller type='pci' index='1' model='pcie-root-port'><model name='ioh3420'/><target chassis='40' port='0x1a'/></controller>
    =
  <controller type='pci' index='1' model='pcie-root-port'><target hotplug='off'/></controller>
    = <controller type='pci' index='1' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='1' port='0x8' hotplug='off'/></controller>
  <controller type='pci' index='1' model='dmi-to-pci-bridge'/>
    = <controller type='pci' index='1' model='dmi-to-pci-bridge'><model name='i82801b11-bridge'/></controller><controller type='pci' index='2' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='2' port='0x8'/></controller><controller type='pci' index='3' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='3' port='0x9'/></controller>
  <controller type='pci' index='1' model='pcie-expander-bus'><target busNr='220'/></controller>
    = <controller type='pci' index='1' model='pcie-expander-bus'><model name='pxb-pcie'/><target busNr='220'/></controller><controller type='pci' index='2' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='2' port='0x10'/></controller><controller type='pci' index='3' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='3' port='0x11'/></controller>
  <controller type='pci' index='1' model='pcie-expander-bus'><target busNr='300'/></controller>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: PCI controller busNr '300' out of range - must be 1-254
  <controller type='pci' index='1' model='pcie-root-port'><target busNr='3'/></controller>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Option 'busNr' is not valid for PCI controller with index '1', model 'pcie-root-port' and modelName 'pcie-root-port'
  <controller type='pci' index='1' model='pcie-root-port'><target chassis='256'/></controller>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: PCI controller chassis '256' out of range - must be 0-255
  <controller type='pci' index='1' model='pcie-root-port'><target chassis='x'/></controller>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'chassis' in element 'target': 'x'. Expected integer value
  <controller type='pci' index='1' model='pcie-root-port'><target hotplug='x'/></controller>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'hotplug' in element 'target': 'x'.
  <controller type='pci' index='1' model='pcie-root-port'><model name='x'/></controller>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'name' in element 'model': 'x'.
  <controller type='pci' index='1' model='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Unknown model type 'x'
  <controller type='pci' index='1'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: PCI controller model was not set correctly
  <controller type='pci' index='0' model='pci-root'/>
    ! VIR_ERR_XML_ERROR: XML error: The PCI controller with index='0' must be model='pcie-root' for this machine type, but model='pci-root' was found instead
  <controller type='pci' index='1' model='pcie-root'/>
    ! VIR_ERR_XML_ERROR: XML error: pci-root and pcie-root controllers should have index 0
  <controller type='pci' index='0' model='pcie-root'><pcihole64 unit='KiB'>1048576</pcihole64></controller>
    =
  <controller type='pci' index='0' model='pcie-root'><pcihole64>x</pcihole64></controller>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './pcihole64'
  <controller type='pci' index='1' model='pcie-to-pci-bridge'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Cannot automatically add a new PCI bus for a device with connect flags 2000
  <controller type='pci' index='1' model='pcie-switch-upstream-port'/>
    = <controller type='pci' index='1' model='pcie-switch-upstream-port'><model name='x3130-upstream'/></controller><controller type='pci' index='2' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='2' port='0x8'/></controller><controller type='pci' index='3' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='3' port='0x9'/></controller><controller type='pci' index='4' model='pcie-root-port'><model name='pcie-root-port'/><target chassis='4' port='0xa'/></controller>
  <controller type='pci' index='1' model='pcie-switch-downstream-port'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: a PCI slot is needed to connect a PCI controller model='pcie-switch-downstream-port', but none is available, and it cannot be automatically added
`
