// Elements of a domain that take a table of a few rows each.
import { fragments } from '../../helper/fragments.ts'

fragments('idmap', { in: 'domain', around: ['<idmap>', '</idmap>'], show: ['idmap'] })`
  <uid start='0' target='1000' count='10'/><gid start='0' target='1000' count='10'/>
    = <idmap><uid start='0' target='1000' count='10'/><gid start='0' target='1000' count='10'/></idmap>
  <uid start='5' target='9' count='1'/><uid start='0' target='7' count='1'/><gid start='0' target='7' count='1'/>
    = <idmap><uid start='0' target='7' count='1'/><uid start='5' target='9' count='1'/><gid start='0' target='7' count='1'/></idmap>
  <uid start='0' target='1000' count='10'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: uid and gid should be mapped both
  <gid start='0' target='1000' count='10'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: uid and gid should be mapped both
  <uid start='1' target='1000' count='10'/><gid start='0' target='1000' count='10'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: You must map the root user of container
  <uid start='x' target='1000' count='10'/><gid start='0' target='1000' count='10'/>
    ! VIR_ERR_XML_ERROR: XML error: invalid idmap start/target/count settings
  <uid target='1000' count='10'/><gid start='0' target='1000' count='10'/>
    ! VIR_ERR_XML_ERROR: XML error: invalid idmap start/target/count settings
`

fragments('keywrap', { in: 'domain', around: ['<keywrap>', '</keywrap>'], show: ['keywrap'] })`
  <cipher name='aes' state='on'/>
    = <keywrap><cipher name='aes' state='on'/></keywrap>
  <cipher name='aes' state='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'state' in element 'cipher': 'x'.
  <cipher name='x' state='on'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'name' in element 'cipher': 'x'.
  <cipher state='on'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'name' in element 'cipher'
  <cipher name='aes'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'state' in element 'cipher'
  <cipher name='aes' state='on'/><cipher name='aes' state='off'/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: A domain definition can have no more than one cipher node with name aes
`

fragments('launchSecurity', { in: 'domain', machine: 'q35' })`
  <launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0001</policy></launchSecurity>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 'sev' launch security is not supported with this QEMU binary
  <launchSecurity type='sev'><policy>x</policy></launchSecurity>
    ! VIR_ERR_XML_ERROR: XML error: failed to get launch security policy
  <launchSecurity type='sev'/>
    ! VIR_ERR_XML_ERROR: XML error: failed to get launch security policy
  <launchSecurity type='sev'><cbitpos>x</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>1</policy></launchSecurity>
    ! VIR_ERR_XML_ERROR: XML error: Invalid format for launch security cbitpos
  <launchSecurity type='sev'><cbitpos>1</cbitpos><reducedPhysBits>x</reducedPhysBits><policy>1</policy></launchSecurity>
    ! VIR_ERR_XML_ERROR: XML error: Invalid format for launch security reduced-phys-bits
  <launchSecurity type='sev' kernelHashes='x'><policy>1</policy></launchSecurity>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'kernelHashes' in element 'launchSecurity': 'x'.
  <launchSecurity type='s390-pv'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: 's390-pv' launch security is not supported with this QEMU binary
  <launchSecurity type='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'type' in element 'launchSecurity': 'x'.
  <launchSecurity/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'type' in element 'launchSecurity'
`

fragments('perf', { in: 'domain', around: ['<perf>', '</perf>'], show: ['perf'] })`
  <event name='cmt' enabled='yes'/><event name='mbmt' enabled='no'/>
    = <perf><event name='cmt' enabled='yes'/><event name='mbmt' enabled='no'/></perf>
  <event name='instructions' enabled='yes'/><event name='cpu_cycles' enabled='yes'/>
    = <perf><event name='cpu_cycles' enabled='yes'/><event name='instructions' enabled='yes'/></perf>
  <event name='x' enabled='yes'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'name' in element 'event': 'x'.
  <event name='cmt' enabled='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'enabled' in element 'event': 'x'.
  <event name='cmt'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'enabled' in element 'event'
  <event enabled='yes'/>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'name' in element 'event'
  <event name='cmt' enabled='yes'/><event name='cmt' enabled='no'/>
    ! VIR_ERR_XML_ERROR: XML error: perf event 'cmt' was already specified
`

fragments('pm', { in: 'domain', around: ['<pm>', '</pm>'], show: ['pm'] })`
  <suspend-to-disk enabled='no'/><suspend-to-mem enabled='yes'/>
    = <pm><suspend-to-mem enabled='yes'/><suspend-to-disk enabled='no'/></pm>
  <suspend-to-disk/>
    -
  <suspend-to-mem enabled='x'/>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'enabled' in element 'suspend-to-mem': 'x'.
`

