// Limits of disks and interfaces: what is asked, and what of the answer is shown.
import { throttle } from '../../../src/client/commands/throttle.ts'
import { BOOM, checkRows } from '../../helper/command-rows.ts'

const GROUPS = `<domain><throttlegroups>
  <throttlegroup><group_name>slow</group_name><total_iops_sec>5</total_iops_sec></throttlegroup>
  <throttlegroup><group_name>slower</group_name></throttlegroup></throttlegroups></domain>`

await checkRows(throttle, [
  [
    'blkdeviotune tiny vda',
    { virDomainGetBlockIoTune: { params: { total_bytes_sec: 0, group_name: '', size_iops_sec: 512 } } },
    ['virDomainGetBlockIoTune {"flags":0}', 'virDomainGetBlockIoTune {"disk":"vda","flags":0}'],
    'total_bytes_sec: 0\ngroup_name     : \nsize_iops_sec  : 512\n'
  ],
  [
    'blkdeviotune tiny vda --live',
    { virDomainGetBlockIoTune: BOOM },
    ['virDomainGetBlockIoTune {"flags":1}'],
    '',
    ['Unable to get number of block I/O throttle parameters', 'it went wrong']
  ],
  [
    'blkdeviotune tiny vda --config --size-iops-sec 4 --total-bytes-sec 2k --write-iops-sec-max-length 7 --group-name g',
    { virDomainSetBlockIoTune: {} },
    [
      'virDomainSetBlockIoTune {"disk":"vda","params":{"total_bytes_sec":2048,"size_iops_sec":4,"write_iops_sec_max_length":7,"group_name":"g"},"flags":2}'
    ],
    ''
  ],
  [
    'blkdeviotune tiny vda --total-iops-sec 1',
    { virDomainSetBlockIoTune: BOOM },
    ['virDomainSetBlockIoTune {"disk":"vda","params":{"total_iops_sec":1},"flags":0}'],
    '',
    ['Unable to change block I/O throttle', 'it went wrong']
  ],
  [
    'blkdeviotune tiny vda --total-iops-sec 1k',
    {},
    [],
    '',
    ["Numeric value '1k' for <total-iops-sec> option is malformed or out of range", 'Unable to parse integer parameter']
  ],
  [
    'domthrottlegroupset tiny slow --read-bytes-sec 1M --live',
    { virDomainSetThrottleGroup: {} },
    ['virDomainSetThrottleGroup {"group":"slow","params":{"read_bytes_sec":1048576,"group_name":"slow"},"flags":1}'],
    'Throttle group set successfully\n'
  ],
  [
    'domthrottlegroupdel tiny slow',
    { virDomainDelThrottleGroup: {} },
    ['virDomainDelThrottleGroup {"group":"slow","flags":0}'],
    'Throttle group deleted successfully\n'
  ],
  [
    'domthrottlegrouplist tiny --inactive',
    { virDomainGetXMLDesc: { xml: GROUPS } },
    ['virDomainGetXMLDesc {"flags":2}'],
    ' Name\n---\n slow\n slower\n'
  ],
  [
    'domthrottlegroupinfo tiny slow',
    { virDomainGetXMLDesc: { xml: GROUPS } },
    ['virDomainGetXMLDesc {"flags":0}'],
    'total_iops_sec : 5\n'
  ],
  ['domthrottlegroupinfo tiny none', { virDomainGetXMLDesc: { xml: GROUPS } }, ['virDomainGetXMLDesc {"flags":0}'], ''],
  [
    'domblkthreshold tiny vda[1] 1k',
    { virDomainSetBlockThreshold: {} },
    ['virDomainSetBlockThreshold {"dev":"vda[1]","threshold":1024}'],
    ''
  ],
  [
    'blockresize tiny vda 10M',
    { virDomainBlockResize: {} },
    ['virDomainBlockResize {"disk":"vda","size":10240,"flags":0}'],
    "Block device 'vda' is resized"
  ],
  [
    'blockresize tiny vda 1001B',
    { virDomainBlockResize: {} },
    ['virDomainBlockResize {"disk":"vda","size":1001,"flags":1}'],
    "Block device 'vda' is resized"
  ],
  [
    'blockresize tiny vda --capacity',
    { virDomainBlockResize: BOOM },
    ['virDomainBlockResize {"disk":"vda","size":0,"flags":2}'],
    '',
    ["Failed to resize block device 'vda'", 'it went wrong']
  ],
  ['blockresize tiny vda', {}, [], '', ['Either --size or --capacity must be provided']],
  ['domdisplay-reload tiny --type 1', { virDomainGraphicsReload: {} }, ['virDomainGraphicsReload {"type":1}'], ''],
  [
    'domiftune tiny vnet0',
    { virDomainGetInterfaceParameters: { params: { 'inbound.average': 1, 'outbound.average': 0 } } },
    ['virDomainGetInterfaceParameters {"flags":0}', 'virDomainGetInterfaceParameters {"device":"vnet0","flags":0}'],
    'inbound.average: 1\noutbound.average: 0\n'
  ],
  [
    'domiftune tiny vnet0 --inbound 1,2,3 --outbound 0 --config',
    { virDomainSetInterfaceParameters: {} },
    [
      'virDomainSetInterfaceParameters {"device":"vnet0","params":{"inbound.average":1,"inbound.peak":2,"inbound.burst":3,"outbound.average":0},"flags":2}'
    ],
    ''
  ],
  ['domiftune tiny vnet0 --inbound 1,2,3,4,5', {}, [], '', ["Rate string '1,2,3,4,5' has too many fields"]],
  ['domiftune tiny vnet0 --inbound x', {}, [], '', ["field 'average' is malformed"]],
  ['domiftune tiny vnet0 --inbound 0,1', {}, [], '', ['either inbound average or floor is mandatory']],
  ['domiftune tiny vnet0 --outbound 0,1', {}, [], '', ['outbound average is mandatory']],
  ['domiftune tiny vnet0 --outbound 1,1,1,1', {}, [], '', ['outbound floor is unsupported yet']],
  ['domiftune tiny vnet0 --outbound 4294967296', {}, [], '', ['outbound rate larger than maximum 4294967295']]
])
