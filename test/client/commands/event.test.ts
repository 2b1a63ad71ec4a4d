// What can be wrong with `event` before it listens.
import { event } from '../../../src/client/commands/event.ts'
import { checkRows } from '../../helper/command-rows.ts'

await checkRows(event, [
  ['event', {}, [], '', ['one of --list, --all, or --event <type> is required']],
  ['event --event nosuch', {}, [], '', ['unknown event type nosuch']],
  ['event --event toString', {}, [], '', ['unknown event type toString']],
  ['event --all --event reboot', {}, [], '', ['Options --all and --event are mutually exclusive']],
  ['event --all --timeout 0', {}, [], '', ['invalid timeout']],
  ['event nobody --all', {}, [], '', ["failed to get domain 'nobody'"]]
])
