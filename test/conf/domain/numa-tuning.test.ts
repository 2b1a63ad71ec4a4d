import { fragments } from '../../helper/fragments.ts'

const CELLS =
  "<vcpu>4</vcpu><cpu><numa><cell id='0' cpus='0-1' memory='32' unit='MiB'/><cell id='1' cpus='2-3' memory='32' unit='MiB'/></numa></cpu>"

fragments('numatune', { in: 'domain', outside: CELLS, around: ['<numatune>', '</numatune>'], show: ['numatune'] })`
  <memory mode='strict' nodeset='0'/>
    = <numatune><memory mode='strict' nodeset='0'/></numatune>
  <memory nodeset='0-1'/>
    = <numatune><memory mode='strict' nodeset='0-1'/></numatune>
  <memory mode='preferred' nodeset='0'/>
    = <numatune><memory mode='preferred' nodeset='0'/></numatune>
  <memory mode='preferred' nodeset='0-1'/>
    = <numatune><memory mode='preferred' nodeset='0-1'/></numatune>
  <memory mode='interleave' nodeset='0-1,^1'/>
    = <numatune><memory mode='interleave' nodeset='0'/></numatune>
  <memory mode='restrictive' nodeset='0'/>
    = <numatune><memory mode='restrictive' nodeset='0'/></numatune>
  <memory placement='auto'/>
    = <numatune><memory mode='strict' placement='auto'/></numatune>
  <memory mode='x' nodeset='0'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Unsupported NUMA memory tuning mode 'x'
  <memory placement='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Unsupported NUMA memory placement mode 'x'
  <memory nodeset='x'/>
    ! VIR_ERR_INVALID_ARG: invalid argument: Failed to parse bitmap 'x'
  <memory nodeset='^0'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid value of 'nodeset': ^0
  <memory/>
    -
  <memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/>
    = <numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/></numatune>
  <memnode cellid='1' mode='preferred' nodeset='0'/>
    = <numatune><memnode cellid='1' mode='preferred' nodeset='0'/></numatune>
  <memnode cellid='2' nodeset='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Argument 'cellid' in memnode element must correspond to existing guest's NUMA cell
  <memnode cellid='0' nodeset='0'/><memnode cellid='0' nodeset='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Multiple memnode elements with cellid 0
  <memnode nodeset='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'cellid' in element 'memnode'
  <memnode cellid='x' nodeset='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'cellid' in element 'memnode': 'x'. Expected non-negative integer value
  <memnode cellid='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required nodeset attribute in memnode element
  <memnode cellid='0' mode='x' nodeset='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'memnode': 'x'.
  <memory mode='restrictive' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/>
    ! VIR_ERR_XML_ERROR: XML error: 'restrictive' mode is required in memnode element when mode is 'restrictive' in memory element
  <memory placement='auto'/><memnode cellid='0' mode='strict' nodeset='0'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Per-node binding is not compatible with automatic NUMA placement.
`

