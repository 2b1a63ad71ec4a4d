import { fragments } from '../../helper/fragments.ts'

fragments('backing', { in: 'domain', around: ['<memoryBacking>', '</memoryBacking>'], show: ['memoryBacking'] })`
  <nosharepages/>
    = <memoryBacking><nosharepages/></memoryBacking>
  <locked/>
    = <memoryBacking><locked/></memoryBacking>
  <discard/>
    = <memoryBacking><discard/></memoryBacking>
  <source type='anonymous'/>
    = <memoryBacking><source type='anonymous'/></memoryBacking>
  <source type='file'/><access mode='shared'/><allocation mode='immediate' threads='2'/>
    = <memoryBacking><source type='file'/><access mode='shared'/><allocation mode='immediate' threads='2'/></memoryBacking>
  <source type='memfd'/><access mode='private'/><allocation mode='ondemand'/>
    = <memoryBacking><source type='memfd'/><access mode='private'/><allocation mode='ondemand'/></memoryBacking>
  <source type='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown memoryBacking/source/type 'x'
  <access mode='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown memoryBacking/access/mode 'x'
  <allocation mode='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: unknown memoryBacking/allocation/mode 'x'
  <allocation threads='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Failed to parse memory allocation threads
  <allocation threads='3'/>
    = <memoryBacking><allocation threads='3'/></memoryBacking>
  <hugepages/>
    = <memoryBacking><hugepages/></memoryBacking>
  <hugepages><page size='2' unit='M'/></hugepages>
    = <memoryBacking><hugepages><page size='2048' unit='KiB'/></hugepages></memoryBacking>
  <hugepages><page size='1' unit='G' nodeset='0'/></hugepages>
    = <memoryBacking><hugepages><page size='1048576' unit='KiB'/></hugepages></memoryBacking>
  <hugepages><page size='0'/></hugepages>
    ! VIR_ERR_XML_DETAIL: hugepage size can't be zero
  <hugepages><page/></hugepages>
    ! VIR_ERR_XML_ERROR: XML error: missing element or attribute './@size'
  <hugepages><page size='x'/></hugepages>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './@size'
  <hugepages><page size='2' unit='x'/></hugepages>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
  <hugepages><page size='2' unit='M' nodeset='x'/></hugepages>
    ! VIR_ERR_INVALID_ARG: invalid argument: Failed to parse bitmap 'x'
  <hugepages/><nosharepages/>
    = <memoryBacking><hugepages/><nosharepages/></memoryBacking>
  <hugepages/><source type='anonymous'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: hugepages are not allowed with anonymous memory source
  <hugepages/><allocation mode='ondemand'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: hugepages are not allowed with memory allocation ondemand
`

fragments('limits', { in: 'domain', around: ['<memtune>', '</memtune>'], show: ['memtune'] })`
  <hard_limit unit='G'>1</hard_limit><soft_limit unit='M'>128</soft_limit><swap_hard_limit unit='G'>2</swap_hard_limit>
    = <memtune><hard_limit unit='KiB'>1048576</hard_limit><soft_limit unit='KiB'>131072</soft_limit><swap_hard_limit unit='KiB'>2097152</swap_hard_limit></memtune>
  <hard_limit>1</hard_limit>
    = <memtune><hard_limit unit='KiB'>1</hard_limit></memtune>
  <hard_limit>0</hard_limit>
    = <memtune><hard_limit unit='KiB'>0</hard_limit></memtune>
  <hard_limit>x</hard_limit>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './memtune/hard_limit[1]'
  <hard_limit unit='x'>1</hard_limit>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
  <soft_limit>-1</soft_limit>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value '-1' for element or attribute './memtune/soft_limit[1]'
  <swap_hard_limit>9007199254740991</swap_hard_limit>
    -
  <swap_hard_limit unit='E'>16</swap_hard_limit>
    ! VIR_ERR_OVERFLOW: numerical overflow: value too large: 16E
  <min_guarantee>1</min_guarantee>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Parameter 'min_guarantee' not supported by QEMU.
`

fragments('size', { in: 'domain', show: ['memory', 'currentMemory', 'maxMemory'] })`
  <currentMemory unit='MiB'>32</currentMemory>
    = <currentMemory unit='KiB'>32768</currentMemory>
  <currentMemory unit='MiB'>128</currentMemory>
    -
  <currentMemory>0</currentMemory>
    -
  <currentMemory>x</currentMemory>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './currentMemory[1]'
  <currentMemory unit='x'>1</currentMemory>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
  <maxMemory slots='16' unit='GiB'>1</maxMemory>
    = <maxMemory slots='16' unit='KiB'>1048576</maxMemory>
  <maxMemory unit='GiB'>1</maxMemory>
    = <maxMemory unit='KiB'>1048576</maxMemory>
  <maxMemory slots='0' unit='GiB'>1</maxMemory>
    = <maxMemory unit='KiB'>1048576</maxMemory>
  <maxMemory slots='x' unit='GiB'>1</maxMemory>
    ! VIR_ERR_XML_ERROR: XML error: Failed to parse memory slot count
  <maxMemory slots='16' unit='KiB'>1</maxMemory>
    ! VIR_ERR_XML_ERROR: XML error: maximum memory size must be equal or greater than the actual memory size
  <maxMemory slots='16'/>
    ! VIR_ERR_XML_ERROR: XML error: maximum memory size must be specified when specifying number of memory slots
`
