// State and statistics, and which guests a list shows in which order.
import { monitor } from '../../../src/client/commands/monitor.ts'
import { BOOM, checkRows, type Row, uuidOf } from '../../helper/command-rows.ts'

await checkRows(monitor, [
  [
    'dominfo tiny',
    {
      virDomainGetOSType: { type: 'hvm' },
      virDomainGetInfo: { state: 1, maxMem: 2097152, memory: 1048576, nrVirtCpu: 2, cpuTime: 12_340_000_000n },
      virDomainIsPersistent: { persistent: 0 },
      virDomainGetAutostart: { autostart: 1 },
      virDomainGetAutostartOnce: { autostart: 0 },
      virDomainHasManagedSaveImage: { result: 1 },
      virNodeGetSecurityModel: { model: 'dac', doi: '0' },
      virDomainGetMessages: { msgs: ['tainted: one', 'deprecated: two'] }
    },
    [
      'virDomainGetOSType {}',
      'virDomainGetInfo {}',
      'virDomainIsPersistent {}',
      'virDomainGetAutostart {}',
      'virDomainGetAutostartOnce {}',
      'virDomainHasManagedSaveImage {}',
      'virNodeGetSecurityModel {}',
      'virDomainGetMessages {}'
    ],
    `Id:             3
Name:           tiny
UUID:           ${uuidOf(1)}
OS Type:        hvm
State:          running
CPU(s):         2
CPU time:       12.3s
Max memory:     2097152 KiB
Used memory:    1048576 KiB
Persistent:     no
Autostart:      enable
Autostart Once: disable
Managed save:   yes
Security model: dac
Security DOI:   0
Messages:       tainted: one
                deprecated: two
`
  ],
  [
    'dominfo off',
    {
      virDomainGetOSType: { type: 'hvm' },
      virDomainGetInfo: { state: 5, maxMem: 1, memory: 0, nrVirtCpu: 1, cpuTime: 0 },
      virDomainIsPersistent: { persistent: 1 },
      virDomainGetAutostart: { autostart: 0 },
      virDomainGetAutostartOnce: BOOM,
      // what an older shim does not have is left out
      virDomainHasManagedSaveImage: BOOM
    },
    [
      'virDomainGetOSType {}',
      'virDomainGetInfo {}',
      'virDomainIsPersistent {}',
      'virDomainGetAutostart {}',
      'virDomainGetAutostartOnce {}',
      'virDomainHasManagedSaveImage {}',
      'virNodeGetSecurityModel {}',
      'virDomainGetMessages {}'
    ],
    `Id:             -
Name:           off
UUID:           ${uuidOf(2)}
OS Type:        hvm
State:          shut off
CPU(s):         1
Max memory:     1 KiB
Used memory:    0 KiB
Persistent:     yes
Autostart:      disable
Managed save:   unknown
`
  ],
  ['domstate tiny', { virDomainGetState: { state: 3, reason: 5 } }, ['virDomainGetState {}'], 'paused\n'],
  [
    'domstate tiny --reason',
    { virDomainGetState: { state: 3, reason: 5 } },
    ['virDomainGetState {}'],
    'paused (I/O error)\n'
  ],
  [
    'domstate tiny --reason',
    { virDomainGetState: { state: 77, reason: 5 } },
    ['virDomainGetState {}'],
    'no state (unknown)\n'
  ],
  ...(
    [
      [0, 0, 0, 'ok\n'],
      [1, 0, 1500, 'background job (1.500s)\n'],
      [2, 0, 12n, 'occupied (0.012s)\n'],
      [3, 2, 0, 'error: monitor failure\n'],
      [3, 9, 0, 'error: unknown\n'],
      [3, 0, 0, 'error\n'],
      [9, 0, 0, 'unknown (0.000s)\n']
    ] as const
  ).map(
    ([state, details, stateTime, out]): Row => [
      'domcontrol tiny',
      { virDomainGetControlInfo: { state, details, stateTime } },
      ['virDomainGetControlInfo {}'],
      out
    ]
  ),
  [
    'domblkstat tiny vda',
    { virDomainBlockStatsFlags: { params: { wr_bytes: 2n ** 63n, rd_operations: 1, other: 5 } } },
    ['virDomainBlockStatsFlags {"path":"vda"}'],
    'vda rd_req 1\nvda wr_bytes 9223372036854775808\nvda other 5\n'
  ],
  [
    'domblkstat tiny --human',
    { virDomainBlockStatsFlags: { params: { rd_bytes: 3, errs: -1 } } },
    ['virDomainBlockStatsFlags {"path":""}'],
    'Device: \n number of bytes read:           3\n error count:                    -1\n'
  ],
  [
    'domifstat tiny vnet0',
    { virDomainInterfaceStats: { rx_bytes: 2n ** 60n, rx_packets: -1, tx_drop: 0 } },
    ['virDomainInterfaceStats {"device":"vnet0"}'],
    'vnet0 rx_bytes 1152921504606846976\nvnet0 tx_drop 0\n'
  ],
  [
    'domifstat tiny vnet0',
    { virDomainInterfaceStats: BOOM },
    ['virDomainInterfaceStats {"device":"vnet0"}'],
    '',
    ['Failed to get interface stats tiny vnet0', 'it went wrong']
  ],
  [
    'dommemstat tiny',
    {
      virDomainMemoryStats: {
        stats: [
          { tag: 6, val: 1024 },
          { tag: 12, val: 2n ** 64n - 1n },
          { tag: 77, val: 1 }
        ]
      }
    },
    ['virDomainMemoryStats {}'],
    'actual 1024\nhugetlb_pgfail 18446744073709551615\n'
  ],
  [
    'dommemstat tiny',
    { virDomainMemoryStats: BOOM },
    ['virDomainMemoryStats {}'],
    '',
    ['Failed to get memory statistics for domain tiny', 'it went wrong']
  ],
  ['domtime tiny', { virDomainGetTime: { seconds: 86399 } }, ['virDomainGetTime {}'], 'Time: 86399'],
  [
    'domtime tiny --pretty',
    { virDomainGetTime: { seconds: 86399n } },
    ['virDomainGetTime {}'],
    'Time: 1970-01-01 23:59:59'
  ],
  [
    'domtime tiny --time 5000000000',
    { virDomainSetTime: {} },
    ['virDomainSetTime {"seconds":5000000000,"nseconds":0,"flags":0}'],
    ''
  ],
  ['domtime tiny --sync', { virDomainSetTime: {} }, ['virDomainSetTime {"seconds":0,"nseconds":0,"flags":1}'], ''],
  ['domtime tiny --sync --now', {}, [], '', ['Options --now and --sync are mutually exclusive']],
  [
    'domstats --vm --state --raw --enforce --backing --nowait tiny off',
    {
      virDomainListGetStats: () => ({
        retStats: [{ dom: { name: 'a' }, params: { 'state.state': 1, yes: true, no: false, big: 2n ** 63n } }]
      })
    },
    Array(2).fill('virDomainListGetStats {"stats":1025,"flags":3758096384}'),
    Array(2).fill("Domain: 'a'\n  state.state=1\n  yes=yes\n  no=no\n  big=9223372036854775808\n").join('\n')
  ],
  [
    'domstats',
    {
      virConnectGetAllDomainStats: {
        retStats: [
          { dom: { name: 'b', id: 9 }, params: {} },
          { dom: { name: 'a', id: 2 }, params: { x: 'y' } }
        ]
      }
    },
    ['virConnectGetAllDomainStats {"stats":0,"flags":0}'],
    "Domain: 'a'\n  x=y\n\nDomain: 'b'\n"
  ],
  [
    'domstats',
    { virConnectGetAllDomainStats: BOOM },
    ['virConnectGetAllDomainStats {"stats":0,"flags":0}'],
    '',
    ['it went wrong']
  ],

  [
    'list',
    {},
    [],
    ' Id   Name    State\n---\n 3    tiny    running\n 5    alpha   unreachable\n 12   3       paused\n'
  ],
  ['list --name', {}, [], 'tiny\nalpha\n3\n'],
  ['list --name --all', {}, [], 'tiny\nalpha\n3\noff\nZed\n'],
  ['list --name --all --with-snapshot --with-checkpoint', {}, [], ''],
  ['list --name --all --without-snapshot --without-checkpoint', {}, [], 'tiny\nalpha\n3\noff\nZed\n'],
  ['list --inactive --managed-save', {}, [], ' Id   Name   State\n---\n -    off    shut off\n -    Zed    saved\n'],
  [
    'domstats --list-running --list-transient',
    { virConnectGetAllDomainStats: { retStats: [] } },
    ['virConnectGetAllDomainStats {"stats":0,"flags":24}'],
    ''
  ],
  ['list --name --inactive', {}, [], 'off\nZed\n'],
  ['list --name --state-shutoff', {}, [], 'off\nZed\n'],
  ['list --name --state-other', {}, [], 'alpha\n'],
  ['list --name --state-running --state-paused', {}, [], 'tiny\n3\n'],
  ['list --name --all --transient', {}, [], 'tiny\n'],
  ['list --name --all --transient --persistent', {}, [], 'tiny\nalpha\n3\noff\nZed\n'],
  ['list --name --all --autostart', {}, [], '3\n'],
  ['list --name --all --no-autostart --persistent', {}, [], 'alpha\noff\nZed\n'],
  ['list --name --all --with-managed-save', {}, [], 'Zed\n'],
  ['list --name --without-managed-save', {}, [], 'tiny\nalpha\n3\n'],
  ['list --id --all', {}, [], '3\n5\n12\n'],
  ['list --id --name --inactive', {}, [], '- off\n- Zed\n'],
  ['list --uuid --inactive', {}, [], `${uuidOf(2)}\n${uuidOf(5)}\n`],
  [
    'list --inactive --title',
    { virDomainGetMetadata: { metadata: 'tab\there' } },
    Array(2).fill('virDomainGetMetadata {"type":1,"flags":0}'),
    ` Id   Name   State      Title
---
 -    off    shut off   tab\\x09here
 -    Zed    shut off   tab\\x09here
`
  ],
  [
    'list --inactive --table --uuid',
    {},
    [],
    ` Id   Name   State      UUID
${'-'.repeat(63)}
 -    off    shut off   ${uuidOf(2)}
 -    Zed    shut off   ${uuidOf(5)}
`
  ],
  ['list --table --name', {}, [], '', ['Options --table and --name are mutually exclusive']]
])