fragments('cells', {
  in: 'domain',
  outside: '<vcpu>4</vcpu>',
  around: ['<cpu><numa>', '</numa></cpu>'],
  show: ['cpu']
})`
  <cell cpus='0-1' memory='32' unit='MiB'/><cell cpus='2-3' memory='32' unit='MiB'/>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-1' memory='32768' unit='KiB'/><cell id='1' cpus='2-3' memory='32768' unit='KiB'/></numa></cpu>
  <cell id='1' cpus='0-1' memory='32' unit='MiB'/><cell id='0' cpus='2-3' memory='32' unit='MiB'/>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='2-3' memory='32768' unit='KiB'/><cell id='1' cpus='0-1' memory='32768' unit='KiB'/></numa></cpu>
  <cell id='0' cpus='0-3' memory='65536' memAccess='shared' discard='yes'/>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-3' memory='65536' unit='KiB' memAccess='shared' discard='yes'/></numa></cpu>
  <cell id='0' cpus='0-3' memory='32' unit='MiB'/><cell id='1' memory='32' unit='MiB'/>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-3' memory='32768' unit='KiB'/><cell id='1' memory='32768' unit='KiB'/></numa></cpu>
  <cell id='0' cpus='0-1' memory='32' unit='MiB'><distances><sibling id='0' value='10'/><sibling id='1' value='21'/></distances></cell><cell id='1' cpus='2-3' memory='32' unit='MiB'/>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-1' memory='32768' unit='KiB'><distances><sibling id='0' value='10'/><sibling id='1' value='21'/></distances></cell><cell id='1' cpus='2-3' memory='32768' unit='KiB'><distances><sibling id='0' value='21'/><sibling id='1' value='10'/></distances></cell></numa></cpu>
  <cell id='0' cpus='0-1' memory='32' unit='MiB'/><cell id='0' cpus='2-3' memory='32' unit='MiB'/>
    ! VIR_ERR_XML_ERROR: XML error: Duplicate NUMA cell info for cell id '0'
  <cell id='2' cpus='0-1' memory='32' unit='MiB'/>
    ! VIR_ERR_XML_ERROR: XML error: Exactly one 'cell' element per guest NUMA cell allowed, non-contiguous ranges or ranges not starting from 0 are not allowed
  <cell id='x' cpus='0-1' memory='32' unit='MiB'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'id' in element 'cell': 'x'. Expected non-negative integer value
  <cell id='0' cpus='0-1'/>
    ! VIR_ERR_XML_ERROR: XML error: missing element or attribute './@memory'
  <cell id='0' cpus='x' memory='32'/>
    ! VIR_ERR_INVALID_ARG: invalid argument: Failed to parse bitmap 'x'
  <cell id='0' cpus='0-9' memory='32' unit='MiB'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: Number of CPUs in <numa> exceeds the <vcpu> count
  <cell id='0' cpus='0-1' memory='32' unit='MiB'/><cell id='1' cpus='1-3' memory='32' unit='MiB'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: NUMA cells 1 and 0 have overlapping vCPU ids
  <cell id='0' cpus='0-3' memory='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './@memory'
  <cell id='0' cpus='0-3' memory='32' unit='x'/>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
  <cell id='0' cpus='0-3' memory='32' unit='MiB' memAccess='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'memAccess' in element 'cell': 'x'.
  <cell id='0' cpus='0-3' memory='32' unit='MiB' discard='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'discard' in element 'cell': 'x'.
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><distances><sibling id='0' value='9'/></distances></cell>
    ! VIR_ERR_XML_ERROR: XML error: 'value 9' is invalid for 'sibling id 0' under NUMA 'cell id 0'
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><distances><sibling id='0' value='20'/></distances></cell>
    ! VIR_ERR_XML_ERROR: XML error: 'value 20' is invalid for 'sibling id 0' under NUMA 'cell id 0'
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><distances><sibling id='7' value='20'/></distances></cell>
    ! VIR_ERR_XML_ERROR: XML error: 'sibling_id 7' does not refer to a valid cell within NUMA 'cell id 0'
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><distances><sibling value='20'/></distances></cell>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'id' in element 'sibling'
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><distances><sibling id='0' value='x'/></distances></cell>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'value' in element 'sibling': 'x'. Expected non-negative integer value
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><cache level='1' associativity='direct' policy='writeback'><size value='10' unit='KiB'/><line value='8' unit='B'/></cache></cell>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-3' memory='32768' unit='KiB'><cache level='1' associativity='direct' policy='writeback'><size value='10' unit='KiB'/><line value='8' unit='B'/></cache></cell></numa></cpu>
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><cache level='1' associativity='x' policy='writeback'><size value='10' unit='KiB'/><line value='8' unit='B'/></cache></cell>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'associativity' in element 'cache': 'x'.
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><cache level='1' associativity='direct' policy='x'><size value='10' unit='KiB'/><line value='8' unit='B'/></cache></cell>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'policy' in element 'cache': 'x'.
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><cache level='0' associativity='direct' policy='none'><size value='10' unit='KiB'/><line value='8' unit='B'/></cache></cell>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'level' in element 'cache': Zero is not permitted
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><cache level='1' associativity='direct' policy='none'><line value='8' unit='B'/></cache></cell>
    ! VIR_ERR_XML_ERROR: XML error: missing element or attribute './size/@value'
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><cache level='1' associativity='direct' policy='none'><size value='10' unit='KiB'/></cache></cell>
    ! VIR_ERR_XML_ERROR: XML error: missing element or attribute './line/@value'
  <cell id='0' cpus='0-3' memory='32' unit='MiB'><cache level='1' associativity='direct' policy='none'><size value='1' unit='KiB'/><line value='8' unit='B'/></cache><cache level='1' associativity='direct' policy='none'><size value='1' unit='KiB'/><line value='8' unit='B'/></cache></cell>
    ! VIR_ERR_XML_ERROR: XML error: Cache level '1' already defined
`

