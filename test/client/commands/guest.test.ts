// The inside of a guest, by its agent; and what guards its memory.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { guest } from '../../../src/client/commands/guest.ts'
import { BOOM, checkRows, dir, type Row } from '../../helper/command-rows.ts'

const file = (name: string, text: string) => {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}
const keys = file('keys', 'ssh-ed25519 A a\nssh-ed25519 B b\n')
const empty = file('empty', '')
const secret = file('secret', 'c2VjcmV0')

const INFO_TYPES: [options: string, types: number][] = [
  ['', 0],
  ['--user', 1],
  ['--os', 2],
  ['--timezone', 4],
  ['--hostname', 8],
  ['--filesystem', 16],
  ['--disk', 32],
  ['--interface', 64],
  ['--load', 128],
  ['--load --user --os --timezone --hostname --filesystem --disk --interface', 255]
]

await checkRows(guest, [
  [
    'domfsfreeze tiny',
    { virDomainFSFreeze: { filesystems: 3 } },
    ['virDomainFSFreeze {"mountpoints":[]}'],
    'Froze 3 filesystem(s)\n'
  ],
  [
    'domfsfreeze tiny / --mountpoint /home',
    { virDomainFSFreeze: BOOM },
    ['virDomainFSFreeze {"mountpoints":["/","/home"]}'],
    '',
    ['Unable to freeze filesystems', 'it went wrong']
  ],
  [
    'domfsthaw tiny',
    { virDomainFSThaw: { filesystems: 0 } },
    ['virDomainFSThaw {"mountpoints":[]}'],
    'Thawed 0 filesystem(s)\n'
  ],
  [
    'domfsthaw tiny /',
    { virDomainFSThaw: BOOM },
    ['virDomainFSThaw {"mountpoints":["/"]}'],
    '',
    ['Unable to thaw filesystems', 'it went wrong']
  ],
  ['domfstrim tiny', { virDomainFSTrim: {} }, ['virDomainFSTrim {"minimum":0}'], ''],
  [
    'domfstrim tiny --minimum 18446744073709551615 --mountpoint /',
    { virDomainFSTrim: BOOM },
    ['virDomainFSTrim {"minimum":18446744073709551615,"mountPoint":"/"}'],
    '',
    ['Unable to invoke fstrim', 'it went wrong']
  ],
  ...['-1', '1k', '18446744073709551616', 'x'].map(
    (text): Row => [
      `domfstrim tiny --minimum ${text}`,
      {},
      [],
      '',
      [`Numeric value '${text}' for <minimum> option is malformed or out of range`]
    ]
  ),
  [
    'domfsinfo tiny',
    {
      virDomainGetFSInfo: {
        info: [
          { mountpoint: '/', name: 'vda1', fstype: 'ext4', devAliases: ['vda', 'vdb'] },
          { mountpoint: '/boot', name: 'sda', fstype: 'vfat', devAliases: [] }
        ]
      }
    },
    ['virDomainGetFSInfo {}'],
    ' Mountpoint   Name   Type   Target\n---\n /            vda1   ext4   vda,vdb\n /boot        sda    vfat   \n'
  ],
  [
    'domfsinfo tiny',
    { virDomainGetFSInfo: { info: [] } },
    ['virDomainGetFSInfo {}'],
    'No filesystems are mounted in the domain'
  ],
  [
    'domfsinfo tiny',
    { virDomainGetFSInfo: BOOM },
    ['virDomainGetFSInfo {}'],
    '',
    ['Unable to get filesystem information', 'it went wrong']
  ],
  ...INFO_TYPES.map(
    ([options, types]): Row => [
      `guestinfo tiny ${options}`.trim(),
      { virDomainGetGuestInfo: { params: { hostname: 'h', 'disk.0.partition': true, 'load.1m': 0 } } },
      [`virDomainGetGuestInfo {"types":${types}}`],
      'hostname            : h\ndisk.0.partition    : yes\nload.1m             : 0.000000\n'
    ]
  ),
  ['guestinfo tiny', { virDomainGetGuestInfo: BOOM }, ['virDomainGetGuestInfo {"types":0}'], '', ['it went wrong']],
  [
    'guestvcpus tiny',
    { virDomainGetGuestVcpus: { params: { vcpus: '0-1', online: '0', offlinable: '' } } },
    ['virDomainGetGuestVcpus {}'],
    'vcpus          : 0-1\nonline         : 0\nofflinable     : \n'
  ],
  [
    'guestvcpus tiny --cpulist 0-1 --enable',
    { virDomainSetGuestVcpus: {} },
    ['virDomainSetGuestVcpus {"cpumap":"0-1","state":1}'],
    ''
  ],
  [
    'guestvcpus tiny --disable --cpulist 1',
    { virDomainSetGuestVcpus: BOOM },
    ['virDomainSetGuestVcpus {"cpumap":"1","state":0}'],
    '',
    ['it went wrong']
  ],
  ['guestvcpus tiny --cpulist 1', {}, [], '', ['One of options --enable or --disable is required by option --cpulist']],
  ['guestvcpus tiny --enable', {}, [], '', ['Option --cpulist is required by option --enable']],
  [
    'guestvcpus tiny --cpulist 1 --enable --disable',
    {},
    [],
    '',
    ['Options --enable and --disable are mutually exclusive']
  ],
  [
    'set-user-password tiny root geheim',
    { virDomainSetUserPassword: {} },
    ['virDomainSetUserPassword {"user":"root","password":"geheim","flags":0}'],
    'Password set successfully for root in tiny'
  ],
  [
    'set-user-password tiny root x --encrypted',
    { virDomainSetUserPassword: BOOM },
    ['virDomainSetUserPassword {"user":"root","password":"x","flags":1}'],
    '',
    ['it went wrong']
  ],
  [
    'get-user-sshkeys tiny root',
    { virDomainAuthorizedSSHKeysGet: { keys: ['ssh-ed25519 A a', 'ssh-ed25519 B b'] } },
    ['virDomainAuthorizedSSHKeysGet {"user":"root"}'],
    'ssh-ed25519 A assh-ed25519 B b'
  ],
  ...(
    [
      ['', 1],
      ['--reset', 0],
      ['--remove', 2]
    ] as const
  ).map(
    ([option, flags]): Row => [
      `set-user-sshkeys tiny root ${keys} ${option}`.trim(),
      { virDomainAuthorizedSSHKeysSet: {} },
      [
        `virDomainAuthorizedSSHKeysSet {"user":"root","keys":["ssh-ed25519 A a","ssh-ed25519 B b",""],"flags":${flags}}`
      ],
      ''
    ]
  ),
  [
    'set-user-sshkeys tiny root --reset',
    { virDomainAuthorizedSSHKeysSet: BOOM },
    ['virDomainAuthorizedSSHKeysSet {"user":"root","keys":[],"flags":0}'],
    '',
    ['it went wrong']
  ],
  ['set-user-sshkeys tiny root', {}, [], '', ['Option --file is required']],
  ['set-user-sshkeys tiny root --remove', {}, [], '', ['Option --file is required by option --remove']],
  [
    'set-user-sshkeys tiny root x --reset --remove',
    {},
    [],
    '',
    ['Options --reset and --remove are mutually exclusive']
  ],
  [`set-user-sshkeys tiny root ${empty}`, {}, [], '', [`File ${empty} contains no keys`]],
  ['set-user-sshkeys tiny root /nosuch', {}, [], '', ["Failed to open file '/nosuch': No such file or directory"]],
  [
    'guest-agent-timeout tiny',
    { virDomainAgentSetResponseTimeout: {} },
    ['virDomainAgentSetResponseTimeout {"timeout":-2}'],
    ''
  ],
  [
    'guest-agent-timeout tiny --timeout -3',
    { virDomainAgentSetResponseTimeout: BOOM },
    ['virDomainAgentSetResponseTimeout {"timeout":-3}'],
    '',
    ['it went wrong']
  ],
  [
    'domlaunchsecinfo tiny',
    { virDomainGetLaunchSecurityInfo: { params: {} } },
    ['virDomainGetLaunchSecurityInfo {}'],
    ''
  ],
  [
    'domlaunchsecinfo tiny',
    { virDomainGetLaunchSecurityInfo: { params: { 'sev-measurement': 'm', 'sev-policy': 3 } } },
    ['virDomainGetLaunchSecurityInfo {}'],
    'sev-measurement: m\nsev-policy     : 3\n'
  ],
  [
    'domlaunchsecinfo tiny',
    { virDomainGetLaunchSecurityInfo: BOOM },
    ['virDomainGetLaunchSecurityInfo {}'],
    '',
    ['Unable to get launch security parameters', 'it went wrong']
  ],
  [
    `domsetlaunchsecstate tiny --secrethdr ${secret} --secret ${secret} --set-address 4096`,
    { virDomainSetLaunchSecurityState: {} },
    [
      'virDomainSetLaunchSecurityState {"params":{"sev-secret-header":"c2VjcmV0","sev-secret":"c2VjcmV0","sev-secret-set-address":4096}}'
    ],
    ''
  ],
  [
    `domsetlaunchsecstate tiny --secrethdr ${secret} --secret ${secret}`,
    { virDomainSetLaunchSecurityState: BOOM },
    ['virDomainSetLaunchSecurityState {"params":{"sev-secret-header":"c2VjcmV0","sev-secret":"c2VjcmV0"}}'],
    '',
    ['Unable to set launch security state', 'it went wrong']
  ],
  ['domsetlaunchsecstate tiny', {}, [], '', ['Both secret and the secret header are required']]
])
