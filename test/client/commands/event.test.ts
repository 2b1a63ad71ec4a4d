// What can be wrong with `event` before it listens.
import { event } from '../../../src/client/commands/event.ts'
import { checkRows, type Row } from '../../helper/command-rows.ts'

await checkRows(event, [
  ['event', {}, [], '', ['one of --list, --all, or --event <type> is required']],
  ['event --event nosuch', {}, [], '', ['unknown event type nosuch']],
  ['event --event toString', {}, [], '', ['unknown event type toString']],
  ['event --all --event reboot', {}, [], '', ['Options --all and --event are mutually exclusive']],
  ...['0', '-1', '2147484', 'x'].map(
    (seconds): Row => [
      `event --all --timeout ${seconds}`,
      {},
      [],
      '',
      [`Numeric value '${seconds}' for <timeout> option is malformed or out of range`]
    ]
  ),
  ['event nobody --all', {}, [], '', ["failed to get domain 'nobody'"]]
])
