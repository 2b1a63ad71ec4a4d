// Help, and what shells complete with.
import { groups } from '../../../src/client/commands/index.ts'
import { checkRows } from '../../helper/command-rows.ts'

const { allocations: _, conflicts: __, ...self } = groups.at(-1)!.commands

await checkRows(
  self,
  [
    ['help nosuch', {}, [], '', ["command or command group 'nosuch' doesn't exist"]],
    ['help uri', {}, [], '  NAME\n    uri - print the hypervisor canonical URI\n\n  SYNOPSIS\n    uri\n\n'],
    [
      'help send-key',
      {},
      [],
      `  NAME
    send-key - Send keycodes to the guest

  SYNOPSIS
    send-key <domain> [--codeset <string>] [--holdtime <number>] {[--keycode] <string>}...

  OPTIONS
    [--domain] <string>  domain name, id or uuid
    --codeset <string>  the codeset of keycodes, default:linux
    --holdtime <number>  the time (in milliseconds) how long the keys will be held
    [--keycode] <string>  the key code

`
    ],
    ['complete -- domn', {}, [], 'domname\n'],
    ['complete -- domname', {}, [], 'domname\n'],
    ['complete -- nosuch x', {}, [], ''],
    ['complete -- suspend', {}, [], 'suspend\n'],
    ['complete -- suspend t', {}, [], 'tiny\n'],
    ['complete -- domstate ""', {}, [], 'tiny\noff\n3\nZed\nalpha\n'],
    ['complete -- suspend ""', {}, [], 'tiny\n'],
    ['complete -- start ""', {}, [], 'off\nZed\n'],
    ['complete -- shutdown --mode a', {}, [], 'acpi\nagent\n'],
    ['complete -- list ""', {}, [], ''],
    ['complete -- suspend x t', {}, [], ''],
    ['complete -- vcpuinfo --pretty --domain t', {}, [], 'tiny\n'],
    ['complete -- list --state-', {}, [], '--state-running\n--state-paused\n--state-shutoff\n--state-other\n'],
    ['complete -- list --uuid --u', {}, [], '']
  ],
  ['jobs', 'api-coverage']
)
