// QEMU and its guest agent, spoken with directly.
import { qemu } from '../../../src/client/commands/qemu.ts'
import { checkRows, type Row } from '../../helper/command-rows.ts'

await checkRows(qemu, [
  [
    'qemu-agent-command tiny {"execute":"guest-ping"} x',
    { virDomainQemuAgentCommand: { result: '{"return":{}}' } },
    ['virDomainQemuAgentCommand {"cmd":"{\\"execute\\":\\"guest-ping\\"} x","timeout":-1}'],
    '{"return":{}}\n'
  ],
  ...(
    [
      ['--async', 0],
      ['--block', -2],
      ['--timeout 5', 5]
    ] as const
  ).map(
    ([option, timeout]): Row => [
      `qemu-agent-command tiny ${option} x`,
      { virDomainQemuAgentCommand: { result: 'r' } },
      [`virDomainQemuAgentCommand {"cmd":"x","timeout":${timeout}}`],
      'r\n'
    ]
  ),
  [
    'qemu-agent-command tiny --pretty x',
    { virDomainQemuAgentCommand: { result: '{"a":[18446744073709551615]}' } },
    ['virDomainQemuAgentCommand {"cmd":"x","timeout":-1}'],
    '{\n  "a": [\n    18446744073709551615\n  ]\n}\n\n'
  ],
  ['qemu-agent-command tiny --timeout 0 x', {}, [], '', ['timeout must be positive']],
  ['qemu-agent-command tiny --async --block x', {}, [], '', ['timeout, async and block options are exclusive']],
  ...(
    [
      ['query-name', '{"execute":"query-name"}'],
      ['x {"a":1}', '{"execute":"x","arguments":{"a":1}}'],
      ['{"execute":"x"}', '{"execute":"x"}']
    ] as const
  ).map(
    ([given, cmd]): Row => [
      `qemu-monitor-command tiny ${given}`,
      { virDomainQemuMonitorCommand: { result: '{"return":{}}' } },
      [`virDomainQemuMonitorCommand ${JSON.stringify({ cmd, flags: 0 })}`],
      '{"return":{}}\n'
    ]
  ),
  [
    ['qemu-monitor-command', 'tiny', 'x', '"a":1', '"b":{}'],
    { virDomainQemuMonitorCommand: { result: 'r' } },
    ['virDomainQemuMonitorCommand {"cmd":"{\\"execute\\":\\"x\\",\\"arguments\\":{\\"a\\":1,\\"b\\":{}}}","flags":0}'],
    'r\n'
  ],
  [
    'qemu-monitor-command tiny --hmp info name',
    { virDomainQemuMonitorCommand: { result: 'tiny\r\n' } },
    ['virDomainQemuMonitorCommand {"cmd":"info name","flags":1}'],
    'tiny\r\n\n'
  ],
  [
    'qemu-monitor-command tiny --return-value x',
    { virDomainQemuMonitorCommand: { result: '{"return":[1],"id":"5"}' } },
    ['virDomainQemuMonitorCommand {"cmd":"{\\"execute\\":\\"x\\"}","flags":0}'],
    '[1]'
  ],
  ...(
    [
      ['{"error":{}}', "'return' member missing"],
      ['no JSON', 'failed to parse JSON returned by qemu']
    ] as const
  ).map(
    ([result, error]): Row => [
      'qemu-monitor-command tiny --return-value x',
      { virDomainQemuMonitorCommand: { result } },
      ['virDomainQemuMonitorCommand {"cmd":"{\\"execute\\":\\"x\\"}","flags":0}'],
      '',
      [error]
    ]
  ),
  [
    'qemu-monitor-command tiny --pretty x',
    { virDomainQemuMonitorCommand: { result: 'no JSON' } },
    ['virDomainQemuMonitorCommand {"cmd":"{\\"execute\\":\\"x\\"}","flags":0}'],
    'no JSON\n'
  ],
  [
    'qemu-monitor-command tiny x nonsense',
    {},
    [],
    '',
    ["failed to wrap arguments 'nonsense' into a QMP command wrapper"]
  ]
])
