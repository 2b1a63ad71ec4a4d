// What is kept of a guest: its definition, its name, its start with the host.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { definitions } from '../../../src/client/commands/define.ts'
import { BOOM, checkRows, dir } from '../../helper/command-rows.ts'

process.env.VISUAL = 'sed -i s/old/new/'

const file = join(dir, 'x.xml')
const xml = '<domain><name>fresh</name></domain>'
writeFileSync(file, xml)
const fresh = { dom: { name: 'fresh', uuid: '', id: -1 } }
const ok = (api: string) => ({ [api]: {} })
const shown = 'virDomainGetXMLDesc {"flags":3}'

await checkRows(definitions, [
  [
    'autostart tiny',
    ok('virDomainSetAutostart'),
    ['virDomainSetAutostart {"autostart":1}'],
    "Domain 'tiny' marked as autostarted\n"
  ],
  [
    'autostart tiny --disable',
    ok('virDomainSetAutostart'),
    ['virDomainSetAutostart {"autostart":0}'],
    "Domain 'tiny' unmarked as autostarted\n"
  ],
  [
    'autostart tiny --once',
    ok('virDomainSetAutostartOnce'),
    ['virDomainSetAutostartOnce {"autostart":1}'],
    "Domain 'tiny' marked as autostarted on next boot\n"
  ],
  [
    'autostart tiny --once --disable',
    { virDomainSetAutostartOnce: BOOM },
    ['virDomainSetAutostartOnce {"autostart":0}'],
    '',
    ["Failed to unmark domain 'tiny' as autostarted on next boot", 'it went wrong']
  ],
  [
    `define ${file}`,
    { virDomainDefineXML: fresh },
    [`virDomainDefineXML {"xml":"${xml}"}`],
    `Domain 'fresh' defined from ${file}\n`
  ],
  [
    `define ${file} --validate`,
    { virDomainDefineXMLFlags: BOOM },
    [`virDomainDefineXMLFlags {"xml":"${xml}","flags":1}`],
    '',
    [`Failed to define domain from ${file}`, 'it went wrong']
  ],
  ['define /nosuch', {}, [], '', ["Failed to open file '/nosuch': No such file or directory"]],
  ['domrename off on', ok('virDomainRename'), ['virDomainRename {"new_name":"on"}'], 'Domain successfully renamed\n'],
  ['domrename 5 on', {}, [], '', ["failed to get domain '5'"]],
  ['edit off', { virDomainGetXMLDesc: { xml: 'same' } }, [shown], "Domain 'off' XML configuration not changed.\n"],
  [
    'edit off',
    { virDomainGetXMLDesc: { xml: 'old' }, virDomainDefineXMLFlags: { dom: { ...fresh.dom, name: 'off' } } },
    [shown, shown, 'virDomainDefineXMLFlags {"xml":"new","flags":1}'],
    "Domain 'off' XML configuration edited.\n"
  ],
  [
    'edit off --skip-validate',
    { virDomainGetXMLDesc: { xml: 'old' }, virDomainDefineXML: BOOM },
    [shown, shown, 'virDomainDefineXML {"xml":"new"}'],
    '',
    ['it went wrong']
  ],
  [
    'undefine off',
    ok('virDomainUndefineFlags'),
    ['virDomainUndefineFlags {"flags":0}'],
    "Domain 'off' has been undefined\n"
  ],
  [
    'undefine off --managed-save --snapshots-metadata --checkpoints-metadata --keep-nvram --tpm',
    { virDomainUndefineFlags: BOOM },
    ['virDomainUndefineFlags {"flags":59}'],
    '',
    ["Failed to undefine domain 'off'", 'it went wrong']
  ],
  ['undefine off --nvram --keep-nvram', {}, [], '', ['Options --nvram and --keep-nvram are mutually exclusive']]
])

let asked = 0
await checkRows({}, [
  [
    'edit off',
    { virDomainGetXMLDesc: () => ({ xml: asked++ === 0 ? 'old' : 'another old' }) },
    [shown, shown],
    '',
    ['The XML configuration was changed by another user.']
  ]
])
