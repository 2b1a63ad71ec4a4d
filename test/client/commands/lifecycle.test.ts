// Starting, stopping and holding a guest.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { lifecycle } from '../../../src/client/commands/lifecycle.ts'
import { BOOM, checkRows, dir, type Row } from '../../helper/command-rows.ts'

const other = join(dir, 'other.xml')
writeFileSync(other, '<other/>')

await checkRows(lifecycle, [
  ['suspend tiny', { virDomainSuspend: {} }, ['virDomainSuspend {}'], "Domain 'tiny' suspended\n"],
  ['suspend 5', { virDomainSuspend: {} }, ['virDomainSuspend {}'], "Domain '5' suspended\n"],

  [
    'resume tiny',
    { virDomainResume: BOOM },
    ['virDomainResume {}'],
    '',
    ["Failed to resume domain 'tiny'", 'it went wrong']
  ],
  ['reset tiny', { virDomainReset: {} }, ['virDomainReset {}'], "Domain 'tiny' was reset\n"],
  ['destroy tiny', { virDomainDestroy: {} }, ['virDomainDestroy {}'], "Domain 'tiny' destroyed\n"],
  [
    'destroy tiny --graceful',
    { virDomainDestroyFlags: {} },
    ['virDomainDestroyFlags {"flags":1}'],
    "Domain 'tiny' destroyed\n"
  ],
  [
    'destroy tiny --graceful --remove-logs',
    { virDomainDestroyFlags: BOOM },
    ['virDomainDestroyFlags {"flags":3}'],
    '',
    ["Failed to destroy domain 'tiny'", 'it went wrong']
  ],
  ['shutdown tiny', { virDomainShutdown: {} }, ['virDomainShutdown {}'], "Domain 'tiny' is being shutdown\n"],
  ...(['acpi 1', 'agent 2', 'initctl 4', 'signal 8', 'paravirt 16', 'acpi,agent 3', 'acpi,acpi 1'].flatMap(mode => {
    const [text, bits] = mode.split(' ')
    return [
      ['shutdown', 'virDomainShutdownFlags', 'is being shutdown'],
      ['reboot', 'virDomainReboot', 'is being rebooted']
    ].map(([command, name, done]) => [
      `${command} tiny --mode ${text}`,
      { [name!]: {} },
      [`${name} {"flags":${bits}}`],
      `Domain 'tiny' ${done}\n`
    ])
  }) as Row[]),
  ...(['nosuch', 'acpi,', 'ACPI', 'acpi,constructor'].map(mode => [
    `shutdown tiny --mode ${mode}`,
    {},
    [],
    '',
    [`Unknown mode ${mode.replace('acpi,', '')} value, expecting 'acpi', 'agent', 'initctl', 'signal', or 'paravirt'`]
  ]) as Row[]),
  ['start tiny', {}, [], '', ['Domain is already active']],
  ['start off', { virDomainCreate: {} }, ['virDomainCreate {}'], "Domain 'off' started\n"],
  [
    'start off --paused',
    { virDomainCreateWithFlags: {} },
    ['virDomainCreateWithFlags {"flags":1}'],
    "Domain 'off' started\n"
  ],
  [
    'start off --paused --autodestroy',
    { virDomainCreateWithFlags: BOOM },
    ['virDomainCreateWithFlags {"flags":3}'],
    '',
    ["Failed to start domain 'off'", 'it went wrong']
  ],
  ['start 12', {}, [], '', ["failed to get domain '12'"]],
  ['shim-detach tiny', { 'shim-detach': {} }, ['shim-detach {}'], "Shim of domain 'tiny' detached\n"],
  ['create /nosuch.xml', {}, [], '', ["Failed to open file '/nosuch.xml': No such file or directory"]],
  [
    `create ${other}`,
    {},
    [],
    '',
    [
      `Failed to create domain from ${other}`,
      'this function is not supported by the connection driver: virDomainCreateXML'
    ]
  ]
])
