import { fragments } from '../../helper/fragments.ts'

fragments('times', { in: 'domain', around: ['<cputune>', '</cputune>'], show: ['cputune'] })`
  <shares>2048</shares>
    = <cputune><shares>2048</shares></cputune>
  <shares>0</shares>
    = <cputune><shares>0</shares></cputune>
  <shares>262145</shares>
    = <cputune><shares>262145</shares></cputune>
  <shares>x</shares>
    ! VIR_ERR_XML_ERROR: XML error: can't parse cputune shares value
  <period>1000000</period><quota>-1</quota>
    = <cputune><period>1000000</period><quota>-1</quota></cputune>
  <period>999</period>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Value of cputune 'period' must be in range [1000, 1000000]
  <period>1000001</period>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Value of cputune 'period' must be in range [1000, 1000000]
  <quota>999</quota>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Value of cputune 'quota' must be in range [1000, 17592186044415]
  <quota>17592186044416</quota>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Value of cputune 'quota' must be in range [1000, 17592186044415]
  <quota>x</quota>
    ! VIR_ERR_XML_ERROR: XML error: can't parse cputune quota value
  <global_period>1000</global_period><global_quota>17592186044415</global_quota>
    = <cputune><global_period>1000</global_period><global_quota>17592186044415</global_quota></cputune>
  <emulator_period>1</emulator_period>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Value of cputune 'emulator_period' must be in range [1000, 1000000]
  <emulator_quota>2000</emulator_quota>
    = <cputune><emulator_quota>2000</emulator_quota></cputune>
  <iothread_period>2000</iothread_period><iothread_quota>2000</iothread_quota>
    = <cputune><iothread_period>2000</iothread_period><iothread_quota>2000</iothread_quota></cputune>
  <iothread_quota>1</iothread_quota>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Value of cputune 'iothread_quota' must be in range [1000, 17592186044415]
  <nosuch/>
    -
`

fragments('pins and schedulers', {
  in: 'domain',
  outside: '<vcpu>4</vcpu><iothreads>2</iothreads>',
  around: ['<cputune>', '</cputune>'],
  show: ['cputune']
})`
  <vcpupin vcpu='0' cpuset='1-4,^2'/><vcpupin vcpu='1' cpuset='0,1'/>
    = <cputune><vcpupin vcpu='0' cpuset='1,3-4'/><vcpupin vcpu='1' cpuset='0-1'/></cputune>
  <vcpupin vcpu='1' cpuset='0'/><vcpupin vcpu='0' cpuset='0'/>
    = <cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='1' cpuset='0'/></cputune>
  <vcpupin vcpu='4' cpuset='0'/>
    -
  <vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='0' cpuset='1'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: duplicate vcpupin for vcpu '0'
  <vcpupin cpuset='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'vcpu' in element 'vcpupin'
  <vcpupin vcpu='x' cpuset='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'vcpu' in element 'vcpupin': 'x'. Expected non-negative integer value
  <vcpupin vcpu='0'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: missing cpuset for vcpupin
  <vcpupin vcpu='0' cpuset='x'/>
    ! VIR_ERR_INVALID_ARG: invalid argument: Failed to parse bitmap 'x'
  <vcpupin vcpu='0' cpuset='^0'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid value of 'cpuset': ^0
  <emulatorpin cpuset='1-3'/>
    = <cputune><emulatorpin cpuset='1-3'/></cputune>
  <emulatorpin/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: missing cpuset for emulatorpin
  <emulatorpin cpuset='0'/><emulatorpin cpuset='1'/>
    ! VIR_ERR_XML_ERROR: XML error: only one emulatorpin is supported
  <iothreadpin iothread='1' cpuset='5,6'/>
    = <cputune><iothreadpin iothread='1' cpuset='5-6'/></cputune>
  <iothreadpin iothread='0' cpuset='5,6'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'iothread' in element 'iothreadpin': Zero is not permitted
  <iothreadpin iothread='3' cpuset='5,6'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Cannot find 'iothread' : 3
  <iothreadpin cpuset='5'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'iothread' in element 'iothreadpin'
  <iothreadpin iothread='1'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: missing cpuset for iothreadpin
  <iothreadpin iothread='1' cpuset='5'/><iothreadpin iothread='1' cpuset='6'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: duplicate iothreadpin for same iothread '1'
  <vcpusched vcpus='0-1' scheduler='fifo' priority='1'/><vcpusched vcpus='2' scheduler='batch'/>
    = <cputune><vcpusched vcpus='0' scheduler='fifo' priority='1'/><vcpusched vcpus='1' scheduler='fifo' priority='1'/><vcpusched vcpus='2' scheduler='batch'/></cputune>
  <vcpusched vcpus='3-0' scheduler='batch'/>
    ! VIR_ERR_INVALID_ARG: invalid argument: Failed to parse bitmap '3-0'
  <vcpusched vcpus='0' scheduler='idle' priority='3'/>
    = <cputune><vcpusched vcpus='0' scheduler='idle'/></cputune>
  <vcpusched vcpus='0' scheduler='rr'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'priority' in element 'vcpusched'
  <vcpusched vcpus='0' scheduler='rr' priority='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'priority' in element 'vcpusched': 'x'. Expected integer value
  <vcpusched vcpus='0' scheduler='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'scheduler' in element 'vcpusched': 'x'.
  <vcpusched vcpus='0'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'scheduler' in element 'vcpusched'
  <vcpusched scheduler='batch'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing attribute 'vcpus' in element 'vcpusched'
  <vcpusched vcpus='^0' scheduler='batch'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'vcpus' scheduler bitmap '^0' is empty
  <vcpusched vcpus='0-1' scheduler='batch'/><vcpusched vcpus='1' scheduler='idle'/>
    ! VIR_ERR_XML_DETAIL: 'vcpusched' attributes 'vcpus' must not overlap
  <vcpusched vcpus='9' scheduler='batch'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: vCPU '9' is not present in domain definition
  <iothreadsched iothreads='1,2' scheduler='rr' priority='5'/>
    = <cputune><iothreadsched iothreads='1' scheduler='rr' priority='5'/><iothreadsched iothreads='2' scheduler='rr' priority='5'/></cputune>
  <iothreadsched iothreads='3' scheduler='batch'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Cannot find 'iothread' : 3
  <iothreadsched iothreads='1' scheduler='batch'/><iothreadsched iothreads='1' scheduler='idle'/>
    ! VIR_ERR_XML_DETAIL: 'iothreadsched' attributes 'iothreads' must not overlap
  <emulatorsched scheduler='fifo' priority='2'/>
    = <cputune><emulatorsched scheduler='fifo' priority='2'/></cputune>
  <emulatorsched/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'scheduler' in element 'emulatorsched'
  <emulatorsched scheduler='batch'/><emulatorsched scheduler='batch'/>
    ! VIR_ERR_XML_ERROR: XML error: only one emulatorsched is supported
`