// Differs from libvirt: its error has the same code, but no message of its own.
fragments('resource', { in: 'domain' })`
  <resource><partition>/machine/production</partition></resource>
    =
  <resource><partition>relative</partition></resource>
    =
  <resource><fibrechannel appid='userProvidedID'/></resource>
    =
  <resource><fibrechannel appid=''/></resource>
    ! VIR_ERR_INTERNAL_ERROR: internal error: element resource says nothing
  <resource><fibrechannel/></resource>
    ! VIR_ERR_INTERNAL_ERROR: internal error: element resource says nothing
  <resource/>
    ! VIR_ERR_INTERNAL_ERROR: internal error: element resource says nothing
  <resource><partition/></resource>
    ! VIR_ERR_INTERNAL_ERROR: internal error: element resource says nothing
`

fragments('vcpu', { in: 'domain', show: ['vcpu', 'vcpus'] })`
  <vcpu>4</vcpu>
    = <vcpu placement='static'>4</vcpu>
  <vcpu placement='static' cpuset='0-1,^0' current='1'>2</vcpu>
    = <vcpu placement='static' cpuset='1' current='1'>2</vcpu>
  <vcpu placement='x'>1</vcpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'placement' in element 'vcpu': 'x'.
  <vcpu cpuset='x'>1</vcpu>
    ! VIR_ERR_INVALID_ARG: invalid argument: Failed to parse bitmap 'x'
  <vcpu cpuset='^0'>1</vcpu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid value of 'cpuset': ^0
  <vcpu current='x'>1</vcpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'current' in element 'vcpu': 'x'. Expected non-negative integer value
  <vcpu current='0'>2</vcpu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: vcpu 0 can't be offline
  <vcpu>0</vcpu>
    ! VIR_ERR_INTERNAL_ERROR: internal error: CPU IDs in <numa> exceed the <vcpu> count
  <vcpu>x</vcpu>
    ! VIR_ERR_XML_ERROR: XML error: maximum vcpus count must be an integer
  <vcpu>256</vcpu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Maximum CPUs greater than specified machine type limit 255
  <vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/><vcpu id='1' enabled='no' hotpluggable='yes' order='1'/></vcpus>
    = <vcpu placement='static' current='1'>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/><vcpu id='1' enabled='no' hotpluggable='yes' order='1'/></vcpus>
  <vcpu>2</vcpu><vcpus><vcpu id='1' enabled='yes'/></vcpus>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: vcpu 0 can't be offline
  <vcpu>2</vcpu><vcpus><vcpu id='0' enabled='no'/></vcpus>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: vcpu 0 can't be offline
  <vcpu>2</vcpu><vcpus><vcpu id='0' enabled='no' hotpluggable='no'/><vcpu id='1' enabled='yes'/></vcpus>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: vcpu 0 can't be offline
  <vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes'/><vcpu id='0' enabled='yes'/></vcpus>
    = <vcpu placement='static' current='1'>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/><vcpu id='1' enabled='no' hotpluggable='yes'/></vcpus>
  <vcpu>2</vcpu><vcpus><vcpu id='x' enabled='yes'/></vcpus>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'id' in element 'vcpu': 'x'. Expected non-negative integer value
  <vcpu>2</vcpu><vcpus><vcpu enabled='yes'/></vcpus>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'id' in element 'vcpu'
  <vcpu>2</vcpu><vcpus><vcpu id='0'/></vcpus>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'enabled' in element 'vcpu'
  <vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes' order='0'/></vcpus>
    = <vcpu placement='static' current='1'>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/><vcpu id='1' enabled='no' hotpluggable='yes'/></vcpus>
  <vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes' order='1'/><vcpu id='1' enabled='yes' order='1'/></vcpus>
    = <vcpu placement='static'>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no' order='1'/><vcpu id='1' enabled='yes' hotpluggable='no' order='1'/></vcpus>
  <vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes' order='1'/><vcpu id='1' enabled='yes'/></vcpus>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: all vcpus must have either set or unset order
`