fragments('interconnects', {
  in: 'domain',
  outside: '<vcpu>4</vcpu>',
  around: [
    "<cpu><numa><cell id='0' cpus='0-1' memory='32' unit='MiB'><cache level='1' associativity='direct' policy='none'><size value='1' unit='KiB'/><line value='8' unit='B'/></cache></cell><cell id='1' cpus='2-3' memory='32' unit='MiB'/><interconnects>",
    '</interconnects></numa></cpu>'
  ],
  show: ['cpu']
})`
  <latency initiator='0' target='0' type='access' value='5'/><latency initiator='0' target='0' cache='1' type='read' value='10'/><bandwidth initiator='0' target='0' type='access' value='204800' unit='KiB'/>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-1' memory='32768' unit='KiB'><cache level='1' associativity='direct' policy='none'><size value='1' unit='KiB'/><line value='8' unit='B'/></cache></cell><cell id='1' cpus='2-3' memory='32768' unit='KiB'/><interconnects><latency initiator='0' target='0' type='access' value='5'/><latency initiator='0' target='0' cache='1' type='read' value='10'/><bandwidth initiator='0' target='0' type='access' value='204800' unit='KiB'/></interconnects></numa></cpu>
  <bandwidth initiator='0' target='1' cache='1' type='write' value='1' unit='GiB'/>
    ! VIR_ERR_XML_ERROR: XML error: 'cache' refers to a non-existent NUMA node cache
  <latency target='0' type='access' value='5'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'initiator' in element 'latency'
  <latency initiator='0' type='access' value='5'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'target' in element 'latency'
  <latency initiator='0' target='0' value='5'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'latency'
  <latency initiator='0' target='0' type='x' value='5'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'latency': 'x'.
  <latency initiator='0' target='0' type='access'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'value' in element 'latency'
  <latency initiator='0' target='0' type='access' value='0'/>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-1' memory='32768' unit='KiB'><cache level='1' associativity='direct' policy='none'><size value='1' unit='KiB'/><line value='8' unit='B'/></cache></cell><cell id='1' cpus='2-3' memory='32768' unit='KiB'/><interconnects><latency initiator='0' target='0' type='access' value='0'/></interconnects></numa></cpu>
  <latency initiator='x' target='0' type='access' value='5'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'initiator' in element 'latency': 'x'. Expected non-negative integer value
  <latency initiator='7' target='0' type='access' value='5'/>
    ! VIR_ERR_XML_ERROR: XML error: 'initiator' refers to a non-existent NUMA node
  <latency initiator='0' target='7' type='access' value='5'/>
    ! VIR_ERR_XML_ERROR: XML error: 'target' refers to a non-existent NUMA node
  <latency initiator='0' target='0' cache='3' type='access' value='5'/>
    ! VIR_ERR_XML_ERROR: XML error: 'cache' refers to a non-existent NUMA node cache
  <latency initiator='0' target='0' type='access' value='5'/><latency initiator='0' target='0' type='access' value='6'/>
    ! VIR_ERR_XML_ERROR: XML error: Duplicate info for NUMA latencies
  <bandwidth initiator='0' target='0' type='access' value='1' unit='x'/>
    ! VIR_ERR_INVALID_ARG: invalid argument: unknown suffix 'x'
  <bandwidth initiator='0' target='0' type='access' value='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './@value'
  <bandwidth initiator='0' target='0' type='access' value='1' unit='KiB'/><bandwidth initiator='0' target='0' type='access' value='2' unit='KiB'/>
    ! VIR_ERR_XML_ERROR: XML error: Duplicate info for NUMA latencies
  <nosuch initiator='0'/>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-1' memory='32768' unit='KiB'><cache level='1' associativity='direct' policy='none'><size value='1' unit='KiB'/><line value='8' unit='B'/></cache></cell><cell id='1' cpus='2-3' memory='32768' unit='KiB'/></numa></cpu>
`

fragments('one cell where memory can be plugged', { in: 'domain', outside: '<vcpu>4</vcpu>', show: ['cpu'] })`
  <maxMemory slots='2' unit='GiB'>1</maxMemory>
    = <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model><numa><cell id='0' cpus='0-3' memory='65536' unit='KiB'/></numa></cpu>
  <maxMemory slots='2' unit='GiB'>1</maxMemory><cpu mode='custom' match='exact'><model>Nehalem</model></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow'>Nehalem</model><numa><cell id='0' cpus='0-3' memory='65536' unit='KiB'/></numa></cpu>
`

fragments('memory devices belong to the one cell', {
  outside: "<maxMemory slots='2' unit='GiB'>1</maxMemory>",
  show: ['memory']
})`
  <memory model='dimm'><target><size unit='MiB'>32</size></target></memory>
    = <memory model='dimm'><target><size unit='KiB'>32768</size><node>0</node></target></memory>
  <memory model='dimm'><target><size unit='MiB'>128</size></target></memory>
    ! VIR_ERR_XML_ERROR: XML error: Total size of memory devices exceeds the total memory size
`
