// Sleep, and what follows when a guest ends.
import { power } from '../../../src/client/commands/power.ts'
import { BOOM, checkRows, type Row } from '../../helper/command-rows.ts'

const TARGETS = ['mem', 'disk', 'hybrid']
const ACTIONS = ['destroy', 'restart', 'rename-restart', 'preserve', 'coredump-destroy', 'coredump-restart']

await checkRows(power, [
  ...TARGETS.map(
    (target, i): Row => [
      `dompmsuspend tiny ${target}`,
      { virDomainPMSuspendForDuration: {} },
      [`virDomainPMSuspendForDuration {"target":${i},"duration":0}`],
      "Domain 'tiny' successfully suspended"
    ]
  ),
  [
    'dompmsuspend alpha mem --duration 5',
    { virDomainPMSuspendForDuration: BOOM },
    ['virDomainPMSuspendForDuration {"target":0,"duration":5}'],
    '',
    ["Domain 'alpha' could not be suspended", 'it went wrong']
  ],
  ['dompmsuspend tiny x', {}, [], '', ['Invalid target']],
  ['dompmwakeup tiny', { virDomainPMWakeup: {} }, ['virDomainPMWakeup {}'], "Domain 'tiny' successfully woken up"],
  [
    'dompmwakeup tiny',
    { virDomainPMWakeup: BOOM },
    ['virDomainPMWakeup {}'],
    '',
    ["Domain 'tiny' could not be woken up", 'it went wrong']
  ],
  ...ACTIONS.map(
    (action, i): Row => [
      `set-lifecycle-action tiny crash ${action} --live --config`,
      { virDomainSetLifecycleAction: {} },
      [`virDomainSetLifecycleAction {"type":2,"action":${i},"flags":3}`],
      ''
    ]
  ),
  [
    'set-lifecycle-action tiny poweroff restart',
    { virDomainSetLifecycleAction: BOOM },
    ['virDomainSetLifecycleAction {"type":0,"action":1,"flags":0}'],
    '',
    ['Unable to change lifecycle action.', 'it went wrong']
  ],
  ['set-lifecycle-action tiny x restart', {}, [], '', ["Invalid lifecycle type 'x'."]],
  ['set-lifecycle-action tiny reboot x', {}, [], '', ["Invalid lifecycle action 'x'."]],
  [
    'set-lifecycle-action tiny reboot destroy --current --live',
    {},
    [],
    '',
    ['Options --current and --live are mutually exclusive']
  ]
])