fragments('cpu', { in: 'domain', outside: '<vcpu>4</vcpu>', show: ['cpu'] })`
  <cpu match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
    -
  <cpu mode='custom'><model>qemu64</model><topology sockets='1' cores='2' threads='2'/></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><topology sockets='1' dies='1' clusters='1' cores='2' threads='2'/></cpu>
  <cpu mode='custom'><model>qemu64</model><topology sockets='1' dies='2' cores='2' threads='1'/></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><topology sockets='1' dies='2' clusters='1' cores='2' threads='1'/></cpu>
  <cpu mode='custom'><model>qemu64</model><topology sockets='1' cores='2' threads='1'/></cpu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: CPU topology doesn't match maximum vcpu count
  <cpu mode='custom'><model>qemu64</model><topology sockets='0' cores='2' threads='1'/></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'sockets' in element 'topology': Zero is not permitted
  <cpu mode='custom'><model>qemu64</model><topology cores='2' threads='1'/></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Missing required attribute 'sockets' in element 'topology'
  <cpu mode='custom'><model>qemu64</model><vendor>Intel</vendor><feature policy='disable' name='svm'/><feature name='vmx'/></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><vendor>Intel</vendor><feature policy='disable' name='svm'/><feature policy='require' name='vmx'/></cpu>
  <cpu mode='custom'><model>qemu64</model><feature policy='x' name='svm'/></cpu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid CPU feature policy
  <cpu mode='custom'><model>qemu64</model><feature policy='require'/></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid CPU feature name
  <cpu mode='custom'><model>qemu64</model><feature name='svm'/><feature name='svm'/></cpu>
    ! VIR_ERR_XML_ERROR: XML error: CPU feature 'svm' specified more than once
  <cpu mode='custom'><model>qemu64</model><vendor/></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model></cpu>
  <cpu mode='custom'><model fallback='x'>qemu64</model></cpu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid fallback attribute
  <cpu mode='custom'><model vendor_id='AuthenticAMD'>qemu64</model></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow' vendor_id='AuthenticAMD'>qemu64</model></cpu>
  <cpu mode='custom'><model vendor_id='short'>qemu64</model></cpu>
    ! VIR_ERR_XML_ERROR: XML error: vendor_id must be exactly 12 characters long
  <cpu mode='custom'><model vendor_id='Authentic,MD'>qemu64</model></cpu>
    ! VIR_ERR_XML_ERROR: XML error: vendor id is invalid
  <cpu mode='custom'><model>qemu64</model><cache level='3' mode='emulate'/></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><cache level='3' mode='emulate'/></cpu>
  <cpu mode='custom'><model>qemu64</model><cache mode='x'/></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'cache': 'x'.
  <cpu mode='custom'><model>qemu64</model><cache level='4' mode='emulate'/></cpu>
    ! VIR_ERR_XML_ERROR: XML error: invalid CPU cache level, must be in range [1,3]
  <cpu mode='custom'><model>qemu64</model><maxphysaddr mode='emulate' bits='42'/></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><maxphysaddr mode='emulate' bits='42'/></cpu>
  <cpu mode='custom'><model>qemu64</model><maxphysaddr mode='passthrough' limit='39'/></cpu>
    = <cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model><maxphysaddr mode='passthrough' limit='39'/></cpu>
  <cpu mode='custom'><model>qemu64</model><maxphysaddr mode='emulate' bits='42' limit='39'/></cpu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: attribute 'limit' is only supported for maxphysaddr mode 'passthrough'
  <cpu mode='custom'><model>qemu64</model><maxphysaddr mode='passthrough' limit='0'/></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'limit' in element 'maxphysaddr': Zero is not permitted
  <cpu mode='custom' deprecated_features='off'><model>qemu64</model></cpu>
    = <cpu mode='custom' match='exact' check='none' deprecated_features='off'><model fallback='allow'>qemu64</model></cpu>
  <cpu mode='custom' deprecated_features='yes'><model>qemu64</model></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'deprecated_features' in element 'cpu': 'yes'.
  <cpu mode='custom'><model>qemu64</model><maxphysaddr mode='x'/></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'mode' in element 'maxphysaddr': 'x'.
  <cpu mode='custom' match='x'><model>qemu64</model></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'match' in element 'cpu': 'x'.
  <cpu mode='custom' check='x'><model>qemu64</model></cpu>
    ! VIR_ERR_XML_ERROR: XML error: Invalid value for attribute 'check' in element 'cpu': 'x'.
  <cpu mode='x'/>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Invalid mode attribute 'x'
  <cpu mode='maximum'/>
    = <cpu mode='maximum' check='none'/>
  <cpu mode='maximum' migratable='off'/>
    = <cpu mode='maximum' check='none' migratable='off'/>
  <cpu mode='custom' migratable='on'><model>qemu64</model></cpu>
    ! VIR_ERR_CONFIG_UNSUPPORTED: unsupported configuration: Attribute migratable is only allowed for 'host-passthrough' / 'maximum' CPU mode
  <cpu mode='host-passthrough'/>
    = <cpu mode='host-passthrough' check='none' migratable='on'/>
`
