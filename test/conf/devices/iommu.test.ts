import { fragments } from '../../helper/fragments.ts'

const IOAPIC = "<features><ioapic driver='qemu'/></features>"

fragments('iommu', { machine: 'q35', outside: IOAPIC })`
  <iommu model='intel'/>
    =
  <iommu model='intel'><driver/></iommu>
    = <iommu model='intel'/>
  <iommu model='intel'><driver intremap='on' caching_mode='on' eim='on' iotlb='on' aw_bits='48'/></iommu>
    =
  <iommu model='intel'><driver intremap='off' eim='off' aw_bits='0'/></iommu>
    = <iommu model='intel'><driver intremap='off' eim='off'/></iommu>
  <iommu model='virtio'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: IOMMU device: 'virtio' requires ACPI
  <iommu model='virtio'><address type='pci' domain='0' bus='0' slot='4' function='0'/></iommu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: IOMMU device: 'virtio' requires ACPI
  <iommu/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'model' in element 'iommu'
  <iommu model='arm'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'model' in element 'iommu': 'arm'.
  <iommu model='smmuv3'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: IOMMU device: 'smmuv3' is only supported with ARM Virt machines
  <iommu model='virtio'><driver iotlb='on'/></iommu>
    ! VIR_ERR_XML_ERROR: XML error: iommu model 'virtio' doesn't support additional attributes
  <iommu model='intel'><address type='pci' slot='4'/></iommu>
    ! VIR_ERR_XML_ERROR: XML error: iommu model 'intel' can't have address
  <iommu model='intel'><driver intremap='x'/></iommu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'intremap' in element 'driver': 'x'.
  <iommu model='intel'><driver aw_bits='-1'/></iommu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'aw_bits' in element 'driver': '-1'. Expected non-negative integer value
  <iommu model='intel'><driver eim='on'/></iommu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: IOMMU eim requires interrupt remapping to be enabled
  <iommu model='intel'/><iommu model='intel'/>
    ! VIR_ERR_XML_ERROR: XML error: only a single IOMMU device is supported
`

fragments('interrupt remapping without a word of the I/O APIC', { machine: 'q35' })`
  <iommu model='intel'><driver intremap='on'/></iommu>
    =
  <iommu model='intel'><driver caching_mode='on'/></iommu>
    =
`

fragments('other machines', { machine: 'pc' })`
  <iommu model='intel'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: IOMMU device: 'intel' is only supported with Q35 machines
  <iommu model='virtio'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: IOMMU device: 'virtio' is only supported with Q35 and ARM Virt machines
`