fragments('groups of resctrl', {
  in: 'domain',
  type: 'kvm',
  outside: '<vcpu>4</vcpu>',
  around: ['<cputune>', '</cputune>'],
  show: ['cputune']
})`
  <cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/><monitor level='3' vcpus='0-1'/></cachetune>
    = <cputune><cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/><monitor level='3' vcpus='0-1'/></cachetune></cputune>
  <cachetune vcpus='0-1'><cache id='0' level='3' type='code' size='3145728'/><cache id='1' level='3' type='data' size='1' unit='GiB'/></cachetune>
    = <cputune><cachetune vcpus='0-1'><cache id='0' level='3' type='code' size='3' unit='GiB'/><cache id='1' level='3' type='data' size='1' unit='GiB'/></cachetune></cputune>
  <cachetune vcpus='0'><monitor level='3' vcpus='0'/></cachetune>
    = <cputune><cachetune vcpus='0'><monitor level='3' vcpus='0'/></cachetune></cputune>
  <cachetune vcpus='0'/>
    -
  <cachetune/>
    ! VIR_ERR_XML_ERROR: XML error: Missing cachetune attribute 'vcpus'
  <cachetune vcpus='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid cachetune attribute 'vcpus' value 'x'
  <cachetune vcpus='9'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune>
    -
  <cachetune vcpus='0'><cache level='3' type='both' size='3' unit='MiB'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'id' in element 'cache'
  <cachetune vcpus='0'><cache id='0' type='both' size='3' unit='MiB'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'level' in element 'cache'
  <cachetune vcpus='0'><cache id='0' level='3' size='3' unit='MiB'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'cache'
  <cachetune vcpus='0'><cache id='0' level='3' type='x' size='3' unit='MiB'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'cache': 'x'.
  <cachetune vcpus='0'><cache id='0' level='3' type='both'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: missing element or attribute './@size'
  <cachetune vcpus='0'><cache id='0' level='3' type='both' size='x'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value 'x' for element or attribute './@size'
  <cachetune vcpus='0'><monitor level='x' vcpus='0'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'level' in element 'monitor': 'x'. Expected non-negative integer value
  <cachetune vcpus='0'><monitor vcpus='0'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'level' in element 'monitor'
  <cachetune vcpus='0'><monitor level='3' vcpus='1'/></cachetune>
    ! VIR_ERR_INVALID_ARG: invalid argument: Monitor vcpus conflicts with allocation
  <cachetune vcpus='0'><monitor level='2' vcpus='0'/></cachetune>
    ! VIR_ERR_XML_ERROR: XML error: Invalid monitor cache level '2'
  <memorytune vcpus='0-1'><node id='0' bandwidth='20'/><node id='1' bandwidth='30'/></memorytune>
    = <cputune><memorytune vcpus='0-1'><node id='0' bandwidth='20'/><node id='1' bandwidth='30'/></memorytune></cputune>
  <memorytune vcpus='0-1'><node id='0' bandwidth='20'/><node id='0' bandwidth='30'/></memorytune>
    ! VIR_ERR_XML_ERROR: XML error: Memory Bandwidth already defined for node 0
  <memorytune vcpus='0'><node id='0' bandwidth='101'/></memorytune>
    = <cputune><memorytune vcpus='0'><node id='0' bandwidth='101'/></memorytune></cputune>
  <memorytune vcpus='0'><node bandwidth='1'/></memorytune>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'id' in element 'node'
  <memorytune vcpus='0'><node id='0'/></memorytune>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'bandwidth' in element 'node'
  <memorytune vcpus='0'/>
    -
  <memorytune/>
    ! VIR_ERR_XML_ERROR: XML error: Missing memorytune attribute 'vcpus'
  <cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune><memorytune vcpus='0-1'><node id='0' bandwidth='20'/></memorytune>
    = <cputune><cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune><memorytune vcpus='0-1'><node id='0' bandwidth='20'/></memorytune></cputune>
  <cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune><memorytune vcpus='1-2'><node id='0' bandwidth='20'/></memorytune>
    ! VIR_ERR_XML_ERROR: XML error: Overlapping vcpus in resctrls
`
